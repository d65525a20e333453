"""Watches the pods and jobs of one namespace and notes when each count moved; the same eyes for every measurement.

All instants are this process's monotonic clock at the arrival of the watch event.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trainyard.kube.client import Client
from trainyard.kube.resources import PODS, TRAINING_JOBS, Resource

Object = dict[str, Any]
STAGES = ("created", "bound", "running", "failed", "doomed", "gone")


class BenchFailed(Exception):
    """A measurement could not be made; the words say what did not happen."""


@dataclass
class Tally:
    """How many pods of one attempt of one job reached each stage, and when the first and the last of them did."""

    count: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STAGES, 0))
    first: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)

    def note(self, stage: str, now: float) -> None:
        self.count[stage] += 1
        self.first.setdefault(stage, now)
        self.last[stage] = now


@dataclass
class Seen:
    """One pod, as it last was."""

    name: str
    uid: str
    node: str = ""
    stages: set[str] = field(default_factory=set)


class Eyes:
    """Use as an async context manager."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.pods: dict[str, Seen] = {}
        self.jobs: dict[str, Object] = {}
        self.tallies: dict[tuple[str, int], Tally] = {}
        self.pod_events = 0
        self.attempt_seen: dict[tuple[str, int], float] = {}
        """When a job's status first named this attempt."""

    async def __aenter__(self) -> Eyes:
        for resource in (PODS, TRAINING_JOBS):
            page = await self._client.list(resource, self._namespace)
            self._tasks.append(asyncio.create_task(self._watch(resource, page.resource_version)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def tally(self, job: str, attempt: int = 0) -> Tally:
        return self.tallies.setdefault((job, attempt), Tally())

    def pods_of(self, job: str) -> list[Seen]:
        """Those that are there now."""
        return [pod for pod in self.pods.values() if pod.name.startswith(f"{job}-")]

    def phase(self, job: str) -> str:
        status = self.jobs.get(job, {}).get("status") or {}
        return str(status.get("phase", ""))

    async def until(self, true: Callable[[], bool], what: str, seconds: float) -> None:
        """Woken by the event that makes it true."""
        if true():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (true, future)
        self._waiting.append(entry)
        try:
            await asyncio.wait_for(asyncio.shield(future), seconds)
        except TimeoutError:
            raise BenchFailed(f"not within {seconds:.0f} s: {what}\n{self._known()}") from None
        finally:
            self._waiting.remove(entry)

    async def reached(self, job: str, stage: str, count: int, seconds: float, attempt: int = 0) -> float:
        """When that many pods of an attempt had reached a stage."""
        tally = self.tally(job, attempt)
        what = f"{count} pods of {job}, attempt {attempt}, {stage}"
        await self.until(lambda: tally.count[stage] >= count, what, seconds)
        return tally.last[stage]

    async def _watch(self, resource: Resource, version: str) -> None:
        note = self._note_pod if resource is PODS else self._note_job
        while True:
            async for event in self._client.watch(resource, self._namespace, resource_version=version):
                version = event.object["metadata"]["resourceVersion"]
                if event.type != "BOOKMARK":
                    note(event.type, event.object)
                    self._wake()

    def _wake(self) -> None:
        for true, future in self._waiting:
            if not future.done() and true():
                future.set_result(None)

    def _note_job(self, kind: str, job: Object) -> None:
        name = job["metadata"]["name"]
        if kind == "DELETED":
            self.jobs.pop(name, None)
            return
        self.jobs[name] = job
        attempt = (job.get("status") or {}).get("attempt", 0)
        self.attempt_seen.setdefault((name, attempt), time.monotonic())

    def _note_pod(self, kind: str, pod: Object) -> None:
        self.pod_events += 1
        now, meta = time.monotonic(), pod["metadata"]
        labels = meta.get("labels") or {}
        job = labels.get("trainyard.dev/job")
        if job is None:
            return
        tally = self.tally(job, int(labels.get("trainyard.dev/attempt", "0")))
        seen = self.pods.setdefault(meta["uid"], Seen(meta["name"], meta["uid"]))
        seen.node = pod["spec"].get("nodeName", "")
        for stage in _stages(kind, pod):
            if stage not in seen.stages:
                seen.stages.add(stage)
                tally.note(stage, now)
        if kind == "DELETED":
            del self.pods[meta["uid"]]

    def _known(self) -> str:
        lines = [f"{job} attempt {attempt}: {tally.count}" for (job, attempt), tally in self.tallies.items()]
        return "\n".join([*lines, *(f"{name}: {self.phase(name)}" for name in self.jobs)])


def _stages(kind: str, pod: Object) -> list[str]:
    stages = ["created"]
    if pod["spec"].get("nodeName"):
        stages.append("bound")
    phase = (pod.get("status") or {}).get("phase")
    if phase == "Running":
        stages.append("running")
    if phase == "Failed":
        stages.append("failed")
    if pod["metadata"].get("deletionTimestamp"):
        stages.append("doomed")
    if kind == "DELETED":
        stages.append("gone")
    return stages
