"""The job's status as frozen facts, and its two translations from and to the JSON that the API server keeps.

Part of it is memory that decisions read back (attempt, attemptRecord, gangCreated, completed, restarts, episodes,
finishing, startedAt, streaks, the conditions' transition times); the rest is summary for people and is never read back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from trainyard.api.reasons import Cause, ConditionType, Phase, Reason
from trainyard.model.instants import format_instant, parse_instant
from trainyard.model.ranges import format_ranges, parse_ranges

_E = TypeVar("_E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Condition:
    type: ConditionType
    status: bool | None
    """None is written as Unknown."""
    reason: Reason
    message: str = ""
    observed_generation: int = 0
    since: float = 0.0
    """lastTransitionTime: when `status` last changed."""


@dataclass(frozen=True, slots=True)
class AttemptRecordRef:
    """Names the record of the attempt opened last; that attempt is open iff `attempt` equals the status's."""

    name: str
    uid: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Finishing:
    """The irrevocable decision to finish, written before its effects."""

    phase: Phase
    reason: Reason
    message: str = ""


@dataclass(frozen=True, slots=True)
class Streaks:
    """Consecutive failures of each kind, for the backoff; back to 0 once an attempt ran long enough."""

    application: int = 0
    disruption: int = 0


@dataclass(frozen=True, slots=True)
class RoleStatus:
    name: str
    desired: int = 0
    created: int = 0
    scheduled: int = 0
    ready: int = 0
    failed: int = 0
    completed: frozenset[int] = frozenset()
    """Replica indices of this attempt whose trainer exited 0 (memory)."""

    @property
    def good(self) -> int:
        """Replicas that are ready, or have completed."""
        return self.ready + len(self.completed)


@dataclass(frozen=True, slots=True)
class Restarts:
    total: int = 0
    application: int = 0
    disruption: int = 0
    charged: tuple[float, ...] = ()
    """Instants of the application failures inside the window."""


@dataclass(frozen=True, slots=True)
class Episode:
    """Why an attempt was closed; one per close, however many pods it took down."""

    attempt: int
    at: float
    cause: Cause
    reason: Reason
    rank: int = -1
    """First failed rank; -1 where no rank is to blame."""
    pod: str = ""
    node: str = ""
    exit_code: int | None = None
    message: str = ""
    settled: bool = True
    charged: bool = False


@dataclass(frozen=True, slots=True)
class JobStatus:
    phase: Phase = Phase.PENDING
    reason: Reason | None = None
    ready: str = ""
    gpus: int = 0
    observed_generation: int = 0
    attempt: int = 0
    attempt_record: AttemptRecordRef | None = None
    gang_created: bool = False
    started_at: float | None = None
    finishing: Finishing | None = None
    streaks: Streaks = Streaks()
    roles: tuple[RoleStatus, ...] = ()
    restarts: Restarts = Restarts()
    episodes: tuple[Episode, ...] = ()
    """Newest last; at most 20, unsettled ones are never trimmed."""
    conditions: tuple[Condition, ...] = ()

    @property
    def open(self) -> bool:
        """The current attempt is open: it may have live pods."""
        return self.attempt_record is not None and self.attempt_record.attempt == self.attempt

    @property
    def last_close(self) -> Episode | None:
        """The episode that closed the attempt before the current one."""
        last = self.episodes[-1] if self.episodes else None
        return last if last is not None and last.attempt == self.attempt - 1 else None

    def condition(self, kind: ConditionType) -> Condition | None:
        return next((c for c in self.conditions if c.type is kind), None)

    def holds(self, kind: ConditionType) -> bool:
        """The condition is there and true."""
        found = self.condition(kind)
        return found is not None and found.status is True

    def completed(self, role: str) -> frozenset[int]:
        return next((r.completed for r in self.roles if r.name == role), frozenset())

    @property
    def terminal(self) -> bool:
        return self.phase in (Phase.SUCCEEDED, Phase.FAILED)


def parse_status(raw: Mapping[str, Any]) -> JobStatus:
    """Read a status object. Words of a newer build are dropped where they only inform.

    Where decisions rest on them (phase, finishing, unsettled episodes) they raise ValueError: never guessed.
    """
    record = raw.get("attemptRecord")
    finishing = raw.get("finishing")
    streaks = raw.get("streaks") or {}
    restarts = raw.get("restarts") or {}
    return JobStatus(
        phase=_word(Phase, raw.get("phase") or Phase.PENDING),
        reason=_member(Reason, raw.get("reason")),
        ready=raw.get("ready", ""),
        gpus=raw.get("gpus", 0),
        observed_generation=raw.get("observedGeneration", 0),
        attempt=raw.get("attempt", 0),
        attempt_record=AttemptRecordRef(record["name"], record["uid"], record["attempt"]) if record else None,
        gang_created=raw.get("gangCreated", False),
        started_at=parse_instant(raw["startedAt"]) if raw.get("startedAt") else None,
        finishing=_parse_finishing(finishing) if finishing else None,
        streaks=Streaks(streaks.get("application", 0), streaks.get("disruption", 0)),
        roles=tuple(_parse_role(r) for r in raw.get("roles") or ()),
        restarts=Restarts(
            restarts.get("total", 0),
            restarts.get("application", 0),
            restarts.get("disruption", 0),
            tuple(parse_instant(i) for i in restarts.get("charged") or ()),
        ),
        episodes=tuple(e for e in map(_parse_episode, raw.get("episodes") or ()) if e is not None),
        conditions=tuple(c for c in map(_parse_condition, raw.get("conditions") or ()) if c is not None),
    )


def render_status(status: JobStatus) -> dict[str, Any]:
    """The JSON to write. Absent optionals are written as null, so that a merge patch removes them."""
    record = status.attempt_record
    return {
        "phase": status.phase.value,
        "reason": status.reason.value if status.reason else None,
        "ready": status.ready,
        "gpus": status.gpus,
        "observedGeneration": status.observed_generation,
        "attempt": status.attempt,
        "attemptRecord": {"name": record.name, "uid": record.uid, "attempt": record.attempt} if record else None,
        "gangCreated": status.gang_created,
        "startedAt": format_instant(status.started_at) if status.started_at is not None else None,
        "finishing": _render_finishing(status.finishing) if status.finishing else None,
        "streaks": {"application": status.streaks.application, "disruption": status.streaks.disruption},
        "roles": [_render_role(r) for r in status.roles],
        "restarts": {
            "total": status.restarts.total,
            "application": status.restarts.application,
            "disruption": status.restarts.disruption,
            "charged": [format_instant(i) for i in status.restarts.charged],
        },
        "episodes": [_render_episode(e) for e in status.episodes],
        "conditions": [_render_condition(c) for c in status.conditions],
    }


def _word(kind: type[_E], value: Any) -> _E:
    return kind(value)


def _member(kind: type[_E], value: Any) -> _E | None:
    try:
        return _word(kind, value)
    except ValueError:
        return None


def _parse_finishing(raw: Mapping[str, Any]) -> Finishing:
    return Finishing(_word(Phase, raw["phase"]), _word(Reason, raw["reason"]), raw.get("message", ""))


def _render_finishing(finishing: Finishing) -> dict[str, Any]:
    return {"phase": finishing.phase.value, "reason": finishing.reason.value, "message": finishing.message}


def _parse_role(raw: Mapping[str, Any]) -> RoleStatus:
    counts = {name: raw.get(name, 0) for name in ("desired", "created", "scheduled", "ready", "failed")}
    return RoleStatus(raw["name"], **counts, completed=parse_ranges(raw.get("completed", "")))


def _render_role(role: RoleStatus) -> dict[str, Any]:
    return {
        "name": role.name,
        "desired": role.desired,
        "created": role.created,
        "scheduled": role.scheduled,
        "ready": role.ready,
        "failed": role.failed,
        "completed": format_ranges(role.completed),
    }


def _parse_episode(raw: Mapping[str, Any]) -> Episode | None:
    cause, reason = _member(Cause, raw["cause"]), _member(Reason, raw["reason"])
    settled = raw.get("settled", True)
    if cause is None or reason is None:
        if settled:
            return None
        raise ValueError(f"unsettled episode of attempt {raw['attempt']}: {raw['cause']}, {raw['reason']} not known")
    return Episode(
        attempt=raw["attempt"],
        at=parse_instant(raw["at"]),
        cause=cause,
        reason=reason,
        rank=raw.get("rank", -1),
        pod=raw.get("pod", ""),
        node=raw.get("node", ""),
        exit_code=raw.get("exitCode"),
        message=raw.get("message", ""),
        settled=settled,
        charged=raw.get("charged", False),
    )


def _render_episode(episode: Episode) -> dict[str, Any]:
    out: dict[str, Any] = {
        "attempt": episode.attempt,
        "at": format_instant(episode.at),
        "cause": episode.cause.value,
        "reason": episode.reason.value,
        "message": episode.message,
        "settled": episode.settled,
        "charged": episode.charged,
    }
    if episode.rank >= 0:
        out["rank"] = episode.rank
    if episode.pod:
        out["pod"] = episode.pod
    if episode.node:
        out["node"] = episode.node
    if episode.exit_code is not None:
        out["exitCode"] = episode.exit_code
    return out


def _parse_condition(raw: Mapping[str, Any]) -> Condition | None:
    kind, reason = _member(ConditionType, raw.get("type")), _member(Reason, raw.get("reason"))
    if kind is None or reason is None:
        return None
    return Condition(
        type=kind,
        status={"True": True, "False": False}.get(raw.get("status", "")),
        reason=reason,
        message=raw.get("message", ""),
        observed_generation=raw.get("observedGeneration", 0),
        since=parse_instant(raw["lastTransitionTime"]),
    )


def _render_condition(condition: Condition) -> dict[str, Any]:
    return {
        "type": condition.type.value,
        "status": "Unknown" if condition.status is None else str(condition.status),
        "reason": condition.reason.value,
        "message": condition.message,
        "observedGeneration": condition.observed_generation,
        "lastTransitionTime": format_instant(condition.since),
    }


def episodes_unsettled(episodes: Iterable[Episode]) -> tuple[Episode, ...]:
    return tuple(e for e in episodes if not e.settled)
