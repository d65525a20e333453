"""Closing an attempt, settling the blame, and what that costs: counters, budget, backoff.

Restart now, blame later: in the commonest failure the survivors exit 1 half a minute before the dead node shows. So a
failure closes its attempt at once, and its episode is charged only once no infrastructure evidence came in time.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from trainyard.api.reasons import Cause, ConditionType, Reason
from trainyard.model.cluster import NOTHING_AVOIDED, Avoided
from trainyard.model.plan import PlanningPolicy
from trainyard.model.status import (
    Episode,
    JobStatus,
    Restarts,
    RoleStatus,
    Streaks,
    episodes_unsettled,
)
from trainyard.model.views import Instant
from trainyard.planning.failure import Verdict
from trainyard.planning.situation import Situation

MAX_EPISODES = 20
_COUNTED = (Cause.APPLICATION_FAILURE, Cause.DISRUPTION)
_MAX_DISRUPTION_BACKOFF = 300.0
_MESSAGE_LIMIT = 1024
_FAILED_STARTS = (Reason.UNSCHEDULABLE, Reason.NODE_REFUSED, Reason.START_DEADLINE_EXCEEDED)
"""Their node was there and did not start the pod; with all other reasons it was only away."""


def close(now: Situation, verdict: Verdict) -> JobStatus:
    """The status that closes the open attempt: the attempt moves, the episode and its counters with it."""
    status = now.status
    settled = verdict.cause is not Cause.APPLICATION_FAILURE
    episode = Episode(
        attempt=status.attempt,
        at=now.now,
        cause=verdict.cause,
        reason=verdict.reason,
        rank=verdict.rank,
        pod=verdict.pod,
        node=verdict.node,
        exit_code=verdict.exit_code,
        message=verdict.message[:_MESSAGE_LIMIT],
        settled=settled,
    )
    restarts = status.restarts
    if verdict.cause in _COUNTED:
        disruptions = restarts.disruption + (verdict.cause is Cause.DISRUPTION)
        restarts = replace(restarts, total=restarts.total + 1, disruption=disruptions)
    return replace(
        status,
        attempt=status.attempt + 1,
        gang_created=False,
        started_at=None if verdict.cause is Cause.SUSPENDED else status.started_at,
        episodes=_trim((*status.episodes, episode)),
        restarts=restarts,
        streaks=_streaks(status, verdict.cause, now.now, now.policy),
        roles=tuple(RoleStatus(r.name, r.desired) for r in status.roles),
    )


def _streaks(status: JobStatus, cause: Cause, now: Instant, policy: PlanningPolicy) -> Streaks:
    streaks = status.streaks
    running = status.condition(ConditionType.RUNNING)
    if running is not None and running.status is True and now - running.since >= policy.healthy_run_seconds:
        streaks = Streaks()
    if cause is Cause.APPLICATION_FAILURE:
        return replace(streaks, application=streaks.application + 1)
    if cause in (Cause.DISRUPTION, Cause.START_ROLLED_BACK):
        return replace(streaks, disruption=streaks.disruption + 1)
    return streaks


def _trim(episodes: tuple[Episode, ...]) -> tuple[Episode, ...]:
    """The newest 20; unsettled ones are never trimmed."""
    surplus = len(episodes) - MAX_EPISODES
    kept: list[Episode] = []
    for episode in episodes:
        if surplus > 0 and episode.settled:
            surplus -= 1
        else:
            kept.append(episode)
    return tuple(kept)


def settle(now: Situation) -> JobStatus:
    """The status with every episode settled that can be; the same object where none can."""
    status = now.status
    for position, episode in enumerate(status.episodes):
        if episode.settled:
            continue
        evidence = _evidence(now, episode)
        if evidence is not None:
            status = _as_disruption(status, position, *evidence)
        elif now.note.expired(f"unsettled:{episode.attempt}", episode.at, now.policy.settle_seconds):
            status = _as_charged(status, position, now)
    return status


def settle_all(now: Situation) -> JobStatus:
    """The status with nothing left open: a job that finishes charges what no evidence has excused."""
    status = settle(now)
    for position, episode in enumerate(status.episodes):
        if not episode.settled:
            status = _as_charged(status, position, now)
    return status


def _evidence(now: Situation, episode: Episode) -> tuple[Reason, str, str] | None:
    """Infrastructure evidence about any node of the episode's attempt: (reason, node, words). Never our own deletes."""
    pods = [p for p in (*now.snapshot.pods, *now.snapshot.collected) if p.incarnation == episode.attempt]
    record = now.snapshot.records.get(episode.attempt)
    recorded = record.nodes if record else (episode.node,)
    # Where somebody else placed the gang its record names no nodes; the pods do.
    for node in dict.fromkeys((*recorded, *(p.node for p in pods))):
        if now.node_lost(node):
            return Reason.NODE_LOST, node, f"node {node} is gone from the cluster"
        if now.node_unreachable(node):
            return Reason.NODE_UNREACHABLE, node, f"node {node} stopped answering"
    for pod in pods:
        if pod.disruption:
            return Reason.EVICTED, pod.node, f"pod {pod.name} was disrupted: {pod.disruption}"
    if episode.attempt in now.shaken:
        # Which node it was is no longer known: that of the first rank to fail need not be at fault.
        return Reason.NODE_UNREACHABLE, "", "nodes of the gang had fallen silent shortly before"
    return None


def _as_disruption(status: JobStatus, position: int, reason: Reason, node: str, words: str) -> JobStatus:
    old = status.episodes[position]
    message = f"{words}; seen first as: {old.message}"[:_MESSAGE_LIMIT]
    new = replace(old, cause=Cause.DISRUPTION, reason=reason, node=node, message=message, settled=True)
    restarts = replace(status.restarts, disruption=status.restarts.disruption + 1)
    streaks = Streaks(max(0, status.streaks.application - 1), status.streaks.disruption + 1)
    return replace(_with_episode(status, position, new), restarts=restarts, streaks=streaks)


def _as_charged(status: JobStatus, position: int, now: Situation) -> JobStatus:
    old = status.episodes[position]
    new = replace(old, settled=True, charged=True)
    charged = (*charged_within(status.restarts, now), old.at)
    restarts = replace(status.restarts, application=status.restarts.application + 1, charged=charged)
    return replace(_with_episode(status, position, new), restarts=restarts)


def _with_episode(status: JobStatus, position: int, episode: Episode) -> JobStatus:
    episodes = (*status.episodes[:position], episode, *status.episodes[position + 1 :])
    return replace(status, episodes=episodes)


def charged_within(restarts: Restarts, now: Situation) -> tuple[Instant, ...]:
    """Charged failures that still count: those inside the sliding window."""
    window = now.failure_policy.window_seconds
    return tuple(at for at in restarts.charged if now.now - at < window)


def budget_spent(now: Situation) -> str | None:
    """Words for a spent budget, or None."""
    charged = len(charged_within(now.status.restarts, now))
    allowed = now.failure_policy.max_restarts
    if charged <= allowed:
        return None
    last = next((e for e in reversed(now.status.episodes) if e.charged), None)
    tail = f"; last: {last.message}" if last else ""
    return (
        f"{charged} application failures within {now.failure_policy.window_seconds} s, "
        f"failurePolicy.maxRestarts allows {allowed}{tail}"
    )


def awaits_cause(now: Situation) -> str | None:
    """Why the next attempt waits for a verdict, or None: were every unsettled failure charged, the budget must hold."""
    unsettled = episodes_unsettled(now.status.episodes)
    if not unsettled:
        return None
    charged = len(charged_within(now.status.restarts, now))
    allowed = now.failure_policy.max_restarts
    if charged + len(unsettled) <= allowed and len(unsettled) < MAX_EPISODES:
        return None
    return (
        f"{len(unsettled)} failures are not yet blamed and {charged} are charged of {allowed} allowed; a failure is "
        f"charged {now.policy.settle_seconds:.0f} s after it was seen, unless a node turns out to be its cause"
    )


def next_open_at(now: Situation) -> Instant:
    """When the next attempt may open, by the backoff of whatever closed the last one."""
    last = now.status.last_close
    if last is None:
        return 0.0
    delay, longest = _delay(now, last)
    return last.at + min(longest, delay * _jitter(now.job.uid, now.status.attempt))


def _delay(now: Situation, last: Episode) -> tuple[float, float]:
    """The delay before its jitter, and the longest that may come of it."""
    if last.cause is Cause.APPLICATION_FAILURE:
        if not last.settled and not _failed_shortly_before(now, last):
            return 0.0, 0.0  # restart now, blame later
        backoff = now.failure_policy.backoff
        doubled = backoff.initial_seconds * 2.0 ** max(0, min(now.status.streaks.application - 1, 20))
        return doubled, float(backoff.max_seconds)
    if last.cause in (Cause.DISRUPTION, Cause.START_ROLLED_BACK):
        repeated = now.status.streaks.disruption - 1
        return (2.0 ** min(repeated - 1, 20) if repeated > 0 else 0.0), _MAX_DISRUPTION_BACKOFF
    return 0.0, 0.0


def _failed_shortly_before(now: Situation, last: Episode) -> bool:
    """By the past alone: were it asked who is unsettled, a delay that was told would end when the older one settles."""
    since = last.at - now.policy.settle_seconds
    return any(
        e.cause is Cause.APPLICATION_FAILURE and e.at > since for e in now.status.episodes if e.attempt != last.attempt
    )


def _jitter(uid: str, attempt: int) -> float:
    """Between 0.75 and 1.25, spread over jobs and attempts, the same whenever it is asked."""
    digest = hashlib.sha256(f"{uid}/{attempt}".encode()).digest()
    return 0.75 + int.from_bytes(digest[:4], "big") / 2**33


def avoided_nodes(now: Situation) -> Avoided:
    """Nodes that recently failed this job: its next attempts go elsewhere until the memory ages out."""
    recent = [e for e in now.status.episodes if e.node and _avoided(e) and now.now - e.at < now.policy.avoid_seconds]
    if not recent:
        return NOTHING_AVOIDED
    now.note.due(min(e.at for e in recent) + now.policy.avoid_seconds)
    starts = [e for e in recent if e.reason in _FAILED_STARTS]
    until = max((e.at for e in starts), default=0.0) + now.policy.avoid_seconds
    failed = frozenset(e.node for e in starts)
    return Avoided(failed, frozenset(e.node for e in recent) - failed, until)


def _avoided(episode: Episode) -> bool:
    """The second node to refuse a pod for one reason is left too, where there are others: the template is charged, and
    yet two nodes may be broken alike."""
    return blames_node(episode) or episode.reason is Reason.ADMISSION_ERROR


def blames_node(episode: Episode) -> bool:
    """Its node is at fault, as far as anybody can tell."""
    if episode.cause is Cause.START_ROLLED_BACK:
        return episode.reason in (*_FAILED_STARTS, Reason.NOT_READY_NODES)
    return episode.reason in (Reason.NODE_LOST, Reason.NODE_UNREACHABLE, Reason.EVICTED)
