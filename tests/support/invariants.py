"""What must hold over the whole history of a namespace: each breach as a sentence with the place where it happened.

Jobs and pods are watched apart. What was there when something was written is told by resourceVersions, which are
exact. Whether the operator could have known of it is not: that is claimed only a while after our own ears heard of it,
and only where a write of the operator's shows that it was awake. Where the history cannot tell, the operator is
innocent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from support.history import Happening, History, Object

EARS = 5.0
"""Seconds within which a watch, the operator's or ours, tells what happened."""
START_SLACK = 60.0
"""Beyond a start deadline: a new leader must itself see 30 s of it pass before it believes in it."""
ENDED = ("Succeeded", "Failed")
Seat = tuple[str, int, str, int]
"""UID of the job, attempt, role, index."""


def violations(history: History) -> list[str]:
    """All breaches of invariants that the history shows."""
    return [
        *_pods_alive_at_once(history),
        *_names_reused(history),
        *_live_after_the_end(history),
        *_finalizers(history),
        *_status_rules(history),
        *_deletes_without_decision(history),
        *_charges(history),
        *_successes(history),
        *_half_bound(history),
    ]


def _terminal(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in ENDED


def _label(obj: Object, name: str) -> str:
    return str((obj["metadata"].get("labels") or {}).get(f"trainyard.dev/{name}", ""))


def _job_uid(obj: Object) -> str:
    owners = obj["metadata"].get("ownerReferences") or []
    return next((o["uid"] for o in owners if o.get("controller") and o["kind"] == "TrainingJob"), "")


def _attempt(pod: Object) -> int:
    return int(_label(pod, "attempt") or -1)


def _seat(pod: Object) -> Seat:
    return _job_uid(pod), _attempt(pod), _label(pod, "role"), int(_label(pod, "index") or -1)


def _disrupted(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    return any(c["type"] == "DisruptionTarget" and c["status"] == "True" for c in conditions)


@dataclass(frozen=True, slots=True)
class _Moment:
    """One happening, and what there is after it."""

    happening: Happening
    uid: str
    pods: Mapping[str, Object]
    """Those of jobs, by UID."""
    status: Object | None
    """Of a job whose status was written, which nobody but the operator does; None at any other happening."""
    before: Object


def _moments(history: History) -> Iterator[_Moment]:
    pods: dict[str, Object] = {}
    statuses: dict[str, Object] = {}
    for happening in history.ordered():
        uid = happening.object["metadata"]["uid"]
        status, before = None, statuses.get(uid, {})
        if happening.kind == "TrainingJob" and happening.type != "DELETED":
            now = statuses[uid] = happening.object.get("status") or {}
            status = now if now != before else None
        elif happening.kind == "Pod" and (happening.type == "DELETED" or not _job_uid(happening.object)):
            pods.pop(uid, None)
        elif happening.kind == "Pod":
            pods[uid] = happening.object
        yield _Moment(happening, uid, pods, status, before)


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
        if before.get("phase") in ENDED and status != before:
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


def _live_after_the_end(history: History) -> Iterable[str]:
    """I5: nothing of a job is live once its phase is terminal. Nobody waits for pods on dead nodes."""
    ended: dict[str, str] = {}
    for moment in _moments(history):
        happening, suspects = moment.happening, [moment.happening.object]
        if moment.status is not None and moment.status.get("phase") in ENDED and moment.uid not in ended:
            ended[moment.uid] = f"{happening.name} was {moment.status['phase']} at {happening.version}"
            suspects = [pod for pod in moment.pods.values() if _job_uid(pod) == moment.uid]
        elif happening.kind != "Pod" or happening.type != "ADDED" or _job_uid(happening.object) not in ended:
            continue
        for pod in suspects:
            meta = pod["metadata"]
            dead = meta["uid"] in history.meddled and meta.get("deletionTimestamp")
            if not (_terminal(pod) or dead or meta["uid"] in history.latecomers):
                yield f"I5: pod {meta['name']} was live though {ended[_job_uid(pod)]}"


def _finalizers(history: History) -> Iterable[str]:
    """I5: no finalizer of ours, on pods or anything else."""
    for happening in history.ordered():
        ours = [f for f in happening.object["metadata"].get("finalizers") or [] if f.startswith("trainyard.dev/")]
        if ours:
            yield f"I5: {happening.kind} {happening.name} carried finalizer {ours[0]} at {happening.version}"


def _charges(history: History) -> Iterable[str]:
    """I7: only application failures are charged, and none of whose attempt the operator could see a pod disrupted
    between its close and its settling. What became of nodes is not in this history."""
    disrupted: dict[str, float] = {}
    excused: dict[tuple[str, int], str] = {}
    settled: set[tuple[str, int]] = set()
    for moment in _moments(history):
        at, pods = moment.happening.heard, moment.pods
        if moment.uid in pods and _disrupted(pods[moment.uid]):
            disrupted.setdefault(moment.uid, at)
        else:
            disrupted.pop(moment.uid, None)
        for episode in (moment.status or {}).get("episodes") or []:
            key = (moment.uid, episode["attempt"])
            if key in settled:
                continue
            for uid, since in disrupted.items():
                if (_job_uid(pods[uid]), _attempt(pods[uid])) == key and since + EARS < at:
                    excused.setdefault(key, pods[uid]["metadata"]["name"])
            if episode["settled"]:
                settled.add(key)
            if episode["charged"] and (key in excused or episode["cause"] != "ApplicationFailure"):
                why = f"though {excused[key]} was disrupted" if key in excused else f"a {episode['cause']}"
                yield f"I7: {moment.happening.name} was charged for attempt {episode['attempt']}, {why}"


def _successes(history: History) -> Iterable[str]:
    """I9: a replica counts as completed only after its trainer was seen to exit 0 (a server's, to end) while nobody was
    deleting or evicting its pod, a server moreover not before another role's, and is never forgotten; Succeeded only
    once all completing replicas count."""
    exited: set[Seat] = set()
    ended: set[Seat] = set()
    for moment in _moments(history):
        pod, status, before = moment.happening.object, moment.status, moment.before
        if moment.happening.kind == "Pod" and not _taken_away(pod) and (code := _exit_code(pod)) is not None:
            ended.add(_seat(pod))
            if code == 0:
                exited.add(_seat(pod))
        if status is None:
            continue
        where = f"{moment.happening.name} at {moment.happening.version}"
        attempt = status.get("attempt", 0)
        counted = _completed(moment.uid, status)
        servers = {r["name"] for r in moment.happening.object["spec"]["roles"] if not r.get("completes", True)}
        served = any(seat[2] not in servers for seat in counted)
        known = _completed(moment.uid, before) if before.get("attempt", 0) == attempt else set()
        told = set() if history.blind else counted - known
        for seat in sorted(told):
            if seat in ended and (served if seat[2] in servers else seat in exited):
                continue
            yield f"I9: {where} counts {seat[2]} {seat[3]} of attempt {attempt}, which was not seen to end as it may"
        for _, _, role, index in sorted(known - counted):
            yield f"I9: {where} forgot that {role} {index} of attempt {attempt} had completed"
        if status.get("phase") == "Succeeded" and before.get("phase") != "Succeeded":
            for role in moment.happening.object["spec"]["roles"]:
                seats = _seats(moment.uid, attempt, role) if role.get("completes", True) else set()
                for _, _, name, index in sorted(seats - counted):
                    yield f"I9: {where} is Succeeded, and {name} {index} of attempt {attempt} has not completed"


def _taken_away(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"] or _disrupted(pod)


def _exit_code(pod: Object) -> int | None:
    """Of its trainer; 0 and 1 stand for those of a pod that is over without telling."""
    containers = [c["name"] for c in pod["spec"]["containers"]]
    trainer = "trainer" if "trainer" in containers else containers[0]
    for told in pod.get("status", {}).get("containerStatuses") or []:
        ended = (told.get("state") or {}).get("terminated")
        if told["name"] == trainer and ended:
            return int(ended["exitCode"])
    return {"Succeeded": 0, "Failed": 1}.get(pod.get("status", {}).get("phase", ""))


def _seats(job_uid: str, attempt: int, role: Object) -> set[Seat]:
    return {(job_uid, attempt, role["name"], index) for index in range(role.get("replicas", 1))}


def _completed(job_uid: str, status: Object) -> set[Seat]:
    """What `status.roles[].completed` says, ranges such as `0-4,7`."""
    found: set[Seat] = set()
    for role in status.get("roles") or []:
        for part in filter(None, (role.get("completed") or "").split(",")):
            first, _, last = part.partition("-")
            indices = range(int(first), int(last or first) + 1)
            found |= {(job_uid, status.get("attempt", 0), role["name"], index) for index in indices}
    return found


def _half_bound(history: History) -> Iterable[str]:
    """I11: whenever the operator writes, no open attempt is only partly bound past its start deadline."""
    opened: dict[str, float] = {}
    for moment in _moments(history):
        happening, status = moment.happening, moment.status
        if happening.kind == "ConfigMap" and happening.type == "ADDED":
            opened[moment.uid] = happening.heard
        ref = (status or {}).get("attemptRecord") or {}
        if status is None or ref.get("uid") not in opened or ref["attempt"] != status["attempt"] or _has_run(status):
            continue
        spec = happening.object["spec"]
        deadline = (spec.get("scheduling") or {}).get("startDeadlineSeconds", 600)
        late = happening.heard - opened[ref["uid"]] - deadline
        if late <= START_SLACK:
            continue
        seats = set().union(*(_seats(moment.uid, status["attempt"], role) for role in spec["roles"]))
        bound = {_seat(pod) for pod in moment.pods.values() if pod["spec"].get("nodeName")}
        taken = len(seats & (bound | _completed(moment.uid, status)))
        if 0 < taken < len(seats):
            yield (
                f"I11: {taken} of {len(seats)} ranks of {happening.name}, attempt {status['attempt']}, were bound "
                f"{late:.0f} s past the start deadline"
            )


def _has_run(status: Object) -> bool:
    """Its gang has been whole, or is given up."""
    running = any(c["type"] == "Running" and c["status"] == "True" for c in status.get("conditions") or [])
    return running or bool(status.get("finishing"))
