"""Everything that happened to the objects of a namespace, in the order of the store, and the invariants over it.

Events of different kinds come over different watches; resourceVersions put them into one order, since all objects of a
test cluster live in one etcd.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Happening:
    """One watch event."""

    version: int
    type: str
    kind: str
    object: Object

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])


@dataclass(slots=True)
class History:
    """What the recorder saw. `meddled` are the UIDs of pods that the test itself deleted, evicted or let die."""

    happenings: list[Happening] = field(default_factory=list)
    meddled: set[str] = field(default_factory=set)
    latecomers: set[str] = field(default_factory=set)
    """UIDs of pods created as a paused leader would: they can never start, and do not count in I1 to I3."""

    def add(self, type_: str, kind: str, obj: Object) -> None:
        self.happenings.append(Happening(int(obj["metadata"]["resourceVersion"]), type_, kind, obj))

    def ordered(self) -> list[Happening]:
        return sorted(self.happenings, key=lambda h: h.version)

    def created(self, kind: str) -> list[str]:
        """Names in the order of their creation, once per creation."""
        return [h.name for h in self.ordered() if h.kind == kind and h.type == "ADDED"]

    def violations(self) -> list[str]:
        """Every breach of an invariant, as a sentence with the place where it happened."""
        return [
            *_pods_alive_at_once(self),
            *_names_reused(self),
            *_status_rules(self),
            *_deletes_without_decision(self),
        ]


def _terminal(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _label(obj: Object, name: str) -> str:
    return str((obj["metadata"].get("labels") or {}).get(f"trainyard.dev/{name}", ""))


def _job_uid(obj: Object) -> str:
    owners = obj["metadata"].get("ownerReferences") or []
    return next((o["uid"] for o in owners if o.get("controller") and o["kind"] == "TrainingJob"), "")


def _pods_alive_at_once(history: History) -> Iterable[str]:
    """I1: one live pod per (job, role, index). I2: attempts never overlap. Pods the test let die are left aside."""
    alive: dict[str, Object] = {}
    for happening in history.ordered():
        pod = happening.object
        uid = pod["metadata"]["uid"]
        if happening.kind != "Pod" or not _job_uid(pod) or uid in history.latecomers:
            continue
        if happening.type == "DELETED" or _terminal(pod):
            alive.pop(uid, None)
            continue
        if happening.type == "ADDED":
            for other in alive.values():
                if _job_uid(other) != _job_uid(pod) or other["metadata"]["uid"] in history.meddled:
                    continue
                seat = [(_label(p, "role"), _label(p, "index")) for p in (pod, other)]
                if seat[0] == seat[1]:
                    yield f"I1: {happening.name} was created while {other['metadata']['name']} was live"
                if _label(pod, "attempt") != _label(other, "attempt"):
                    yield f"I2: {happening.name} was created while {other['metadata']['name']} was live"
        alive[uid] = pod


def _names_reused(history: History) -> Iterable[str]:
    """I3: a pod's name is a function of job, attempt, role and index, and is created at most once."""
    seen: set[str] = set()
    for happening in history.ordered():
        late = happening.object["metadata"]["uid"] in history.latecomers
        if happening.kind == "Pod" and happening.type == "ADDED" and _job_uid(happening.object) and not late:
            if happening.name in seen:
                yield f"I3: pod {happening.name} was created twice"
            seen.add(happening.name)


def _status_rules(history: History) -> Iterable[str]:
    """I6, I8, I10: the attempt grows by one, terminal phases absorb, counters never go back, generations are true."""
    last: dict[str, Object] = {}
    for happening in history.ordered():
        if happening.kind != "TrainingJob" or happening.type == "DELETED":
            continue
        job, uid = happening.object, happening.object["metadata"]["uid"]
        status, before = job.get("status") or {}, last.get(uid) or {}
        where = f"{happening.name} at {happening.version}"
        step = status.get("attempt", 0) - before.get("attempt", 0)
        if step not in (0, 1):
            yield f"I6: attempt of {where} moved by {step}"
        if before.get("phase") in ("Succeeded", "Failed") and status != before:
            yield f"I8: {where} changed after it was {before['phase']}"
        for counter in ("total", "application", "disruption"):
            if (status.get("restarts") or {}).get(counter, 0) < (before.get("restarts") or {}).get(counter, 0):
                yield f"I8: restarts.{counter} of {where} went back"
        if status.get("observedGeneration", 0) > job["metadata"]["generation"]:
            yield f"I10: {where} claims to have observed a generation that is not there yet"
        last[uid] = status


def _deletes_without_decision(history: History) -> Iterable[str]:
    """I6: a live pod is deleted only after a close, a decision to finish, or the deletion of its job."""
    status: dict[str, Object] = {}
    gone: set[str] = set()
    doomed: set[str] = set()
    for happening in history.ordered():
        meta = happening.object["metadata"]
        if happening.kind == "TrainingJob":
            status[meta["uid"]] = happening.object.get("status") or {}
            if happening.type == "DELETED" or meta.get("deletionTimestamp"):
                gone.add(meta["uid"])
            continue
        owner = _job_uid(happening.object)
        fresh = happening.kind == "Pod" and owner and meta.get("deletionTimestamp") and meta["uid"] not in doomed
        if not fresh:
            continue
        doomed.add(meta["uid"])
        if _terminal(happening.object) or owner in gone or meta["uid"] in history.meddled:
            continue
        decided = status.get(owner, {})
        closed = decided.get("attempt", 0) > int(_label(happening.object, "attempt"))
        if not closed and not decided.get("finishing"):
            yield f"I6: pod {happening.name} was deleted before its attempt was closed"
