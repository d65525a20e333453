"""A candidate as a process of its own, so that a test can pause it: leads, and writes as long as its fence lets it.

Each line of its output is one thing that happened; each write is a ConfigMap. On SIGUSR1 it stops itself after it has
decided on its next write and before the write is sent, as a process does that is paused at the worst of moments.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from trainyard.kube.client import Client
from trainyard.kube.credentials import from_kubeconfig
from trainyard.kube.errors import Fenced
from trainyard.kube.lease import LeaderElector, LeaseSettings
from trainyard.kube.resources import CONFIG_MAPS


def say(*words: object) -> None:
    print(*words, flush=True)


async def main(kubeconfig: str, namespace: str, name: str) -> None:
    pause = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, pause.set)
    settings = LeaseSettings(namespace, "leader", name, duration=3.0, renew_deadline=2.0, retry_period=0.3)

    async with Client(from_kubeconfig(kubeconfig)) as mine, Client(from_kubeconfig(kubeconfig)) as client:

        async def write() -> None:
            say("leading")
            fenced = client.fenced(elector.fence)
            for count in range(10_000):
                if pause.is_set():
                    pause.clear()
                    os.kill(os.getpid(), signal.SIGSTOP)
                meta = {"namespace": namespace, "name": f"{name}-{count}", "labels": {"writer": name}}
                try:
                    await fenced.create(CONFIG_MAPS, {"metadata": meta})
                    say("wrote", count)
                except Fenced:
                    say("fenced", count)
                await asyncio.sleep(0.05)

        async def lost() -> None:
            say("lost")

        elector = LeaderElector(mine, settings, on_started=write, on_lost=lost)
        await elector.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
