"""One life of the operator process: start, run beside kopf, end for a reason, in time.

The engine does the work and its end is the process's end. kopf's end is not: the engine's own watches miss nothing, so
kopf is started again and the engine goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Protocol

import kopf

from trainyard.handlers.adapters import handlers, kopf_settings
from trainyard.handlers.login import Login
from trainyard.kube.credentials import CredentialSource
from trainyard.kube.errors import BadCredentials
from trainyard.telemetry.probes import Health, Verdict

STOP_WITHIN = 10.0  # seconds from the signal to the end of the process
ENGINE_STOPS_WITHIN = 8.0
KOPF_PAUSE = 5.0  # seconds before kopf, having ended by itself, is started again

log = logging.getLogger(__name__)


class Exit(IntEnum):
    """Exit codes of the process."""

    STOPPED = 0  # it was asked to
    CRASHED = 1  # a fault in the operator
    BAD_SETTINGS = 2  # nothing will help but other settings
    NO_ACCESS = 3  # no usable credentials for the API server
    RESTART = 4  # the engine gave up, for instance over a dead watch: start anew


class Engine(Protocol):
    """What the process needs of the engine."""

    async def run(self) -> None:
        """Work until cancelled; raises where it cannot go on."""

    def ready(self) -> Verdict:
        """Whether it sees the cluster."""

    def alive(self) -> Verdict:
        """Whether it makes progress."""

    def poke(self, namespace: str, name: str, version: str) -> None:
        """A job may have changed; it has this resourceVersion now."""


class Process:
    """Starts the engine once, ends it once, and knows why. `start`, `stop` and `poke` are what kopf's handlers call."""

    def __init__(self, source: CredentialSource, build_engine: Callable[[], Engine], health: Health) -> None:
        self.source = source
        self.ending = asyncio.Event()
        self.exit = Exit.STOPPED
        self._build_engine = build_engine
        self._health = health
        self._engine: Engine | None = None
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the engine, unless it runs already: kopf calls this each time that it starts."""
        if self._running is not None or self.ending.is_set():
            return
        try:
            await self.source.current()
        except BadCredentials as error:
            self.end(Exit.NO_ACCESS, f"no access to the API server: {error}; see --kubeconfig and --context")
            return
        self._engine = engine = self._build_engine()
        self._health.alive, self._health.ready = engine.alive, engine.ready
        self._running = asyncio.create_task(engine.run(), name="engine")
        self._running.add_done_callback(self._engine_ended)

    async def stop(self) -> None:
        """Stop the engine if the process is ending. Where only kopf ends, the engine must not notice."""
        if self._running is None or not self.ending.is_set():
            return
        self._health.ready = lambda: (False, "stopping")
        self._running.cancel()
        await asyncio.wait({self._running}, timeout=ENGINE_STOPS_WITHIN)
        if not self._running.done():
            log.error("the engine did not stop within %g s; its Lease runs out by itself", ENGINE_STOPS_WITHIN)

    def poke(self, namespace: str, name: str, version: str) -> None:
        """Hand a key to the engine."""
        if self._engine is not None:
            self._engine.poke(namespace, name, version)

    def end(self, code: Exit, why: str) -> None:
        """Begin the end of the process; the first reason counts."""
        if self.ending.is_set():
            return
        log.log(logging.INFO if code is Exit.STOPPED else logging.ERROR, "ending: %s", why)
        self.exit = code
        self.ending.set()

    def _engine_ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self.end(Exit.CRASHED, "the engine was cancelled")
        elif error := task.exception():
            log.error("the engine ended", exc_info=error)
            self.end(Exit.RESTART, f"the engine ended: {error}")
        else:
            self.end(Exit.RESTART, "the engine ended by itself")


async def run_process(process: Process, namespaces: tuple[str, ...]) -> Exit:
    """Run until a signal or the engine ends it; returns the exit code."""
    while not process.ending.is_set():
        await _run_kopf(process, namespaces)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KOPF_PAUSE):
                await process.ending.wait()
    await process.stop()
    return process.exit


# kopf would otherwise ask for the user's name, and a container's UID has none. It is used in peering only.
_KOPF_IDENTITY: Any = "trainyard"


async def _run_kopf(process: Process, namespaces: tuple[str, ...]) -> None:
    """One run of kopf, until the process or kopf ends. Not by kopf's own runner: that ends the engine's tasks too."""
    tasks = await kopf.spawn_tasks(
        registry=handlers(process, Login(process.source)),
        settings=kopf_settings(),
        clusterwide=not namespaces,
        namespaces=namespaces,
        identity=_KOPF_IDENTITY,
        stop_flag=process.ending,
    )
    _listen_to_signals(process)
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=STOP_WITHIN)
    failures = [error for task in done if not task.cancelled() and (error := task.exception())]
    if not process.ending.is_set():
        why = failures[0] if failures else "no reason given"
        log.warning("kopf ended and is started again in %g s; jobs are looked after meanwhile: %s", KOPF_PAUSE, why)


def _listen_to_signals(process: Process) -> None:
    """Ours instead of kopf's, which it sets at each start: a second signal must not be an error."""
    loop = asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _on_signal, process, number)


def _on_signal(process: Process, number: signal.Signals) -> None:
    if not process.ending.is_set():
        last_resort = threading.Timer(STOP_WITHIN, os._exit, (Exit.CRASHED,))
        last_resort.daemon = True
        last_resort.start()
    process.end(Exit.STOPPED, f"{number.name} received")
