"""Does the process end when, and only when, it should, in time, with the right code, and is kopf only a hint?"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from itertools import islice
from pathlib import Path

import pytest

from operator_support.fake_cluster import FakeCluster
from trainyard.handlers import process as process_module
from trainyard.handlers.adapters import EndlessBackoffs, kopf_settings
from trainyard.handlers.process import Exit, Process, run_process
from trainyard.kube import credentials as credentials_module
from trainyard.kube.credentials import Credentials, CredentialSource
from trainyard.kube.errors import BadCredentials
from trainyard.telemetry.probes import Health, Verdict

ROOT = Path(__file__).parents[2]


class FakeEngine:
    """Counts its lives, notes pokes, and ends when told to."""

    def __init__(self) -> None:
        self.runs = 0
        self.stopped_cleanly = False
        self.pokes: list[tuple[str, str, str]] = []
        self.poked = asyncio.Event()
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        self.runs += 1
        try:
            await self.broken
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # a real engine gives its Lease back here
            self.stopped_cleanly = True
            raise

    def ready(self) -> Verdict:
        return True, "leading"

    def alive(self) -> Verdict:
        return True, ""

    def poke(self, namespace: str, name: str, version: str) -> None:
        self.pokes.append((namespace, name, version))
        self.poked.set()


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    cluster = FakeCluster()
    await cluster.start()
    yield cluster
    await cluster.stop()


@pytest.fixture
async def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def tokens() -> list[str]:
    """What the credentials hold, the last one being current; tests rotate them."""
    return ["t1"]


@pytest.fixture
def process(cluster: FakeCluster, engine: FakeEngine, health: Health, tokens: list[str]) -> Process:
    async def load(_forced: bool) -> Credentials:
        return Credentials(cluster.url, headers={"Authorization": f"Bearer {tokens[-1]}"})

    return Process(CredentialSource(load), lambda: engine, health)


@pytest.fixture
async def running(process: Process, cluster: FakeCluster) -> AsyncIterator[asyncio.Task[Exit]]:
    """The process, watched by kopf already."""
    task = asyncio.create_task(run_process(process, ()))
    await cluster.until(lambda: cluster.watches == 1)
    yield task
    process.end(Exit.STOPPED, "the test is over")
    await asyncio.wait_for(task, 10)


@pytest.mark.usefixtures("running")
async def test_an_event_hands_over_a_key_and_writes_nothing(cluster: FakeCluster, engine: FakeEngine) -> None:
    cluster.changed("gpt")
    await asyncio.wait_for(engine.poked.wait(), 10)
    assert engine.pokes == [("research", "gpt", "11")]
    assert cluster.writes == []


async def test_asked_to_end_it_stops_the_engine_and_exits_0(
    running: asyncio.Task[Exit], process: Process, engine: FakeEngine, health: Health, cluster: FakeCluster
) -> None:
    assert health.ready() == (True, "leading")
    process.end(Exit.STOPPED, "asked to")
    assert await asyncio.wait_for(running, 5) is Exit.STOPPED
    assert engine.stopped_cleanly
    assert health.ready()[0] is False
    assert cluster.writes == []


async def test_an_engine_that_gives_up_ends_the_process(running: asyncio.Task[Exit], engine: FakeEngine) -> None:
    engine.broken.set_exception(RuntimeError("the watch of pods is dead"))
    assert await asyncio.wait_for(running, 5) is Exit.RESTART


async def test_the_end_of_kopf_is_not_the_engines(
    running: asyncio.Task[Exit],
    cluster: FakeCluster,
    engine: FakeEngine,
    process: Process,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process_module, "KOPF_PAUSE", 0.01)
    cluster.fail_watch()
    await cluster.until(lambda: cluster.watches >= 2)
    assert not running.done()
    cluster.changed("gpt")
    await asyncio.wait_for(engine.poked.wait(), 10)
    assert engine.runs == 1
    assert not engine.stopped_cleanly
    process.end(Exit.STOPPED, "asked to")
    assert await asyncio.wait_for(running, 5) is Exit.STOPPED
    assert engine.stopped_cleanly


async def test_a_rotated_token_is_picked_up(
    cluster: FakeCluster, process: Process, tokens: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials_module, "RELOAD_NOT_BEFORE", 0.0)
    cluster.token = "t2"
    await process.source.current()  # holds t1, which is refused by now
    tokens.append("t2")
    task = asyncio.create_task(run_process(process, ()))
    await cluster.until(lambda: cluster.watches == 1)
    assert cluster.refused >= 1
    process.end(Exit.STOPPED, "the test is over")
    assert await asyncio.wait_for(task, 5) is Exit.STOPPED


async def test_without_credentials_it_says_so_and_exits_3(engine: FakeEngine, health: Health) -> None:
    async def load(_forced: bool) -> Credentials:
        raise BadCredentials("kubeconfig /nowhere: no such file")

    process = Process(CredentialSource(load), lambda: engine, health)
    assert await asyncio.wait_for(run_process(process, ()), 5) is Exit.NO_ACCESS
    assert engine.runs == 0


async def test_refused_for_good_kopf_waits_and_the_engine_goes_on(
    cluster: FakeCluster, process: Process, engine: FakeEngine
) -> None:
    cluster.token = "another"
    task = asyncio.create_task(run_process(process, ()))
    await cluster.until(lambda: cluster.refused >= 1)
    assert engine.runs == 1
    assert not task.done()
    process.end(Exit.STOPPED, "the test is over")
    assert await asyncio.wait_for(task, 5) is Exit.STOPPED
    assert engine.stopped_cleanly


async def test_namespaces_are_watched_one_by_one(cluster: FakeCluster, process: Process) -> None:
    task = asyncio.create_task(run_process(process, ("a", "b")))
    await cluster.until(lambda: cluster.watched == {"a", "b"})
    process.end(Exit.STOPPED, "the test is over")
    assert await asyncio.wait_for(task, 5) is Exit.STOPPED


def test_kopf_is_kept_from_writing_and_from_giving_up() -> None:
    settings = kopf_settings()
    assert settings.peering.standalone
    assert not settings.posting.enabled
    assert settings.process.ultimate_exiting_timeout is None
    backoffs = settings.networking.error_backoffs
    assert isinstance(backoffs, EndlessBackoffs)
    assert list(islice(backoffs, 100))[-1] == 10.0
    assert next(iter(backoffs)) == 1.0  # kopf iterates anew for every request


SCRIPT = """
import asyncio, sys
from trainyard.handlers.process import Process, run_process
from trainyard.kube.credentials import Credentials, static
from trainyard.telemetry.logs import configure_logs
from trainyard.telemetry.probes import Health

class Engine:
    async def run(self):
        print("engine runs", flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            print("lease released", flush=True)
    def ready(self): return True, ""
    def alive(self): return True, ""
    def poke(self, namespace, name): pass

async def main():
    source = static(Credentials(sys.argv[1], headers={"Authorization": "Bearer t1"}))
    return await run_process(Process(source, Engine, Health()), ())

configure_logs(as_json=True, level="info")
sys.exit(asyncio.run(main()))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("reachable", [True, False])
async def test_a_signal_ends_it_promptly(cluster: FakeCluster, number: signal.Signals, reachable: bool) -> None:
    url = cluster.url if reachable else "http://127.0.0.1:9"
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SCRIPT,
        url,
        env={**os.environ, "PYTHONPATH": str(ROOT / "operator")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    assert await asyncio.wait_for(child.stdout.readline(), 30) == b"engine runs\n"
    if reachable:
        await cluster.until(lambda: cluster.watches == 1)
    child.send_signal(number)
    out, err = await asyncio.wait_for(child.communicate(), 10)
    assert child.returncode == Exit.STOPPED, err.decode()
    assert out == b"lease released\n"
    assert f"{number.name} received" in err.decode()
    assert "Traceback" not in err.decode()
