"""The one store: what the operator knows of the cluster, as frozen views, and whom a change concerns.

Informers and the executor's answers fill it; a state older than the one held is ignored, so that an answer may come
before or after its watch event. It gives out frozen snapshots, for one job and for the cluster. It decides nothing and
never does I/O. Everything happens on the event loop's thread.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from trainyard.api.constants import DEFAULT_GPU_RESOURCE
from trainyard.api.effective import effective_roles
from trainyard.engine.children import Children
from trainyard.engine.memory import Memory
from trainyard.engine.openings import Openings
from trainyard.engine.pods import Gang, PodChange, PodTable, owned_by_nobody
from trainyard.engine.queue import Target
from trainyard.kube.clock import steady
from trainyard.model.raw import number
from trainyard.model.record import Record
from trainyard.model.views import (
    ChildView,
    ClaimView,
    Instant,
    JobView,
    Key,
    NamespaceView,
    NodeReady,
    NodeView,
    PodView,
    PriorityClassView,
    QuotaView,
    VolumeView,
)

TOMBSTONE_SECONDS = 120.0
"""Longer than any request may take: an answer that comes after its object's deletion was seen brings nothing back."""

GONE_NODES = 10_000


class Listener(Protocol):
    """Who is told of changes; called on the event loop, must only take a note."""

    def job_changed(self, target: Target, *, urgent: bool) -> None:
        """Look at this again: now, or, where only a count moved, soon."""

    def capacity_changed(self) -> None:
        """What the scheduler sees changed in a way that could let a job start, or change why it waits."""


class Store:
    """All views, indexed as the two kinds of snapshots need them."""

    def __init__(self, listener: Listener, clock: Callable[[], float] = steady) -> None:
        self.jobs: dict[Key, JobView] = {}
        self.table = PodTable((DEFAULT_GPU_RESOURCE,))
        self.openings = Openings()
        self.memory = Memory(clock)
        self.nodes: dict[str, NodeView] = {}
        self.silent: dict[str, Instant] = {}
        """Nodes whose Ready is Unknown, and since when."""
        self.gone_nodes: OrderedDict[str, None] = OrderedDict()
        """Names of nodes that are known not to exist: seen to go, or looked for in vain. Only the newest are kept."""
        self.children = Children()
        self.claims: dict[Key, ClaimView] = {}
        self.volumes: dict[str, VolumeView] = {}
        self.quotas: dict[str, dict[str, QuotaView]] = {}
        self.priority_classes: dict[str, PriorityClassView] = {}
        self.namespaces: dict[str, NamespaceView] = {}
        self.unseen: frozenset[str] = frozenset()
        """Kinds that the operator may not read (plural names); what is held of them may be old or nothing."""
        self._listener = listener
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self._tombs: OrderedDict[str, float] = OrderedDict()
        self._late_classes: set[str] = set()
        """Names of the storage classes that bind at the first consumer."""

    # jobs

    def job_of(self, uid: str) -> JobView | None:
        """The job with this UID, if the store holds it."""
        key = self._keys.get(uid)
        return self.jobs.get(key) if key is not None else None

    def knows(self, key: Key, version: str) -> bool:
        """Whether the job is held in this state or a newer one."""
        job = self.jobs.get(key)
        return job is not None and 0 <= number(version, -1) <= _version(job)

    def upsert_job(self, job: JobView, *, notify: bool = True) -> None:
        """`notify` is False for the executor's own answers: whoever wrote plans again anyway."""
        before = self.jobs.get(job.key)
        if self._buried(job.uid) or (before is not None and _version(job) <= _version(before)):
            return
        if before is not None and before.uid != job.uid:
            self._forget_job(before)
            before = None
        self.jobs[job.key] = job
        if self._keys.get(job.uid) != job.key:
            self._keys[job.uid] = job.key
            self._disown(job)
        if job.spec is not None and (before is None or before.spec is not job.spec):
            self.table.learn_accelerators(r.accelerator.resource for r in effective_roles(job.spec) if r.gpus)
        self._attempt_moved(job)
        if before is None or _holds(before) != _holds(job):
            self._listener.capacity_changed()
        if notify:
            self._mark(Target(job.key), urgent=True)

    def delete_job(self, uid: str) -> None:
        """Absent from a watch or list. Whether it is gone is for a live GET to say (W9)."""
        self._bury(uid)
        job = self.job_of(uid)
        if job is not None:
            del self.jobs[job.key]
            self._forget_job(job)

    def _forget_job(self, job: JobView) -> None:
        self._keys.pop(job.uid, None)
        self.memory.forget(job.uid)
        self.openings.forget(job.uid)
        self.table.forget_collected(job.uid, None)
        if self.table.gang(job.uid).pods:
            self._mark(Target(job.key, job.uid), urgent=True)
        self._listener.capacity_changed()

    def _feigned(self, owner: str, namespace: str) -> bool:
        """An owner lives in its children's namespace. A reference to a job elsewhere can be written by anybody who
        knows its UID, and must neither hold that job up nor be taken for its record."""
        key = self._keys.get(owner)
        return key is not None and key.namespace != namespace

    def _disown(self, job: JobView) -> None:
        """What came before its job could not be judged until now."""
        for pod in [p for p in self.table.gang(job.uid).pods.values() if p.namespace != job.namespace]:
            self.table.disown(pod.uid)
        for uid in self.children.config_maps_elsewhere(job.uid, job.namespace):
            self.children.drop_config_map(uid)

    def _attempt_moved(self, job: JobView) -> None:
        """Drop what was kept for attempts that are over."""
        attempt = job.status.attempt
        self.table.forget_collected(job.uid, None if job.status.terminal else attempt)
        notes = self.memory.of(job.uid)
        if notes.refused is not None and notes.refused.attempt < attempt:
            notes.refused = None
        if notes.record_missing < attempt:
            notes.record_missing = -1
        self._track(job.uid)

    # pods

    def upsert_pod(self, pod: PodView) -> None:
        if pod.uid in self._tombs and self._buried(pod.uid):
            return
        if self._feigned(pod.job_uid, pod.namespace):
            pod = owned_by_nobody(pod)
        change = self.table.upsert(pod)
        if change is None:
            return
        if pod.job_uid and self.openings.saw(pod.job_uid, pod):
            self._listener.capacity_changed()  # from here on quotas count the whole gang by themselves
        self._pod_changed(change)

    def delete_pod(self, uid: str, final: PodView | None) -> None:
        self._bury(uid)
        change = self.table.delete(uid, final)
        if change is None:
            return
        owner = change.before.job_uid if change.before is not None else ""
        if owner:
            job = self.job_of(owner)
            attempt = job.status.attempt if job is not None and not job.status.terminal else None
            self.table.forget_collected(owner, attempt)
        self._pod_changed(change)

    def _pod_changed(self, change: PodChange) -> None:
        before, after = change.before, change.after
        ended = after is None or after.terminal
        if change.freed or change.vacated or (ended and before is not None and before.left_behind):
            self._listener.capacity_changed()
        for node in change.shared:
            for uid in self.children.promised_on(node):
                self._mark_uid(uid)
        for pod in (before, after):
            if pod is not None and pod.left_behind:
                self._mark(Target(Key(pod.namespace, pod.job)), urgent=True)
        if after is not None and after.job_uid:
            self._gang_changed(after.job_uid, after, change)
        if before is not None and before.job_uid and (after is None or after.job_uid != before.job_uid):
            self._gang_changed(before.job_uid, after or before, change)

    def _gang_changed(self, owner: str, pod: PodView, change: PodChange) -> None:
        job = self.job_of(owner)
        if job is not None:
            news = _is_news(change, job)
            if news:
                self.table.note_news(owner)
            self._mark(Target(job.key), urgent=news or change.settled)
            return
        self._mark(Target(Key(pod.namespace, pod.job), owner), urgent=change.settled)
        # A job of that name may be waiting for this stranger to end.
        self._mark(Target(Key(pod.namespace, pod.job)), urgent=change.settled)

    # nodes

    def upsert_node(self, node: NodeView) -> None:
        if self.nodes.get(node.name) == node:
            return  # a heartbeat
        self.nodes[node.name] = node
        self.gone_nodes.pop(node.name, None)
        if node.ready is NodeReady.UNKNOWN:
            self.silent[node.name] = node.silent_since
        else:
            self.silent.pop(node.name, None)
        self._node_changed(node.name)

    def delete_node(self, name: str) -> None:
        self.note_gone_nodes((name,))
        if self.nodes.pop(name, None) is not None:
            self.silent.pop(name, None)
            self._node_changed(name)

    def note_gone_nodes(self, names: Iterable[str]) -> None:
        """Of these it is known that they do not exist."""
        self.gone_nodes.update(dict.fromkeys(names))
        while len(self.gone_nodes) > GONE_NODES:
            self.gone_nodes.popitem(last=False)

    def _node_changed(self, name: str) -> None:
        for uid in {*self.table.owners_on(name), *self.children.promised_on(name)}:
            self._mark_uid(uid)
            if uid not in self._keys:
                # A job of that name may be waiting for these strangers to end, or to count as dead.
                for key in {Key(p.namespace, p.job) for p in self.table.gang(uid).pods.values() if p.node == name}:
                    self._mark(Target(key), urgent=True)
        self._listener.capacity_changed()

    # records, hosts, services

    def upsert_record(self, child: ChildView, record: Record) -> None:
        """A record as stored; immutable, so the newest state differs from an older one only in its being deleted."""
        owner = child.owner_uid
        if self._buried(record.uid) or record.job_uid != owner or self._feigned(owner, child.namespace):
            return
        if not self.children.put_record(child, record):
            return
        if owner in self._keys:
            notes = self.memory.of(owner)
            if notes.record_missing == record.attempt:
                notes.record_missing = -1
        grant = self.memory.grant(owner)
        if grant is not None and grant.attempt == record.attempt:
            self.memory.drop_grant(owner)  # used up: the record itself reserves the room from now on
        self._track(owner)
        self._mark_uid(owner)

    def upsert_hosts(self, hosts: ChildView) -> None:
        owner = hosts.owner_uid
        if not owner or self._buried(hosts.uid) or self._feigned(owner, hosts.namespace):
            return
        if self.children.put_hosts(hosts):
            self._mark_uid(owner)

    def delete_config_map(self, uid: str) -> None:
        """A record or a hosts ConfigMap, whichever it was."""
        self._bury(uid)
        owner = self.children.drop_config_map(uid)
        if owner:
            self._track(owner)
            self._mark_uid(owner)

    def upsert_service(self, service: ChildView) -> None:
        if not self._buried(service.uid) and self.children.put_service(service):
            self._mark_uid(service.owner_uid)

    def delete_service(self, uid: str) -> None:
        self._bury(uid)
        owner = self.children.drop_service(uid)
        if owner:
            self._mark_uid(owner)

    def _track(self, owner: str) -> None:
        """Keep the promises of the attempt that is open or about to be."""
        job = self.job_of(owner)
        record = self.children.records(owner).get(job.status.attempt) if job is not None else None
        status = job.status if job is not None and job.deletion is None else None
        namespace = job.namespace if job is not None else ""
        spec = job.spec if job is not None else None
        named = (spec.scheduling.priority_class_name or "") if spec is not None else None
        pods = self.table.gang(owner).pods.values()
        if self.openings.track(owner, namespace, record, status, pods, priority_class=named):
            self._listener.capacity_changed()

    # what the scheduler looks at besides pods and nodes

    def upsert_claim(self, claim: ClaimView) -> None:
        key = Key(claim.namespace, claim.name)
        before = self.claims.get(key)
        if self._buried(claim.uid) or (before is not None and claim.resource_version < before.resource_version):
            return
        claim = self.claims[key] = self._judged(claim)
        if claim != before:
            self._claim_changed(claim.namespace)

    def claim_answered(self, claim: ClaimView) -> None:
        """What a create answered. A watch that has told of the claim already knows better: it may be bound since."""
        held = self.claims.get(Key(claim.namespace, claim.name))
        if held is None or held.uid != claim.uid:
            self.upsert_claim(claim)

    def delete_claim(self, uid: str) -> None:
        self._bury(uid)
        for key, claim in list(self.claims.items()):
            if claim.uid == uid:
                del self.claims[key]
                self._claim_changed(key.namespace)

    def _claim_changed(self, namespace: str) -> None:
        for job in self.jobs.values():
            if job.namespace == namespace and job.spec is not None and job.spec.checkpoint is not None:
                self._mark(Target(job.key), urgent=True)
        self._listener.capacity_changed()

    def upsert_storage_class(self, name: str, binds_late: bool) -> None:
        """Claims that name the class are judged anew: Kubernetes writes nothing into them when it comes or goes."""
        if binds_late == (name in self._late_classes):
            return
        self._late_classes ^= {name}
        changed = {key: judged for key, held in self.claims.items() if (judged := self._judged(held)) is not held}
        self.claims.update(changed)
        if changed:
            self._listener.capacity_changed()

    def delete_storage_class(self, name: str) -> None:
        self.upsert_storage_class(name, False)

    def _judged(self, claim: ClaimView) -> ClaimView:
        waits = claim.phase == "Pending" and claim.storage_class in self._late_classes
        return claim if waits == claim.wait_for_consumer else replace(claim, wait_for_consumer=waits)

    def upsert_volume(self, volume: VolumeView) -> None:
        if self.volumes.get(volume.name) != volume:
            self.volumes[volume.name] = volume
            self._listener.capacity_changed()

    def delete_volume(self, name: str) -> None:
        if self.volumes.pop(name, None) is not None:
            self._listener.capacity_changed()

    def upsert_quota(self, quota: QuotaView) -> None:
        quotas = self.quotas.setdefault(quota.namespace, {})
        if quotas.get(quota.name) != quota:
            quotas[quota.name] = quota
            self._listener.capacity_changed()

    def delete_quota(self, namespace: str, name: str) -> None:
        if self.quotas.get(namespace, {}).pop(name, None) is not None:
            self._listener.capacity_changed()

    def upsert_priority_class(self, view: PriorityClassView) -> None:
        if self.priority_classes.get(view.name) != view:
            self.priority_classes[view.name] = view
            self._listener.capacity_changed()

    def delete_priority_class(self, name: str) -> None:
        if self.priority_classes.pop(name, None) is not None:
            self._listener.capacity_changed()

    def upsert_namespace(self, view: NamespaceView) -> None:
        if self.namespaces.get(view.name) == view:
            return
        self.namespaces[view.name] = view
        for job in self.jobs.values():
            if job.namespace == view.name:
                self._mark(Target(job.key), urgent=True)
        self._listener.capacity_changed()

    def delete_namespace(self, name: str) -> None:
        self.namespaces.pop(name, None)

    # whole

    def targets(self) -> list[Target]:
        """Everything that may need a pass: all jobs, and all owners of pods that are not in the store."""
        found = [Target(key) for key in self.jobs]
        for uid, gang in self.table.gangs.items():
            pod = next(iter(gang.pods.values()), None)
            if pod is not None and uid not in self._keys:
                found.append(Target(Key(pod.namespace, pod.job), uid))
        return found

    def counts(self) -> Mapping[str, int]:
        """How many objects of each kind are held."""
        return {
            "jobs": len(self.jobs),
            "pods": len(self.table.pods),
            "nodes": len(self.nodes),
            "records": self.children.record_count(),
        }

    def gang(self, uid: str) -> Gang:
        return self.table.gang(uid)

    def _mark_uid(self, uid: str) -> None:
        key = self._keys.get(uid)
        if key is not None:
            self._mark(Target(key), urgent=True)

    def _mark(self, target: Target, *, urgent: bool) -> None:
        self._listener.job_changed(target, urgent=urgent)

    def _buried(self, uid: str) -> bool:
        """Its deletion was seen lately. Old tombs are cleared away only when another is dug, so each is asked its age:
        an object that left the watch and came back to it must not stay unseen."""
        buried = self._tombs.get(uid)
        return buried is not None and buried >= self._clock() - TOMBSTONE_SECONDS

    def _bury(self, uid: str) -> None:
        now = self._clock()
        self._tombs[uid] = now
        self._tombs.move_to_end(uid)
        while self._tombs and next(iter(self._tombs.values())) < now - TOMBSTONE_SECONDS:
            self._tombs.popitem(last=False)


def _version(job: JobView) -> int:
    return int(job.resource_version or 0)


def _holds(job: JobView) -> tuple[object, ...]:
    """What others may wait for: an attempt that ends frees its nodes, a job that ends or is suspended its directory."""
    status = job.status
    ending = (status.finishing is not None, status.terminal, job.deletion is not None)
    return (status.attempt, status.open, status.started_at is not None, *ending)


def _is_news(change: PodChange, job: JobView) -> bool:
    """A pod of the current attempt failed, is being deleted or disrupted, or vanished: not a matter of counting."""
    before, after, attempt = change.before, change.after, job.status.attempt
    if job.deletion is not None or job.status.finishing is not None:
        return False  # its pods are meant to end
    if after is None:
        return before is not None and before.incarnation == attempt
    if after.incarnation != attempt or before is None:
        return False
    return (
        (after.exited and not before.exited and not after.exited_zero)
        or (after.deletion is not None and before.deletion is None)
        or (bool(after.disruption) and not before.disruption)
    )
