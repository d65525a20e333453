"""The work queue: which jobs are to be looked at, and when; every key once, never two workers on one key.

It knows nothing of what the work is. Time is the steady clock: how long to wait is told in seconds.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from typing import NamedTuple

from trainyard.kube.clock import steady
from trainyard.model.views import Key

FIRST_BACKOFF, LAST_BACKOFF = 0.5, 60.0
MOOT_ENTRIES = 1000
"""As many may lie in the heap beside twice the targets that wait, before all is put in order."""


class Target(NamedTuple):
    """What one pass is about: a job by its name, or, with `uid`, pods whose owner is not in the store."""

    key: Key
    uid: str = ""

    def __str__(self) -> str:
        return f"{self.key}@{self.uid}" if self.uid else str(self.key)


Work = Callable[[Target], Awaitable[None]]


class WorkQueue:
    """Deduplicates: adding a waiting target only ever makes it due sooner; adding an active one runs it again after."""

    def __init__(self, clock: Callable[[], float] = steady) -> None:
        self._clock = clock
        self._due: dict[Target, float] = {}
        self._heap: list[tuple[float, int, Target]] = []
        self._order = count()
        self._active: dict[Target, float] = {}
        self._failures: dict[Target, int] = {}
        self._not_before: dict[Target, float] = {}
        self._changed = asyncio.Event()

    def add(self, target: Target, delay: float = 0.0) -> None:
        """Look at it in `delay` seconds at the latest."""
        due = max(self._clock() + max(0.0, delay), self._not_before.get(target, 0.0))
        known = self._due.get(target)
        if known is not None and known <= due:
            return
        self._due[target] = due
        if target not in self._active:
            self._push(due, target)

    def take(self) -> Target | None:
        """The target that is due for longest, now active; None where none is due."""
        now = self._clock()
        for due, target in self._fresh():
            if due > now:
                return None
            heapq.heappop(self._heap)
            del self._due[target]
            self._active[target] = now
            return target
        return None

    def done(self, target: Target) -> None:
        """It was looked at, and all went well."""
        self._failures.pop(target, None)
        self._not_before.pop(target, None)
        self._release(target)

    def touch(self, target: Target) -> None:
        """Its worker has got something done."""
        if target in self._active:
            self._active[target] = self._clock()

    def blocked(self, target: Target) -> None:
        """It waits for something that should show in an event: again then, or after a pause."""
        self._again(target, 0.0)
        self._release(target)

    def failed(self, target: Target, at_least: float = 0.0) -> float:
        """It went wrong: again after a pause that doubles with each failure, whatever comes in. Returns that pause."""
        pause = self._again(target, at_least)
        self._not_before[target] = self._due[target]
        self._release(target)
        return pause

    def abandoned(self, target: Target) -> None:
        """Its worker is gone. One that was cancelled has said nothing of how it went, and the next leader of this
        process must find the target free."""
        if target in self._active:
            self._release(target)

    def _again(self, target: Target, at_least: float) -> float:
        failures = self._failures.get(target, 0) + 1
        self._failures[target] = failures
        pause = min(LAST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 16)) * random.uniform(0.5, 1.0)
        pause = max(pause, at_least)
        self._due[target] = self._clock() + pause
        return pause

    def clear(self) -> None:
        """Forget everything that is waiting."""
        self._due.clear()
        self._heap.clear()
        self._failures.clear()
        self._not_before.clear()

    def next_in(self) -> float | None:
        """Seconds until something is due; None where nothing waits."""
        for due, _ in self._fresh():
            return max(0.0, due - self._clock())
        return None

    async def changed(self, within: float | None) -> None:
        """Return when something was added or released, or after so many seconds."""
        loop = asyncio.get_running_loop()
        timer = None if within is None else loop.call_later(within, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            if timer is not None:
                timer.cancel()
            self._changed.clear()

    def depth(self) -> tuple[int, int, int]:
        """How many targets are ready, waiting for their time, and being worked on."""
        now = self._clock()
        ready = sum(1 for due in self._due.values() if due <= now)
        return ready, len(self._due) - ready, len(self._active)

    def oldest_ready(self) -> float:
        """For how many seconds the oldest target has been ready without being taken."""
        now = self._clock()
        waits = (now - due for target, due in self._due.items() if due <= now and target not in self._active)
        return max(waits, default=0.0)

    def longest_active(self) -> float:
        """For how many seconds a worker has been on one target without getting anything done."""
        return max((self._clock() - since for since in self._active.values()), default=0.0)

    def _push(self, due: float, target: Target) -> None:
        heapq.heappush(self._heap, (due, next(self._order), target))
        if len(self._heap) > 2 * len(self._due) + MOOT_ENTRIES:
            self._rebuild()
        if self._heap[0][0] == due:
            self._changed.set()

    def _rebuild(self) -> None:
        """One entry for each target. What an earlier time made moot would otherwise stay until its own comes, and a
        deadline in days leaves such an entry at every pass. Active targets are put in when they are released."""
        waiting = ((due, target) for target, due in self._due.items() if target not in self._active)
        self._heap = [(due, next(self._order), target) for due, target in waiting]
        heapq.heapify(self._heap)

    def _fresh(self) -> Iterator[tuple[float, Target]]:
        """The first entry that still stands; entries made moot by an earlier due time are dropped on the way."""
        while self._heap:
            due, _, target = self._heap[0]
            if self._due.get(target) == due and target not in self._active:
                yield due, target
                return
            heapq.heappop(self._heap)

    def _release(self, target: Target) -> None:
        del self._active[target]
        due = self._due.get(target)
        if due is not None:
            self._push(due, target)
        self._changed.set()


async def work(queue: WorkQueue, do: Work, workers: int) -> None:
    """Run `do` for whatever is due, at most `workers` at a time, until cancelled; nothing outlives it.

    `do` must not raise: what one job's failure means is its own to say (see `reconciler`).
    """
    running: set[asyncio.Task[None]] = set()

    def ended(task: asyncio.Task[None]) -> None:
        running.discard(task)
        queue._changed.set()

    try:
        while True:
            while len(running) < workers and (target := queue.take()) is not None:
                task = asyncio.ensure_future(_guarded(queue, do, target))
                running.add(task)
                task.add_done_callback(ended)
            await queue.changed(queue.next_in() if len(running) < workers else None)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _guarded(queue: WorkQueue, do: Work, target: Target) -> None:
    try:
        await do(target)
    finally:
        queue.abandoned(target)
