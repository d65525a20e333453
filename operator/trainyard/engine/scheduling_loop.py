"""Rounds of the scheduler: gathers changes for a moment, asks `schedule`, keeps the grants, passes on why jobs wait.

It writes nothing to the cluster: a grant is a promise in the store, which the job's own worker commits or lets lapse.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from trainyard.api.reasons import Reason
from trainyard.engine.hands import Hands
from trainyard.engine.queue import Target
from trainyard.engine.snapshots import cluster_snapshot
from trainyard.kube.clock import steady
from trainyard.model.cluster import ClusterSnapshot, Decision, GangRequest, SchedulingPolicy
from trainyard.model.views import Instant

Scheduler = Callable[[ClusterSnapshot, Sequence[GangRequest], SchedulingPolicy, Instant], Decision]

LARGE = 20_000
"""Nodes times jobs from which a round is worked out beside the event loop."""
LONGEST_PAUSE = 10.0
"""Before a round, in seconds: a process that was stopped in the middle of one must not take hours to start the next."""
AFTER_ERROR = 5.0
LEFT_OUT_SECONDS = 60.0
"""For which a request that breaks the scheduler is not judged again, unless it changes."""

log = structlog.get_logger(__name__)


class SchedulingLoop:
    """Runs while this process leads and the store is filled."""

    def __init__(self, hands: Hands, scheduler: Scheduler, mark: Callable[[Target], None]) -> None:
        self._hands = hands
        self._scheduler = scheduler
        self._mark = mark
        self._wake = asyncio.Event()
        self._took = 0.0
        self._round_at: float | None = None
        """When a refused job is to be judged again though nothing changes (steady clock)."""
        self._left_out: dict[str, tuple[GangRequest, float]] = {}
        """By job UID: a request that breaks the scheduler, and until when it is left out (steady clock)."""
        self._resting: tuple[GangRequest, ...] = ()
        """What the latest round was about, where each of them waits for its time alone and has been told so."""

    def wake(self) -> None:
        """Something changed that a round may answer."""
        self._wake.set()

    async def run(self) -> None:
        """Round after round until cancelled."""
        self._wake.set()
        self._resting = ()
        while True:
            await self._woken()
            await asyncio.sleep(self.pause)
            self._wake.clear()
            try:
                await self._round()
            except Exception:
                log.exception("a round of the scheduler failed")
                self._round_at = steady() + AFTER_ERROR

    @property
    def pause(self) -> float:
        """The dearer a round, the rarer: a storm of changes costs at most a third of a processor, unless a round takes
        more than five seconds."""
        return min(LONGEST_PAUSE, max(self._hands.settings.schedule_debounce, 2 * self._took))

    async def _woken(self) -> None:
        ends = [end for end in (self._hands.store.memory.next_lapse(), self._until_round()) if end is not None]
        try:
            async with asyncio.timeout(min(ends) if ends else None):
                await self._wake.wait()
        except TimeoutError:
            return

    def _until_round(self) -> float | None:
        return None if self._round_at is None else max(0.0, self._round_at - steady())

    async def _round(self) -> None:
        store = self._hands.store
        self._round_at = None
        lapsed = store.memory.lapse()
        for grant in lapsed:
            log.warning("grant lapsed", job=str(grant.key), uid=grant.uid, attempt=grant.attempt)
            self._mark(Target(grant.key))
        requests = self._requests()
        if not requests:
            self._took = 0.0
            self._hands.telemetry.scheduled(0.0, 0, 0, len(lapsed))
            return
        now, started = self._hands.client.clock.now(), steady()
        if not lapsed and self._rests(requests, now):
            return
        cluster = cluster_snapshot(store)
        decision = await self._decide(cluster, requests, now)
        self._took = steady() - started
        self._keep(decision, {request.uid: request for request in requests}, now)
        only_early = all(refusal.reason is Reason.BACKOFF for refusal in decision.refusals)
        self._resting = requests if only_early and len(decision.refusals) == len(requests) else ()
        if self._left_out:
            again = min(until for _, until in self._left_out.values())
            self._round_at = again if self._round_at is None else min(self._round_at, again)
        self._hands.telemetry.scheduled(self._took, len(requests), len(decision.grants), len(lapsed))

    def _rests(self, requests: tuple[GangRequest, ...], now: Instant) -> bool:
        """No change in the cluster could place any of these yet. While the pods of a restarting gang end, each of them
        is such a change, and its job only keeps its nodes."""
        same = len(requests) == len(self._resting) and all(a is b for a, b in zip(requests, self._resting, strict=True))
        due = min(request.not_before for request in requests)
        if not same or due <= now:
            return False
        self._round_at = steady() + due - now
        return True

    async def _decide(self, cluster: ClusterSnapshot, requests: Sequence[GangRequest], now: Instant) -> Decision:
        """I21: a request that breaks the scheduler must not keep all others from their places."""
        self._left_out = {uid: (r, until) for uid, (r, until) in self._left_out.items() if until > steady()}
        try:
            return await self._judge(cluster, self._sound(requests), now)
        except Exception:
            log.exception("a round of the scheduler failed, looking for the job that breaks it")
        for request in self._sound(requests):
            try:
                await self._judge(cluster, (request,), now)
            except Exception as error:
                self._left_out[request.uid] = (request, steady() + LEFT_OUT_SECONDS)
                words = f"{type(error).__name__}: {error}"
                log.error("this job cannot be placed", job=str(request.key), uid=request.uid, error=words)
            await asyncio.sleep(0)
        return await self._judge(cluster, self._sound(requests), now)

    def _sound(self, requests: Sequence[GangRequest]) -> tuple[GangRequest, ...]:
        return tuple(r for r in requests if self._left_out.get(r.uid, (None, 0.0))[0] != r)

    async def _judge(self, cluster: ClusterSnapshot, requests: Sequence[GangRequest], now: Instant) -> Decision:
        """Beside the event loop where it takes long."""
        policy = self._hands.settings.scheduling
        if len(requests) * len(cluster.nodes) >= LARGE:
            return await asyncio.to_thread(self._scheduler, cluster, requests, policy, now)
        return self._scheduler(cluster, requests, policy, now)

    def _requests(self) -> tuple[GangRequest, ...]:
        """A request whose record is written has been served, though its job has not said so yet."""
        children = self._hands.store.children
        return tuple(r for r in self._hands.store.memory.requests() if r.attempt not in children.records(r.uid))

    def _keep(self, decision: Decision, asked: dict[str, GangRequest], now: Instant) -> None:
        memory, current = self._hands.store.memory, {r.uid: r for r in self._requests()}
        seconds = self._hands.settings.planning.grant_seconds
        for grant in decision.grants:
            request = current.get(grant.uid)
            if request is None or request != asked[grant.uid]:
                self._wake.set()  # the job has changed its mind meanwhile
                continue
            memory.hold(grant, request, seconds)
            memory.of(grant.uid).refusal = None
            self._hands.telemetry.granted(grant.uid, grant.attempt, now)
            log.info("granted", job=str(grant.key), uid=grant.uid, attempt=grant.attempt, pods=request.size)
            self._mark(Target(grant.key))
        untils: list[float] = []
        for refusal in decision.refusals:
            if refusal.uid not in current:
                continue
            if memory.refuse(refusal):
                log.info(
                    "waits",
                    job=str(refusal.key),
                    uid=refusal.uid,
                    attempt=current[refusal.uid].attempt,
                    reason=refusal.reason.value,
                    why=refusal.message,
                )
                self._mark(Target(refusal.key))
            if refusal.until is not None:
                untils.append(refusal.until)
        if untils:
            self._round_at = steady() + max(0.05, min(untils) - now)
