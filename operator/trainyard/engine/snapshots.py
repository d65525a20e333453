"""The store frozen for one decision: the snapshot of one job, and the snapshot of the cluster.

Nothing is copied that is frozen already; what is kept incrementally is copied shallowly. It leaves nothing out and
judges nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from trainyard.api.names import service_name, uid5
from trainyard.api.reasons import Cause, ConditionType
from trainyard.api.types import Placement
from trainyard.engine.pods import Gang
from trainyard.engine.queue import Target
from trainyard.engine.store import Store
from trainyard.launch import checkpoint_directory, claim_name
from trainyard.model.cluster import ClusterSnapshot, HeldDirectory, Reservation
from trainyard.model.plan import JobSnapshot
from trainyard.model.record import Record
from trainyard.model.views import ClaimView, JobView, Key, NodeView, PodView


def job_snapshot(store: Store, target: Target, pace: float = 0.0) -> JobSnapshot | None:
    """What the planner may know of a job, or of pods whose owner is absent; None where there is nothing to plan.
    `pace`: see `JobSnapshot`."""
    if target.uid:
        return _orphan_snapshot(store, target)
    job = store.jobs.get(target.key)
    if job is None:
        return None
    memory, notes, uid = store.memory, store.memory.of(job.uid), job.uid
    gang, records = store.gang(uid), dict(store.children.records(uid))
    grant, strangers = memory.grant(uid), _strangers(store, target.key, uid)
    sees_nodes = "nodes" not in store.unseen
    named = _named_nodes(gang, records.values())
    named.update(grant.nodes if grant is not None else (), (p.node for p in strangers))
    return JobSnapshot(
        key=target.key,
        job=job,
        uid=uid,
        pods=tuple(gang.pods.values()),
        collected=tuple(gang.collected.values()),
        strangers=strangers,
        records=records,
        record_missing=notes.record_missing == job.status.attempt,
        hosts=dict(store.children.hosts(uid)),
        service=store.children.service(Key(job.namespace, service_name(job.name, uid5(uid)))),
        claim=_claim(store, job),
        foreign_names=memory.foreign_names(uid),
        nodes=_nodes(store, named),
        unsure_nodes=_unsure(store, job, named) if sees_nodes else frozenset(),
        silent=dict(store.silent) if sees_nodes else {},
        node_count=len(store.nodes) if sees_nodes else 0,
        request=notes.request,
        grant=grant,
        refusal=notes.refusal,
        probe=notes.probe,
        create_refused=notes.refused,
        object_refused=notes.object_refused,
        namespace_terminating=_terminating(store, job.namespace),
        unseen=store.unseen,
        seen=memory.seen(uid),
        shared_nodes=_shared(store, records.get(job.status.attempt)),
        pace=pace,
    )


def cluster_snapshot(store: Store) -> ClusterSnapshot:
    """What the scheduler may know."""
    return ClusterSnapshot(
        nodes=dict(store.nodes),
        usage=dict(store.table.usage),
        reservations=_reservations(store),
        quotas={namespace: tuple(quotas.values()) for namespace, quotas in store.quotas.items() if quotas},
        claims=dict(store.claims),
        volumes=dict(store.volumes),
        priority_classes=dict(store.priority_classes),
        namespaces=dict(store.namespaces),
        directories=tuple(_directories(store)),
        foreign=dict(store.table.foreign),
        binding=tuple(_binding(store)),
        host_ports=dict(store.table.host_ports),
        resident=dict(store.table.resident),
        unseen=store.unseen,
    )


def _orphan_snapshot(store: Store, target: Target) -> JobSnapshot | None:
    gang = store.gang(target.uid)
    pods = tuple(pod for pod in gang.pods.values() if pod.namespace == target.key.namespace)
    if store.job_of(target.uid) is not None or not pods:
        return None
    records = dict(store.children.records(target.uid))
    return JobSnapshot(
        key=target.key,
        job=None,
        uid=target.uid,
        pods=pods,
        records=records,
        hosts=dict(store.children.hosts(target.uid)),
        nodes=_nodes(store, _named_nodes(gang, records.values())),
        namespace_terminating=_terminating(store, target.key.namespace),
        unseen=store.unseen,
        seen=store.memory.seen(target.uid),
    )


def _strangers(store: Store, key: Key, uid: str) -> tuple[PodView, ...]:
    owners = [owner for owner in store.table.owners_named(key) if owner != uid]
    left = [pod for pod in store.table.left_behind(key) if not pod.terminal]
    return (
        *left,
        *(
            pod
            for owner in owners
            for pod in store.gang(owner).pods.values()
            if not pod.terminal and pod.job == key.name and pod.namespace == key.namespace
        ),
    )


def _claim(store: Store, job: JobView) -> ClaimView | None:
    name = claim_name(job) if job.spec is not None else ""
    return store.claims.get(Key(job.namespace, name)) if name else None


def _named_nodes(gang: Gang, records: Iterable[Record]) -> set[str]:
    names: set[str] = set()
    for record in records:
        names.update(record.nodes)
    for pods in (gang.pods, gang.collected):
        names.update([pod.node for pod in pods.values()])
    return names


def _nodes(store: Store, names: Iterable[str]) -> Mapping[str, NodeView]:
    if "nodes" in store.unseen:
        return {}  # as they were when they could still be read: worse than nothing
    return {name: node for name in names if (node := store.nodes.get(name)) is not None}


def _unsure(store: Store, job: JobView, names: set[str]) -> frozenset[str]:
    """Of a job that is over or suspended nothing hangs on its nodes any more, unless pods are left."""
    at_rest = job.status.terminal or (job.suspend and not job.status.open)
    if at_rest and not store.gang(job.uid).live:
        return frozenset()
    return frozenset(name for name in names if name and name not in store.nodes and name not in store.gone_nodes)


def _shared(store: Store, record: Record | None) -> tuple[str, ...]:
    foreign = store.table.foreign
    return tuple(sorted(foreign.keys() & set(record.nodes))) if record is not None and foreign else ()


def _terminating(store: Store, namespace: str) -> bool:
    view = store.namespaces.get(namespace)
    return view is not None and view.terminating


def _reservations(store: Store) -> tuple[Reservation, ...]:
    held = [reservation for grant in store.memory.grants.values() for reservation in grant.reserved]
    return (*held, *store.openings.reservations())


def _directories(store: Store) -> Iterable[HeldDirectory]:
    """Of every job that has begun and not ended, also between its attempts: who resumed from its checkpoints then would
    have them overwritten. A suspension ends it too, and takes `startedAt` with it. And of pods whose job is gone: they
    tell themselves where they write, whatever this process has seen of their job."""
    for job in store.jobs.values():
        begun = job.status.started_at is not None and not job.status.terminal
        opening = _opening(store, job)
        entitled, in_use = opening or (begun and job.deletion is None), opening or store.gang(job.uid).live > 0
        if not (entitled or in_use):
            continue
        current = _current_place(store, job)
        yield from _held(job, current, in_use=in_use, ending=not entitled)
        for record in store.children.records(job.uid).values():
            place = record.claim, record.directory
            if record.claim and place != current and _lives(store, record):
                yield from _held(job, place, in_use=True, ending=True)
    yield from dict.fromkeys(
        HeldDirectory(pod.namespace, pod.claim, pod.directory, pod.job, pod.job_uid or pod.left_behind, ending=True)
        for pod in _without_job(store)
        if pod.claim and not pod.terminal
    )


def _without_job(store: Store) -> Iterable[PodView]:
    for uid, gang in store.table.gangs.items():
        if store.job_of(uid) is None:
            yield from gang.pods.values()
    yield from store.table.all_left_behind()


def _held(job: JobView, place: tuple[str, str], *, in_use: bool, ending: bool) -> Iterable[HeldDirectory]:
    claim, directory = place
    if claim:
        since = job.status.started_at or 0.0
        yield HeldDirectory(job.namespace, claim, directory, job.name, job.uid, in_use, since, ending)


def _current_place(store: Store, job: JobView) -> tuple[str, str]:
    """Claim and directory of the job's spec; of its newest attempt where the spec cannot be read, for who wrote there
    resumes from there."""
    if job.spec is not None:
        return claim_name(job), checkpoint_directory(job)
    records = store.children.records(job.uid)
    if not records:
        return "", ""
    newest = records[max(records)]
    return newest.claim, newest.directory


def _lives(store: Store, record: Record) -> bool:
    """Pods of this attempt may still write: a directory may be changed while those of the suspended attempt end."""
    pods = store.gang(record.job_uid).pods.values()
    return any(pod.incarnation == record.attempt and not pod.terminal for pod in pods)


def _opening(store: Store, job: JobView) -> bool:
    if job.deletion is not None:
        return False  # what is there of it ends; its record may stay for as long as somebody's finalizer keeps the job
    open_or_next = not job.status.terminal and job.status.attempt in store.children.records(job.uid)
    return open_or_next or store.memory.grant(job.uid) is not None


def _binding(store: Store) -> Iterable[Key]:
    """See `ClusterSnapshot.binding`. A gang that was never rolled back and has nothing bound yet does not count: where
    jobs keep coming, somebody's always has, and a job that was rolled back would never start again."""
    for held in store.memory.grants.values():
        if held.grant.placement is Placement.DELEGATED:
            yield held.grant.key
    for job in store.jobs.values():
        if not job.status.open or job.deletion is not None or job.status.holds(ConditionType.RUNNING):
            continue
        record = store.children.records(job.uid).get(job.status.attempt)
        if record is None or any(record.nodes):
            continue
        pods = [pod for pod in store.gang(job.uid).pods.values() if pod.incarnation == record.attempt]
        bound = sum(1 for pod in pods if pod.node or pod.terminal)
        last = job.status.last_close
        rolled_back = last is not None and last.cause is Cause.START_ROLLED_BACK
        if bound < record.size and (bound or rolled_back):
            yield job.key
