"""One job and all that stands around it, with names, records, hosts and pods that agree with each other.

A builder is changed in place and returns itself; `snapshot()` freezes what it holds. `now` moves only by `passed`.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Self

from builders.happenings import Happenings
from builders.parts import BUILD, NOW
from builders.pods import bound, make_node, make_pod, started
from trainyard.api.hashing import attempt_fields_hash
from trainyard.api.names import hosts_name, record_name, service_name
from trainyard.api.reasons import Cause, ConditionType, Phase, Reason
from trainyard.api.types import Placement
from trainyard.launch import LaunchSettings, draft_record
from trainyard.model.cluster import Grant
from trainyard.model.plan import JobSnapshot, ProbeResult
from trainyard.model.record import Record, RecordDraft
from trainyard.model.status import AttemptRecordRef, Condition, Episode, RoleStatus
from trainyard.model.views import ChildView, JobView, Key, NodeReady

__all__ = ["BUILD", "NOW", "JobBuilder", "make_job"]


def make_job(name: str = "gpt", namespace: str = "research") -> JobBuilder:
    """A job without roles, just created."""
    return JobBuilder(name, namespace)


class JobBuilder(Happenings):
    """See `make_job`."""

    # Attempts

    def probed(self) -> Self:
        """The dry runs were answered."""
        needs = {r.name: (("cpu", 100), ("nvidia.com/gpu", r.gpus)) for r in self.roles}
        self.probe = ProbeResult(self.spec_hash, self.status.attempt, needs, at=self.now)
        return self

    def granted(self, *nodes: str) -> Self:
        """The scheduler gives these nodes by rank; default n0, n1, n2 ... It was asked after the dry runs."""
        if self.probe is None or self.probe.attempt != self.status.attempt:
            self.probed()
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

    def opened(self, attempt: int | None = None, *nodes: str, build: str = BUILD) -> Self:
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

    def with_hosts(self, attempt: int, owner: str | None = None) -> Self:
        name = hosts_name(self.name, self.uid5, attempt)
        self.hosts[attempt] = ChildView(self.namespace, name, f"uid-{name}", owner or self.uid, attempt)
        return self

    def with_service(self, owner: str | None = None) -> Self:
        name = service_name(self.name, self.uid5)
        self.service = ChildView(self.namespace, name, f"uid-{name}", owner or self.uid)
        return self

    def create(self, *ranks: int) -> Self:
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

    def created_gang(self) -> Self:
        self.create()
        self.status = replace(self.status, gang_created=True)
        return self

    def running(self, since: float | None = None) -> Self:
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

    def closed(self, cause: Cause, reason: Reason, **more: Any) -> Self:
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

    def swept(self) -> Self:
        """All that closed attempts left is gone, but their records."""
        self.pods.clear()
        self.hosts.clear()
        return self

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
            suspend=self.raw.get("suspend") is True,
        )

    def snapshot(self) -> JobSnapshot:
        everywhere = () if "nodes" in self.unseen else (*self.nodes.values(), *self.other_nodes.values())
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
            silent={n.name: n.silent_since for n in everywhere if n.ready is NodeReady.UNKNOWN},
            node_count=len(everywhere),
            request=self.request,
            grant=self.grant,
            refusal=self.refusal,
            probe=self.probe,
            create_refused=self.create_refused,
            object_refused=self.object_refused,
            namespace_terminating=self.namespace_terminating,
            unseen=self.unseen,
            shared_nodes=self.shared_nodes,
            seen=dict(self.seen),
            pace=self.pace,
        )
