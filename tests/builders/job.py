"""One job and all that stands around it, with names, records, hosts and pods that agree with each other.

A builder is changed in place and returns itself; `snapshot()` freezes what it holds. `now` moves only by `passed`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from typing import Any

from builders.pods import bound, disrupted, ending, exited, make_node, make_pod, refused, started, unknown
from trainyard.api.effective import EffectiveRole, effective_roles
from trainyard.api.hashing import attempt_fields_hash
from trainyard.api.names import hosts_name, pod_name, record_name, service_name, uid5
from trainyard.api.reasons import Cause, ConditionType, Phase, Reason
from trainyard.api.types import JobSpec, Placement
from trainyard.api.validation import read_job
from trainyard.launch import LaunchSettings, draft_record
from trainyard.model.cluster import GangRequest, Grant, Refusal
from trainyard.model.plan import CreateRefusal, JobSnapshot, ProbeResult
from trainyard.model.record import Record, RecordDraft
from trainyard.model.status import AttemptRecordRef, Condition, Episode, JobStatus, RoleStatus
from trainyard.model.views import ChildView, ClaimView, JobView, Key, NodeReady, NodeView, PodView, Problem, Taint

NOW = 1_800_000_000.0
BUILD = "1.0.0"


def make_job(name: str = "gpt", namespace: str = "research") -> JobBuilder:
    """A job without roles, just created."""
    return JobBuilder(name, namespace)


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    out = dict(old)
    for key, value in new.items():
        out[key] = _merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


class JobBuilder:
    """See `make_job`."""

    def __init__(self, name: str, namespace: str) -> None:
        self.name = name
        self.namespace = namespace
        self.uid = f"uid-of-{name}"
        self.now = NOW
        self.created = NOW - 60
        self.generation = 1
        self.version = 100
        self.raw: dict[str, Any] = {"roles": []}
        self.problems: tuple[Problem, ...] = ()
        self.deletion: float | None = None
        self.orphan = False
        self.managed_by = ""
        self.status = JobStatus()
        self.pods: dict[str, PodView] = {}
        self.collected: dict[str, PodView] = {}
        self.strangers: tuple[PodView, ...] = ()
        self.records: dict[int, Record] = {}
        self.record_missing = False
        self.hosts: dict[int, ChildView] = {}
        self.service: ChildView | None = None
        self.claim: ClaimView | None = None
        self.foreign_names: frozenset[str] = frozenset()
        self.nodes: dict[str, NodeView] = {}
        self.request: GangRequest | None = None
        self.grant: Grant | None = None
        self.refusal: Refusal | None = None
        self.probe: ProbeResult | None = None
        self.create_refused: CreateRefusal | None = None
        self.namespace_terminating = False
        self.unseen: frozenset[str] = frozenset()
        self.shared_nodes: tuple[str, ...] = ()
        self.seen: dict[str, float] = {}
        self.exists = True
        self._read: tuple[str, JobSpec] | None = None

    # The spec

    def role(self, name: str, replicas: int = 1, **more: Any) -> JobBuilder:
        """Another role; `template` is a whole pod template, all else as in the manifest."""
        more.setdefault("template", {"spec": {"containers": [{"name": "trainer", "image": "busybox:1.36"}]}})
        self.raw["roles"].append({"name": name, "replicas": replicas, **more})
        return self

    def workers(self, replicas: int, gpus: int = 0, **more: Any) -> JobBuilder:
        return self.role("worker", replicas, gpus=gpus, **more)

    def spec(self, **more: Any) -> JobBuilder:
        """Fields of the spec, camelCase, merged into what is there; a new generation."""
        self.raw = _merged(self.raw, more)
        self.generation += 1
        return self

    def suspended(self, suspend: bool = True) -> JobBuilder:
        return self.spec(suspend=suspend)

    def resumed(self) -> JobBuilder:
        return self.suspended(False)

    def max_restarts(self, count: int) -> JobBuilder:
        return self.spec(failurePolicy={"maxRestarts": count})

    def invalid(self, path: str = "roles", message: str = "is odd") -> JobBuilder:
        """This build cannot read the spec."""
        self.problems = (*self.problems, Problem(path, message))
        return self

    @property
    def parsed(self) -> JobSpec:
        text = json.dumps(self.raw, sort_keys=True)
        if self._read is None or self._read[0] != text:
            self._read = (text, read_job(self.name, self.raw))
        return self._read[1]

    @property
    def roles(self) -> tuple[EffectiveRole, ...]:
        return effective_roles(self.parsed)

    @property
    def spec_hash(self) -> str:
        return attempt_fields_hash(self.parsed)

    # Names

    @property
    def uid5(self) -> str:
        return uid5(self.uid)

    def pod_name(self, rank: int, attempt: int | None = None) -> str:
        role = next(r for r in reversed(self.roles) if r.offset <= rank)
        number = self.status.attempt if attempt is None else attempt
        return pod_name(self.name, self.uid5, number, role.name, rank - role.offset)

    def pod(self, rank: int, attempt: int | None = None) -> PodView:
        return self.pods[self.pod_name(rank, attempt)]

    @property
    def size(self) -> int:
        return sum(r.replicas for r in self.roles)

    # Time

    def at(self, now: float) -> JobBuilder:
        self.now = now
        return self

    def passed(self, seconds: float) -> JobBuilder:
        """Time goes by, and this leader sees every fact it has noted go on."""
        self.now += seconds
        self.seen = {fact: span + seconds for fact, span in self.seen.items()}
        return self

    def seeing(self, fact: str, seconds: float) -> JobBuilder:
        self.seen[fact] = seconds
        return self

    def noted(self, facts: Iterable[str]) -> JobBuilder:
        """Facts of a plan: those that are new begin, those that are missing have ended."""
        self.seen = {fact: self.seen.get(fact, 0.0) for fact in facts}
        return self

    def _bump(self) -> int:
        self.version += 1
        return self.version

    # Attempts

    def probed(self) -> JobBuilder:
        """The dry runs were answered."""
        needs = {r.name: (("cpu", 100), ("nvidia.com/gpu", r.gpus)) for r in self.roles}
        self.probe = ProbeResult(self.spec_hash, needs, at=self.now)
        return self

    def granted(self, *nodes: str) -> JobBuilder:
        """The scheduler gives these nodes by rank; default n0, n1, n2 ..."""
        names = nodes or tuple(f"n{rank}" for rank in range(self.size))
        placement = self.parsed.scheduling.placement
        if placement is Placement.DELEGATED:
            names = ("",) * self.size
        for name in names:
            if name and name not in self.nodes:
                self.nodes[name] = make_node(name)
        self.grant = Grant(
            Key(self.namespace, self.name), self.uid, self.status.attempt, self.spec_hash, names, self.now, placement
        )
        return self

    def stored(self, draft: RecordDraft) -> Record:
        """The record as the API server keeps it."""
        name = record_name(self.name, self.uid5, draft.attempt)
        told = {field.name: getattr(draft, field.name) for field in fields(RecordDraft)}
        record = Record(**told, name=name, uid=f"uid-{name}", created=float(int(self.now)))
        self.records[draft.attempt] = record
        return record

    def opened(self, attempt: int | None = None, *nodes: str, build: str = BUILD) -> JobBuilder:
        """The attempt is open: record, status, hosts and Service are there, pods are not."""
        if attempt is not None:
            self.status = replace(self.status, attempt=attempt)
        self.probed().granted(*nodes)
        grant = self.grant
        assert grant is not None
        draft = draft_record(self.view, grant, self.probe, build=build, dead=(), settings=LaunchSettings())
        record = self.stored(draft)
        self.grant = None
        self.status = replace(
            self.status,
            phase=Phase.STARTING,
            attempt_record=AttemptRecordRef(record.name, record.uid, record.attempt),
            gang_created=False,
            started_at=self.now if self.status.started_at is None else self.status.started_at,
            roles=tuple(RoleStatus(r.name, r.replicas) for r in record.roles),
        )
        return self.with_hosts(record.attempt).with_service()

    def with_hosts(self, attempt: int, owner: str | None = None) -> JobBuilder:
        name = hosts_name(self.name, self.uid5, attempt)
        self.hosts[attempt] = ChildView(self.namespace, name, f"uid-{name}", owner or self.uid, attempt)
        return self

    def with_service(self, owner: str | None = None) -> JobBuilder:
        name = service_name(self.name, self.uid5)
        self.service = ChildView(self.namespace, name, f"uid-{name}", owner or self.uid)
        return self

    def create(self, *ranks: int) -> JobBuilder:
        """Pods of the open attempt are created; all of them where no rank is named."""
        record = self.records[self.status.attempt]
        for rank in ranks or range(record.size):
            role, index = record.locate(rank)
            name = self.pod_name(rank)
            self.pods[name] = make_pod(
                name,
                namespace=self.namespace,
                resource_version=self._bump(),
                job=self.name,
                job_uid=self.uid,
                role=role.name,
                index=index,
                rank=rank,
                incarnation=record.incarnation(rank),
                created=self.now,
                pinned=record.nodes[rank],
            )
        return self

    def created_gang(self) -> JobBuilder:
        self.create()
        self.status = replace(self.status, gang_created=True)
        return self

    def running(self, since: float | None = None) -> JobBuilder:
        """All pods of the open attempt run, and status has said so."""
        if not self._current():
            self.create()
        for name in self._current():
            pod = self.pods[name]
            pod = bound(pod, pod.node or pod.pinned or f"n{pod.rank}", self._bump())
            self.nodes.setdefault(pod.node, make_node(pod.node))
            self.pods[name] = started(pod, self._bump())
        moment = self.now if since is None else since
        condition = Condition(ConditionType.RUNNING, True, Reason.ALL_RANKS_RUNNING, since=moment)
        others = tuple(c for c in self.status.conditions if c.type is not ConditionType.RUNNING)
        self.status = replace(self.status, phase=Phase.RUNNING, gang_created=True, conditions=(*others, condition))
        return self

    def _current(self) -> list[str]:
        return [name for name, pod in self.pods.items() if pod.incarnation == self.status.attempt]

    def closed(self, cause: Cause, reason: Reason, **more: Any) -> JobBuilder:
        """The open attempt was closed for this; its pods are as they were."""
        more.setdefault("settled", cause is not Cause.APPLICATION_FAILURE)
        episode = Episode(self.status.attempt, at=more.pop("at", self.now), cause=cause, reason=reason, **more)
        self.status = replace(
            self.status,
            phase=Phase.RESTARTING,
            attempt=self.status.attempt + 1,
            gang_created=False,
            episodes=(*self.status.episodes, episode),
        )
        return self

    def swept(self) -> JobBuilder:
        """All that closed attempts left is gone, but their records."""
        self.pods.clear()
        self.hosts.clear()
        return self

    # What happens to pods

    def change(self, rank: int, by: Callable[[PodView], PodView]) -> JobBuilder:
        name = self.pod_name(rank)
        self.pods[name] = by(self.pods[name])
        return self

    def bound(self, *ranks: int) -> JobBuilder:
        for rank in ranks or range(self.size):
            self.change(rank, lambda p: bound(p, p.pinned, self._bump()))
        return self

    def started(self, *ranks: int) -> JobBuilder:
        for rank in ranks or range(self.size):
            self.change(rank, lambda p: started(bound(p, p.node or p.pinned, self._bump()), self._bump()))
        return self

    def failed(self, rank: int, code: int = 1, reason: str = "", message: str = "") -> JobBuilder:
        return self.change(rank, lambda p: exited(p, code, self._bump(), reason=reason, message=message))

    def succeeded(self, *ranks: int) -> JobBuilder:
        for rank in ranks or range(self.size):
            self.failed(rank, code=0)
        return self

    def refused_by_kubelet(self, rank: int, reason: str = "UnexpectedAdmissionError", message: str = "") -> JobBuilder:
        return self.change(rank, lambda p: refused(bound(p, p.pinned, 0), reason, message, self._bump()))

    def deleted(self, rank: int, grace: int = 30) -> JobBuilder:
        """Somebody deletes the pod; it is still there."""
        return self.change(rank, lambda p: ending(p, self.now, grace, self._bump()))

    def evicted(self, rank: int, reason: str = "EvictionByEvictionAPI", grace: int = 30) -> JobBuilder:
        self.change(rank, lambda p: disrupted(p, reason, self._bump()))
        return self.deleted(rank, grace)

    def gone(self, *ranks: int) -> JobBuilder:
        """The pod is no more; this leader saw it go."""
        for rank in ranks:
            pod = self.pods.pop(self.pod_name(rank))
            self.collected[pod.name] = pod
        return self

    def lost(self, *ranks: int) -> JobBuilder:
        """The pod is no more and nobody saw it go."""
        for rank in ranks:
            del self.pods[self.pod_name(rank)]
        return self

    # What happens to nodes

    def node(self, name: str, **changes: Any) -> JobBuilder:
        self.nodes[name] = replace(self.nodes.get(name) or make_node(name), **changes)
        return self

    def node_unknown(self, name: str) -> JobBuilder:
        self.nodes[name] = unknown(self.nodes[name])
        return self

    def node_ready(self, name: str) -> JobBuilder:
        return self.node(name, ready=NodeReady.TRUE)

    def node_gone(self, name: str) -> JobBuilder:
        del self.nodes[name]
        return self

    def nodes_unseen(self) -> JobBuilder:
        """The operator may not read nodes."""
        self.nodes.clear()
        self.unseen = frozenset({"nodes"})
        return self

    def tainted(self, name: str, key: str = "maintenance", effect: str = "NoSchedule") -> JobBuilder:
        return self.node(name, taints=(Taint(key, "", effect),))

    # Frozen

    @property
    def view(self) -> JobView:
        spec = None if self.problems else self.parsed
        return JobView(
            namespace=self.namespace,
            name=self.name,
            uid=self.uid,
            resource_version=str(self.version),
            generation=self.generation,
            created=self.created,
            spec=spec,
            status=self.status,
            spec_hash="" if spec is None else attempt_fields_hash(spec),
            problems=self.problems,
            deletion=self.deletion,
            orphan=self.orphan,
            managed_by=self.managed_by,
        )

    def snapshot(self) -> JobSnapshot:
        return JobSnapshot(
            key=Key(self.namespace, self.name),
            job=self.view if self.exists else None,
            uid=self.uid,
            pods=tuple(self.pods.values()),
            collected=tuple(self.collected.values()),
            strangers=self.strangers,
            records=dict(self.records),
            record_missing=self.record_missing,
            hosts=dict(self.hosts),
            service=self.service,
            claim=self.claim,
            foreign_names=self.foreign_names,
            nodes=dict(self.nodes),
            request=self.request,
            grant=self.grant,
            refusal=self.refusal,
            probe=self.probe,
            create_refused=self.create_refused,
            namespace_terminating=self.namespace_terminating,
            unseen=self.unseen,
            shared_nodes=self.shared_nodes,
            seen=dict(self.seen),
        )
