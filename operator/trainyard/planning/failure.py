"""What went wrong with the open attempt, rank by rank, and who is to blame at first sight.

A verdict is formed from the final object alone: infrastructure evidence first, the exit code after. The blame may be
moved later, when an episode is settled (see `restart`); the restart itself never waits for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from trainyard.api.reasons import Cause, Reason
from trainyard.model.status import Episode
from trainyard.model.views import PodPhase, PodView
from trainyard.planning.situation import BY_KUBELET, Member, Situation

_OUTPUT_LIMIT = 512
_SIGNALS = {
    1: "SIGHUP",
    2: "SIGINT",
    4: "SIGILL",
    6: "SIGABRT",
    7: "SIGBUS",
    8: "SIGFPE",
    9: "SIGKILL",
    11: "SIGSEGV",
    13: "SIGPIPE",
    15: "SIGTERM",
}


_ECHOES = (Cause.DISRUPTION, Cause.START_ROLLED_BACK, Cause.APPLICATION_FAILURE)
"""Where ranks tell of several causes, the first explains the others."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why the attempt cannot go on, as one rank shows it."""

    cause: Cause
    reason: Reason
    message: str
    rank: int = -1
    pod: str = ""
    node: str = ""
    exit_code: int | None = None
    order: int = 0
    """resourceVersion at first sight; 0 where the rank's end was never seen."""
    presumed: bool = False
    """The rank may be well: only its node does not answer."""


def find_failure(now: Situation) -> Verdict | None:
    """The first failed rank of the open attempt, or None while all are well.

    One disrupted rank makes the whole episode a disruption, and a rank that could not start makes it a start rolled
    back: the exits beside them are their echo. Ranks on silent nodes that are not believed dead are no failures.
    """
    verdicts = [v for v in (_judge(now, m) for m in now.members) if v is not None]
    if now.doubt is not None:
        verdicts = [v for v in verdicts if not v.presumed]
    if not verdicts:
        return None
    return min(verdicts, key=lambda v: (_ECHOES.index(v.cause), v.order == 0, v.order, v.rank))


def _judge(now: Situation, member: Member) -> Verdict | None:
    if member.done:
        return None
    pod = member.last
    if pod is None:
        return _lost(now, member) if now.status.gang_created else None
    exited = pod.exited
    verdict = _disrupted(now, member, pod, exited)
    if verdict is None and exited:
        verdict = _ended(now, member, pod)
    if verdict is None and member.pod is None:
        return _verdict(member, Cause.DISRUPTION, Reason.POD_DELETED, f"pod {member.name} was deleted")
    return verdict


def _lost(now: Situation, member: Member) -> Verdict:
    if now.node_lost(member.node):
        return _node_gone(member)
    return _verdict(member, Cause.DISRUPTION, Reason.POD_LOST, f"pod {member.name} is gone and nobody saw it end")


def _disrupted(now: Situation, member: Member, pod: PodView, exited: bool) -> Verdict | None:
    """Evidence that the infrastructure, or a person, took the pod."""
    if pod.reason in BY_KUBELET and pod.phase is PodPhase.FAILED:
        text = f"pod {pod.name} was ended by the kubelet of {pod.node}: {pod.reason}"
        return _verdict(member, Cause.DISRUPTION, Reason.EVICTED, text)
    if pod.disruption and (exited or pod.deletion is not None):
        preempted = pod.disruption == "PreemptionByScheduler"
        text = f"pod {pod.name} on {pod.node or 'no node'} was disrupted: {pod.disruption}"
        return _verdict(member, Cause.DISRUPTION, Reason.PREEMPTED if preempted else Reason.EVICTED, text)
    if now.node_lost(pod.node):
        return _node_gone(member)
    if now.node_unreachable(pod.node):
        text = f"node {pod.node} of rank {member.rank} stopped answering"
        found = _verdict(member, Cause.DISRUPTION, Reason.NODE_UNREACHABLE, text)
        return replace(found, presumed=member.well)
    if pod.deletion is not None and not (exited and pod.undisturbed):
        return _verdict(member, Cause.DISRUPTION, Reason.POD_DELETED, f"pod {pod.name} was deleted")
    return None


def _ended(now: Situation, member: Member, pod: PodView) -> Verdict | None:
    """The trainer is over and nobody took it away."""
    if pod.trainer.exit_code is None and not pod.trainer.started and pod.phase is PodPhase.FAILED and pod.reason:
        return _refused_by_kubelet(now, member, pod)
    if not member.role.completes:
        return _server_ended(now, member, pod)
    if pod.exited_zero:
        return None
    return _verdict(member, Cause.APPLICATION_FAILURE, Reason.APPLICATION_FAILURE, describe_exit(member, pod))


def _server_ended(now: Situation, member: Member, pod: PodView) -> Verdict | None:
    """A server's end is a failure while no completing replica is done; exit 0 leaves those a moment to end first."""
    wait = now.policy.server_exit_seconds
    if pod.exited_zero and not now.note.lasted(f"server-exit:{pod.uid}", wait):
        return None
    text = f"{describe_exit(member, pod)}; role {member.role.name} serves the others and must outlive them"
    return _verdict(member, Cause.APPLICATION_FAILURE, Reason.SERVER_ENDED, text)


def _refused_by_kubelet(now: Situation, member: Member, pod: PodView) -> Verdict:
    """Refused at admission: the node's affair, until a second node refuses for the same reason."""
    text = f"{pod.reason}: the kubelet of {pod.node} refused pod {pod.name}: {pod.message}"
    before = [
        e.node
        for e in _starts_like_this(now)
        if e.reason is Reason.NODE_REFUSED and e.message.startswith(f"{pod.reason}:") and e.node != pod.node
    ]
    if before:
        text += f"; {before[0]} refused for the same reason, so the template is at fault"
        return _verdict(member, Cause.APPLICATION_FAILURE, Reason.ADMISSION_ERROR, text)
    return _verdict(member, Cause.START_ROLLED_BACK, Reason.NODE_REFUSED, text)


def _starts_like_this(now: Situation) -> Iterator[Episode]:
    """The recent starts of this very template that came to nothing, newest first: what an older one, or another
    template, met with says nothing about this one."""
    spec_hash = now.record.spec_hash if now.record is not None else ""
    for episode in reversed(now.status.episodes):
        record = now.snapshot.records.get(episode.attempt)
        same = record is None or record.spec_hash == spec_hash
        recent = now.now - episode.at < now.policy.avoid_seconds
        if not (same and recent) or episode.cause in (Cause.SUSPENDED, Cause.SPEC_CHANGED):
            return
        yield episode


def describe_exit(member: Member, pod: PodView) -> str:
    """`rank 3 (gpt-x7k2p-a2-worker-3 on n7) exited with 137 (SIGKILL, OOMKilled): ...`"""
    where = f"rank {member.rank} ({pod.name} on {pod.node or 'no node'})"
    code = pod.trainer.exit_code
    if code is None:
        why = ": ".join(filter(None, (pod.reason, pod.message))) or "no container told why"
        return f"{where} {'succeeded' if pod.exited_zero else 'failed before its trainer ended'}: {why}"
    details = [_SIGNALS[code - 128]] if code - 128 in _SIGNALS else []
    if pod.trainer.reason not in ("", "Error", "Completed"):
        details.append(pod.trainer.reason)
    text = f"{where} exited with {code}" + (f" ({', '.join(details)})" if details else "")
    last = _last_lines(pod.trainer.message)
    return f"{text}: {last}" if last else text


def _last_lines(output: str) -> str:
    """The end of a trainer's output, in whole lines where they are not too long."""
    end = output.strip()
    if len(end) <= _OUTPUT_LIMIT:
        return end
    end = end[-_OUTPUT_LIMIT:]
    return end.partition("\n")[2].strip() or end


def _node_gone(member: Member) -> Verdict:
    text = f"node {member.place} of rank {member.rank} is gone from the cluster"
    return _verdict(member, Cause.DISRUPTION, Reason.NODE_LOST, text)


def _verdict(member: Member, cause: Cause, reason: Reason, message: str) -> Verdict:
    pod = member.last
    return Verdict(
        cause=cause,
        reason=reason,
        message=message,
        rank=member.rank,
        pod=member.name,
        node=member.place,
        exit_code=pod.trainer.exit_code if pod else None,
        order=pod.failed_version if pod else 0,
    )
