"""What a built job is made of: its spec, its names, its clock, and the objects around it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Self

from trainyard.api.effective import EffectiveRole, effective_roles
from trainyard.api.hashing import attempt_fields_hash
from trainyard.api.names import pod_name, uid5
from trainyard.api.types import JobSpec
from trainyard.api.validation import read_job
from trainyard.model.cluster import GangRequest, Grant, Refusal
from trainyard.model.plan import CreateRefusal, ObjectRefusal, ProbeResult
from trainyard.model.record import Record
from trainyard.model.status import JobStatus
from trainyard.model.views import ChildView, ClaimView, NodeView, PodView, Problem

NOW = 1_800_000_000.0
BUILD = "1.0.0"


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    out = dict(old)
    for key, value in new.items():
        out[key] = _merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


class JobParts:
    """Changed in place; every change returns the job itself."""

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
        self.other_nodes: dict[str, NodeView] = {}
        """Of the cluster; the job has nothing to do with them."""
        self.request: GangRequest | None = None
        self.grant: Grant | None = None
        self.refusal: Refusal | None = None
        self.probe: ProbeResult | None = None
        self.create_refused: CreateRefusal | None = None
        self.object_refused: ObjectRefusal | None = None
        self.namespace_terminating = False
        self.unseen: frozenset[str] = frozenset()
        self.shared_nodes: tuple[str, ...] = ()
        self.pace = 0.0
        self.seen: dict[str, float] = {}
        self.exists = True
        self._read: tuple[str, JobSpec] | None = None

    # The spec

    def role(self, name: str, replicas: int = 1, **more: Any) -> Self:
        """Another role; `template` is a whole pod template, all else as in the manifest."""
        more.setdefault("template", {"spec": {"containers": [{"name": "trainer", "image": "busybox:1.36"}]}})
        self.raw["roles"].append({"name": name, "replicas": replicas, **more})
        return self

    def workers(self, replicas: int, gpus: int = 0, **more: Any) -> Self:
        return self.role("worker", replicas, gpus=gpus, **more)

    def spec(self, **more: Any) -> Self:
        """Fields of the spec, camelCase, merged into what is there; a new generation."""
        self.raw = _merged(self.raw, more)
        self.generation += 1
        return self

    def suspended(self, suspend: bool = True) -> Self:
        return self.spec(suspend=suspend)

    def resumed(self) -> Self:
        return self.suspended(False)

    def max_restarts(self, count: int) -> Self:
        return self.spec(failurePolicy={"maxRestarts": count})

    def invalid(self, path: str = "roles", message: str = "is odd") -> Self:
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

    def at(self, now: float) -> Self:
        self.now = now
        return self

    def passed(self, seconds: float) -> Self:
        """Time goes by, and this leader sees every fact it has noted go on."""
        self.now += seconds
        self.seen = {fact: span + seconds for fact, span in self.seen.items()}
        return self

    def seeing(self, fact: str, seconds: float) -> Self:
        self.seen[fact] = seconds
        return self

    def noted(self, facts: Iterable[str]) -> Self:
        """Facts of a plan: those that are new begin, those that are missing have ended."""
        self.seen = {fact: self.seen.get(fact, 0.0) for fact in facts}
        return self

    def _bump(self) -> int:
        self.version += 1
        return self.version
