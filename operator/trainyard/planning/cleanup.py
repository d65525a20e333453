"""What has to go: hosts and pods of closed attempts, what a finished job leaves, records that nobody asks for any more.

Deletes only; they come before any create. Of pods only terminal ones are ever kept, to be read.
"""

from __future__ import annotations

from collections.abc import Iterable

from trainyard.api.reasons import Cause
from trainyard.api.types import CleanPods
from trainyard.model.plan import DeleteHosts, DeletePods, DeleteRecord, PodRef, Step
from trainyard.model.views import PodPhase, PodView
from trainyard.planning.situation import Situation

READ_SECONDS = 3.0
"""How long a pod whose trainer has ended, and other containers perhaps not, is waited for; kubelets need a fraction."""

COUNTED_SECONDS = 10.0
"""A quota's count follows the pods: what it seems to leave no room for may have it in a moment."""

_BROKEN = (Cause.APPLICATION_FAILURE, Cause.DISRUPTION, Cause.START_ROLLED_BACK)
"""Closes after which a collective has nothing left to save."""


def cleanup(now: Situation) -> tuple[Step, ...]:
    """Deletions that the durable decisions so far call for, hosts first: no late pod of a closed attempt can start."""
    return (*_hosts(now), *_pods(now), *_records(now))


def _over(now: Situation) -> bool:
    return now.status.finishing is not None or now.status.terminal


def _hosts(now: Situation) -> Iterable[Step]:
    for attempt, hosts in sorted(now.snapshot.hosts.items()):
        current = now.status.open and attempt == now.status.attempt
        if hosts.owner_uid == now.job.uid and not hosts.deleting and (not current or _over(now)):
            yield DeleteHosts(attempt, hosts.name, hosts.uid)


def _pods(now: Situation) -> Iterable[Step]:
    closed = _of_closed_attempts(now)
    for grace, pods in _by_grace(now, [p for p in closed if not p.terminal and not _about_to_be_read(now, p)]):
        yield DeletePods(pods, grace, "their attempt is closed")
    ended = [p for p in closed if p.terminal and p.deletion is None]
    read = kept_to_be_read(now) if ended else frozenset()
    stale = tuple(PodRef(p.name, p.uid) for p in ended if p.uid not in read)
    if stale:
        yield DeletePods(stale, None, "ended pods of closed attempts")


def _of_closed_attempts(now: Situation) -> list[PodView]:
    """Membership is read from the record; a label decides only where the record cannot be had."""
    pods = now.snapshot.pods
    if _over(now) or not now.status.open:
        return list(pods)
    if now.members:
        names = now.member_names
        return [p for p in pods if p.name not in names]
    return [p for p in pods if p.incarnation != now.status.attempt]


def _about_to_be_read(now: Situation, pod: PodView) -> bool:
    """To be kept, and in the moment between its trainer's end and its own: deleted now, its log would be lost."""
    if pod.trainer.exit_code is None or pod.deletion is not None:
        return False
    if not _is_last_word(now, pod) and not _is_first_failed(now, pod):
        return False
    return not now.note.lasted(f"trainer-ended:{pod.uid}", READ_SECONDS)


def _is_last_word(now: Situation, pod: PodView) -> bool:
    """It ran in the attempt that a finishing job ends with."""
    cleaned = now.spec is not None and now.spec.clean_pods is CleanPods.ALL
    return _over(now) and pod.incarnation == now.status.attempt and not cleaned


def _is_first_failed(now: Situation, pod: PodView) -> bool:
    return now.failure_policy.keep_failed_pods > 0 and any(e.pod == pod.name for e in now.status.episodes)


def _by_grace(now: Situation, pods: list[PodView]) -> Iterable[tuple[int | None, tuple[PodRef, ...]]]:
    """A broken collective has nothing to save and gets the short grace; a suspended or finished one keeps its own.

    A longer grace that somebody else's delete gave a broken one is cut short.
    """
    short = now.failure_policy.restart_grace_period_seconds
    causes = {e.attempt: e.cause for e in now.status.episodes}
    hurried = [p for p in pods if causes.get(p.incarnation) in _BROKEN]
    broken = [p for p in hurried if p.deletion is None or p.deletion_grace > short]
    others = [p for p in pods if p.deletion is None and causes.get(p.incarnation) not in _BROKEN]
    if broken:
        yield short, tuple(PodRef(p.name, p.uid) for p in broken)
    if others:
        yield None, tuple(PodRef(p.name, p.uid) for p in others)


def kept_to_be_read(now: Situation) -> frozenset[str]:
    """UIDs of ended pods that stay: the newest first-failed pods, and what a finished job keeps by cleanPods. None
    where the next attempt cannot open beside them: a log is worth less than the training."""
    ended = [p for p in now.snapshot.pods if p.terminal]
    refusal = now.snapshot.refusal
    in_the_way = now.waits and refusal is not None and refusal.clear_kept
    if in_the_way and now.note.lasted("kept pods are in the way", COUNTED_SECONDS):
        return frozenset()
    if now.status.terminal and now.spec is not None and now.spec.clean_pods is CleanPods.ALL:
        return frozenset()
    first_failed = [e.pod for e in reversed(now.status.episodes) if e.pod]
    by_name = {p.name: p for p in ended if p.phase is PodPhase.FAILED}
    kept = [by_name[name].uid for name in dict.fromkeys(first_failed) if name in by_name]
    keep = set(kept[: now.failure_policy.keep_failed_pods])
    if _over(now):
        keep.update(p.uid for p in ended if p.incarnation == now.status.attempt)
    return frozenset(keep)


def _records(now: Situation) -> Iterable[Step]:
    """A record goes once its attempt is two behind and its episode is settled, or where its job was suspended before
    status named it: nothing ever ran by it, and it would keep the nodes of a job that shall hold none."""
    unsettled = {e.attempt for e in now.status.episodes if not e.settled}
    for attempt, record in sorted(now.snapshot.records.items()):
        stale = attempt < now.status.attempt - 1 and attempt not in unsettled
        unused = attempt == now.status.attempt and not now.status.open and now.job.suspend
        if (stale or unused) and not record.deleting:
            yield DeleteRecord(attempt, record.name, record.uid)
