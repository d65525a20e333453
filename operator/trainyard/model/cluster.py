"""What the scheduler sees and answers: the cluster as a whole, the gangs that want to open, grants and refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trainyard.api.reasons import Reason
from trainyard.api.types import Placement
from trainyard.model.views import (
    ClaimView,
    Instant,
    Key,
    NamespaceView,
    NodeTerms,
    NodeView,
    PriorityClassView,
    QuotaView,
    Resources,
    Toleration,
    VolumeView,
)


@dataclass(frozen=True, slots=True)
class RoleRequest:
    """One role of a gang that wants to run, as far as placing it needs."""

    name: str
    replicas: int
    first_rank: int
    resources: Resources
    """Of one pod, as the dry run told (defaults, overhead and webhooks included)."""
    accelerator: str = ""
    """Resource name, empty for a role without GPUs."""
    gpus: int = 0
    node_selector: tuple[tuple[str, str], ...] = ()
    terms: NodeTerms = ()
    """Required node affinity; one term must hold."""
    tolerations: tuple[Toleration, ...] = ()
    host_ports: tuple[int, ...] = ()
    """Of its node, that every pod takes."""
    coordinator_ports: tuple[int, ...] = ()
    """Those that only its replica 0 takes besides."""
    claims_devices: bool = False
    """Its accelerators are claimed (dynamic resource allocation), and no node's status shows them."""
    spread_hosts: bool = False
    """At most one pod of the role on a node (host ports, or a required self anti-affinity by hostname)."""
    terminating: bool = False
    """Its pods have an active deadline of their own: some quotas count only such, or none of them."""

    def ports_of(self, index: int) -> tuple[int, ...]:
        """Ports of its node that a replica takes."""
        return self.host_ports if index else (*self.host_ports, *self.coordinator_ports)


@dataclass(frozen=True, slots=True)
class Avoided:
    """Nodes that a job's next attempts keep off for a while."""

    failed: frozenset[str] = frozenset()
    """Starts came to nothing there: not to be used."""
    away: frozenset[str] = frozenset()
    """Others, that were silent, drained or gone: rather these, once they are back, than none."""
    until: Instant = 0.0
    """By when none of those that failed is avoided any more."""

    @property
    def nodes(self) -> frozenset[str]:
        return self.failed | self.away


NOTHING_AVOIDED = Avoided()


@dataclass(frozen=True, slots=True)
class GangRequest:
    """A job that wants to open its next attempt. Produced by the job's planner, consumed by the scheduler."""

    key: Key
    uid: str
    attempt: int
    spec_hash: str
    queued: Instant
    """Age in the queue: the job's creation."""
    roles: tuple[RoleRequest, ...]
    placement: Placement = Placement.BUILTIN
    priority_class: str = ""
    pod_class: str | None = None
    """PriorityClass that its pods are really given, by a default or a webhook too; None where no dry run told."""
    required_level: str = ""
    preferred_level: str = ""
    claim: str = ""
    """Name of the checkpoint claim that exists or must exist; empty without a volume."""
    claim_created: bool = False
    """The claim is made by the operator from the job's template: its absence is no obstacle."""
    directory: str = ""
    """Exclusive checkpoint directory on that claim."""
    avoid: Avoided = NOTHING_AVOIDED
    """Nodes blamed for earlier failures of this job."""
    keep: Mapping[int, str] = field(default_factory=dict)
    """Rank → node of the healthy ranks of the last attempt: they stay where they are if they can."""
    held_until: Instant = 0.0
    """Until then only jobs ahead of this one may take the nodes in `keep`."""
    not_before: Instant = 0.0
    """Backoff: no grant before this instant."""
    rolled_back: bool = False
    """Its last attempt was rolled back at its start."""
    duration_bound: float | None = None
    """activeDeadlineSeconds: it cannot run longer than this."""
    ends_by: Instant | None = None
    """When it ends at the latest, where it has begun already."""
    kept_to_be_read: int = 0
    """Ended pods of its earlier attempts that stay for their logs: quotas of `count/pods` count them."""

    @property
    def size(self) -> int:
        return sum(r.replicas for r in self.roles)


@dataclass(frozen=True, slots=True)
class Grant:
    """This job may open this attempt on these nodes; reserved until committed or dropped."""

    key: Key
    uid: str
    attempt: int
    spec_hash: str
    nodes: tuple[str, ...]
    """By rank; empty strings where the placement is Delegated."""
    at: Instant
    """Lapses 30 s later."""
    placement: Placement = Placement.BUILTIN


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a job waits: typed, with numbers and the next command to type."""

    key: Key
    uid: str
    reason: Reason
    message: str
    until: Instant | None = None
    """When it is judged again even if nothing changes."""
    clear_kept: bool = False
    """It would not be refused without the ended pods that the job keeps to be read."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Room spoken for but not yet seen as a bound pod: a grant, or an open record's rank without a bound pod."""

    job_uid: str
    node: str
    """Empty where the cluster's scheduler chooses."""
    resources: Resources
    namespace: str = ""
    created: bool = False
    """Its pod exists, though on no node yet: quotas count it by themselves."""
    host_ports: tuple[int, ...] = ()
    priority_class: str | None = None
    """Of its pod, or as the job names it, empty where it names none; None where that is not known any more."""


@dataclass(frozen=True, slots=True)
class HeldDirectory:
    """A checkpoint directory of a job that has begun and not ended, or whose pods may still write to it."""

    namespace: str
    claim: str
    directory: str
    job: str
    job_uid: str
    in_use: bool = True
    """Somebody may write there now, or is about to: an open attempt, a grant, or pods that are still ending."""
    since: Instant = 0.0
    """When the job first opened, or first after its last suspension; 0 while it never did."""
    ending: bool = False
    """Nothing holds it but pods that are still ending: the job is suspended, has ended or is gone."""


@dataclass(frozen=True, slots=True)
class ClusterSnapshot:
    """Everything the scheduler may know. The store keeps `usage` up to date pod by pod."""

    nodes: Mapping[str, NodeView]
    usage: Mapping[str, Mapping[str, int]]
    """Node name → resource → amount used by pods bound there (terminating ones until they are gone) or nominated there.
    Includes `pods`, their number."""
    reservations: tuple[Reservation, ...] = ()
    quotas: Mapping[str, tuple[QuotaView, ...]] = field(default_factory=dict)
    """By namespace."""
    claims: Mapping[Key, ClaimView] = field(default_factory=dict)
    volumes: Mapping[str, VolumeView] = field(default_factory=dict)
    priority_classes: Mapping[str, PriorityClassView] = field(default_factory=dict)
    namespaces: Mapping[str, NamespaceView] = field(default_factory=dict)
    directories: tuple[HeldDirectory, ...] = ()
    foreign: Mapping[str, int] = field(default_factory=dict)
    """Node name → number of pods that ask for accelerators there and are not ours."""
    binding: tuple[Key, ...] = ()
    """Jobs of placement Delegated that may each be taking nodes that another needs: their gang is partly bound, or not
    at all and its last start was rolled back, or they hold a grant."""
    host_ports: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """Node name → host ports in use."""
    resident: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """The part of `usage` that never ends by itself: pods of DaemonSets and static pods."""
    unseen: frozenset[str] = frozenset()
    """Kinds that the operator may not read (plural names): what is empty above for them says nothing."""


def places_blindly(unseen: frozenset[str]) -> bool:
    """Room cannot be judged: nodes are not seen, or not all of the pods on them. Every gang is left to the cluster's
    own scheduler then, as if Delegated."""
    return not unseen.isdisjoint(("nodes", "pods"))


@dataclass(frozen=True, slots=True)
class SchedulingPolicy:
    """Settings of the scheduler."""

    levels: tuple[tuple[str, str], ...] = (
        ("block", "topology.trainyard.dev/block"),
        ("rack", "topology.trainyard.dev/rack"),
        ("host", "kubernetes.io/hostname"),
    )
    """Topology levels from the widest to the narrowest, each with its node label."""
    owned_nodes: tuple[tuple[str, str], ...] = ()
    """Labels of the nodes that this operator places on; empty: all."""
    backfill_bound: float = 3600.0
    """Seconds by which smaller jobs may at most delay a waiting one."""
    device_backed: frozenset[str] = frozenset()
    """Accelerators that are served by DRA and do not show in a node's status."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One round of the scheduler: in order of the queue."""

    grants: tuple[Grant, ...] = ()
    refusals: tuple[Refusal, ...] = ()
