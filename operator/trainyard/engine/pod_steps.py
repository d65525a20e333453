"""Creating and deleting a gang's pods: many at a time, never more than is wanted, every answer into the store at once.

Creation starts slowly, so that a template that is refused costs one call and not a thousand, and stops as soon as the
job or one of its pods says that this gang is no longer wanted. A request under way is never abandoned: its answer is
awaited, because what it did must be known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from trainyard.engine.hands import Hands, Outcome, Pass, create_owned, is_mendable, is_passing
from trainyard.kube.errors import AlreadyExists, ApiError, Conflict, KubeError, NotFound, Unreachable
from trainyard.kube.resources import PODS
from trainyard.kube.transport import backoff
from trainyard.model.plan import CreatePods, CreateRefusal, DeletePods, PodRef
from trainyard.model.record import Record
from trainyard.model.translate import pod_view
from trainyard.model.views import NodeReady, NodeView

TRIES = 4
"""Of one request that failed in a passing way; then the pass fails, and the job backs off."""
FIRST_PAUSE, LAST_PAUSE = 0.2, 5.0

T = TypeVar("T")
RankedPod = tuple[int, Mapping[str, Any]]


async def create_pods(hands: Hands, step: Pass, create: CreatePods) -> Outcome:
    """1, 2, 4 … at a time, then a bounded window; at once where pods of this attempt have been accepted before."""
    record = hands.store.children.records(step.snapshot.uid).get(create.attempt)
    if record is None:
        return Outcome.MOOT
    creation = _Creation(hands, step, record)
    pods = zip(create.ranks, hands.manifests.pods(step.job, record, create.ranks, create.avoid), strict=True)
    accepted = any(p.incarnation == create.attempt for p in step.snapshot.pods)
    width = hands.settings.create_window if accepted else 1
    while width < hands.settings.create_window:
        batch = _take(pods, width)
        if not batch or not await creation.run(batch, width):
            return creation.outcome()
        width *= 2
    await creation.run(pods, hands.settings.create_window)
    return creation.outcome()


class _Creation:
    """One CreatePods step under way."""

    def __init__(self, hands: Hands, step: Pass, record: Record) -> None:
        self._hands = hands
        self._step = step
        self._record = record
        self._news = hands.store.gang(step.snapshot.uid).news
        self._stopped = ""
        """Why, once it was."""
        self._error: KubeError | None = None
        self._created = 0

    async def run(self, pods: Iterable[RankedPod], width: int) -> bool:
        """Create them, `width` at a time; False once it was stopped."""
        await in_parallel(self._create_one, pods, width)
        return not self._stopped

    def outcome(self) -> Outcome:
        if self._created:
            self._step.log.info("pods created", pods=self._created, stopped=self._stopped or None)
            self._hands.telemetry.pods(self._created, 0)
        if self._error is not None:
            raise self._error
        return Outcome.MOOT if self._stopped else Outcome.DONE

    async def _create_one(self, pod: RankedPod) -> bool:
        """False: no further ones."""
        rank, body = pod
        if self._stopped or self._unwanted(rank):
            return False
        try:
            await self._post(rank, body)
        except KubeError as error:
            self._refused(rank, error)
        return not self._stopped

    async def _post(self, rank: int, body: Mapping[str, Any]) -> None:
        hands = self._hands
        for attempt in range(1, TRIES + 1):
            try:
                raw = await create_owned(hands, self._step, PODS, body)
                break
            except (ApiError, Unreachable) as error:
                again = is_passing(error) or isinstance(error, AlreadyExists)
                if not again or attempt == TRIES:
                    raise
                await asyncio.sleep(_pause(error, attempt))
                if self._unwanted(rank):
                    return
        if raw is None:
            self._stopped = "a name is taken"
            return
        self._created += 1
        self._step.progress()
        hands.store.upsert_pod(pod_view(raw))

    def _refused(self, rank: int, error: KubeError) -> None:
        self._stopped = "a pod was refused"
        if is_mendable(error):
            assert isinstance(error, ApiError)
            notes = self._hands.store.memory.of(self._step.snapshot.uid)
            notes.refused = CreateRefusal(self._record.attempt, rank, error.status, error.message)
            self._step.log.warning("a pod is refused", rank=rank, code=error.status, error=error.message)
        elif self._error is None:
            self._error = error

    def _unwanted(self, rank: int) -> bool:
        self._stopped = self._stopped or self._obstacle(rank)
        return self._stopped != ""

    def _obstacle(self, rank: int) -> str:
        """Why no pod of this rank is wanted: the job is not as it was planned, one of its pods has failed, or the
        rank's node would no longer take it."""
        store, snapshot = self._hands.store, self._step.snapshot
        job = store.job_of(snapshot.uid)
        if job is None or job.deletion is not None or job.generation != self._step.job.generation:
            return "the job has changed"
        status = job.status
        if not status.open or status.attempt != self._record.attempt or status.finishing is not None:
            return "the attempt is closed"
        if store.gang(snapshot.uid).news != self._news:
            return "a pod has failed or is being deleted"
        node = self._record.nodes[rank]
        judged = node and "nodes" not in snapshot.unseen
        if judged and not _still_takes_pods(snapshot.nodes.get(node), store.nodes.get(node)):
            return f"node {node} has changed"
        return ""


def _still_takes_pods(planned: NodeView | None, now: NodeView | None) -> bool:
    """Whether it was fit when the pods were planned is judged; only what has become worse since counts here."""
    if planned is None or now is None or now is planned:
        return now is planned
    if now.uid != planned.uid or now.deleting or now.ready is not NodeReady.TRUE:
        return False
    new = [t for t in now.taints if t.effect != "PreferNoSchedule" and t not in planned.taints]
    return not new and now.unschedulable <= planned.unschedulable


async def delete_pods(hands: Hands, step: Pass, delete: DeletePods) -> Outcome:
    """With UID preconditions, in parallel. Only pods that the job still owns (I4), and, when it is gone, only those a
    live LIST has shown. What somebody else has been deleting since is left to him: the garbage collector goes through
    the same pods when their job is gone."""
    uid = step.snapshot.uid
    pods = [
        ref for ref in delete.pods if (step.confirmed is None or ref.uid in step.confirmed) and _owned(hands, uid, ref)
    ]
    deletion = _Deletion(hands, step, delete.grace)
    await in_parallel(deletion.one, pods, hands.settings.delete_window)
    if deletion.answered:
        step.log.info("pods deleted", pods=deletion.answered, why=delete.why)
        hands.telemetry.pods(0, deletion.answered)
    if deletion.error is not None:
        raise deletion.error
    return Outcome.DONE


class _Deletion:
    """One DeletePods step under way. What one pod's request met does not keep the others."""

    def __init__(self, hands: Hands, step: Pass, grace: int | None) -> None:
        self._hands = hands
        self._step = step
        self._namespace = step.snapshot.key.namespace
        self._grace = grace
        self.answered = 0
        self.error: KubeError | None = None

    async def one(self, ref: PodRef) -> bool:
        if self._is_ending(ref):
            return True
        try:
            await self._delete(ref)
        except KubeError as error:
            self.error = self.error or error
        return True

    def _is_ending(self, ref: PodRef) -> bool:
        """It is gone, or goes as soon as this request would have it go."""
        held = self._hands.store.table.pods.get(ref.uid)
        if held is None:
            return True
        return held.deletion is not None and (self._grace is None or held.deletion_grace <= self._grace)

    async def _delete(self, ref: PodRef) -> None:
        for attempt in range(1, TRIES + 1):
            try:
                answer = await self._hands.client.delete(
                    PODS, ref.name, self._namespace, uid=ref.uid, grace_period_seconds=self._grace
                )
                break
            except (NotFound, Conflict):
                return  # gone, or another pod stands under its name
            except (ApiError, Unreachable) as error:
                if not is_passing(error) or attempt == TRIES:
                    raise
                await asyncio.sleep(_pause(error, attempt))
        self.answered += 1
        self._step.progress()
        if answer.get("kind") == "Pod":
            self._hands.store.upsert_pod(pod_view(answer))


def _owned(hands: Hands, uid: str, ref: PodRef) -> bool:
    held = hands.store.table.pods.get(ref.uid)
    return held is not None and held.job_uid == uid


def _pause(error: ApiError | Unreachable, attempt: int) -> float:
    asked = error.retry_after if isinstance(error, ApiError) else None
    return max(asked or 0.0, backoff(attempt, FIRST_PAUSE, LAST_PAUSE))


def _take(items: Iterator[T], many: int) -> list[T]:
    return [item for _, item in zip(range(many), items, strict=False)]


async def in_parallel(do: Callable[[T], Awaitable[bool]], items: Iterable[T], width: int) -> None:
    """Call `do` on each, `width` at a time, until one answers False or raises; all calls that were begun are ended."""
    source = iter(items)
    stopped = False

    async def lane() -> None:
        nonlocal stopped
        for item in source:
            if stopped or not await do(item):
                stopped = True
                return

    lanes = [asyncio.ensure_future(lane()) for _ in range(width)]
    try:
        done, _ = await asyncio.wait(lanes)
    except asyncio.CancelledError:
        for task in lanes:
            task.cancel()
        await asyncio.gather(*lanes, return_exceptions=True)
        raise
    failures = [failure for task in done if (failure := task.exception()) is not None]
    if failures:
        raise failures[0]
