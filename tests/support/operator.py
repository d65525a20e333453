"""The operator as a separate process: started, killed, frozen and stopped the way clusters do it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from support.ports import free_port
from support.yard import ROOT


class OperatorProcess:
    """One `python -m trainyard`; its log is kept in a file and shown where a test fails."""

    def __init__(self, kubeconfig: str, log: Path, **settings: str) -> None:
        self.log = log
        self.port = free_port()
        self.metrics_port = free_port()
        flags = {
            "kubeconfig": kubeconfig,
            "http-address": "127.0.0.1",
            "http-port": str(self.port),
            "metrics-address": "127.0.0.1",
            "metrics-port": str(self.metrics_port),
            **settings,
        }
        self.arguments = [f"--{name}={value}" for name, value in flags.items()]
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; returns at once, not when it leads."""
        assert self.process is None or self.process.returncode is not None, "it still runs"
        with self.log.open("ab") as out:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "trainyard",
                *self.arguments,
                stdout=out,
                stderr=out,
                env={**os.environ, "PYTHONPATH": str(ROOT / "operator")},
            )

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)

    async def kill(self) -> None:
        """As a crash does it: no chance to tidy up."""
        self.send(signal.SIGKILL)
        await self.wait()

    async def stop(self) -> int:
        """As a rollout does it. Returns the exit code."""
        self.send(signal.SIGTERM)
        return await self.wait()

    def freeze(self) -> None:
        """The paused leader: alive, and neither renewing nor writing."""
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    async def wait(self) -> int:
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), 30)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    def tail(self, lines: int = 60) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])
