"""The snapshot that one job is planned from, and the plan: what to do, as values that can be printed and compared.

A plan is performed by the executor in the order it is written, and no further than the first step that fails. A step
carries its own guard where a stale cache could do harm (a live LIST before an attempt opens, a live GET before a job
counts as gone).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trainyard.api.reasons import Reason
from trainyard.model.cluster import NOTHING_AVOIDED, Avoided, GangRequest, Grant, Refusal
from trainyard.model.record import Record, RecordDraft
from trainyard.model.status import JobStatus
from trainyard.model.views import ChildView, ClaimView, Instant, JobView, Key, NodeView, Placing, PodView, Resources


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What the dry-run creates told of a job's roles, for one attempt: what is added to pods changes meanwhile."""

    spec_hash: str
    attempt: int = 0
    resources: Mapping[str, Resources] = field(default_factory=dict)
    """Role → what one pod really asks for."""
    placing: Mapping[str, Placing] = field(default_factory=dict)
    """Role → on which nodes its pods may really stand; as the template says where a role is missing."""
    priority_class: str | None = None
    """What all pods are given; None where that is not known, or roles differ."""
    refused_role: str = ""
    refused_code: int = 0
    """HTTP status of the refusal; 0 where nothing was refused."""
    refused_message: str = ""
    at: Instant = 0.0
    """When it was answered; a refusal is asked again after a while."""
    estimated: bool = False
    """Dry run is not served or not allowed here: taken from the template."""


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """Everything the planner may know of one job, frozen at one moment of one store."""

    key: Key
    job: JobView | None
    """None: absent from the store; whether it is gone is for a live GET to say."""
    uid: str
    """The job's UID; with `job` None, the owner UID of the pods that are left."""
    pods: tuple[PodView, ...] = ()
    """Pods owned by this UID that exist, of every attempt."""
    collected: tuple[PodView, ...] = ()
    """Last state of pods of the current attempt that were deleted since its status was written last."""
    strangers: tuple[PodView, ...] = ()
    """Live pods that carry this job's name in their label but belong to an earlier TrainingJob, or to nobody now."""
    records: Mapping[int, Record] = field(default_factory=dict)
    """By attempt."""
    record_missing: bool = False
    """A live GET of the open attempt's record answered 404."""
    hosts: Mapping[int, ChildView] = field(default_factory=dict)
    """By attempt."""
    service: ChildView | None = None
    """Whatever object has the Service's name, ours or not."""
    claim: ClaimView | None = None
    """Whatever claim has the checkpoint claim's name."""
    foreign_names: frozenset[str] = frozenset()
    """Names of ours under which an object of another owner stands (seen as AlreadyExists)."""
    nodes: Mapping[str, NodeView] = field(default_factory=dict)
    """Nodes of the records, the pods, the strangers and the grant above. A node named there and absent here does not
    exist, unless it is unsure."""
    unsure_nodes: frozenset[str] = frozenset()
    """Those named there that this process has never heard of: a watch may be behind, so nothing is planned before a
    live look has told that they do not exist."""
    silent: Mapping[str, Instant] = field(default_factory=dict)
    """Every node of the cluster that does not answer, and since when."""
    node_count: int = 0
    """All nodes of the cluster."""
    request: GangRequest | None = None
    """What the job asks the scheduler for until this plan says otherwise."""
    grant: Grant | None = None
    refusal: Refusal | None = None
    probe: ProbeResult | None = None
    create_refused: CreateRefusal | None = None
    """How the API server refused a pod of the open attempt."""
    object_refused: ObjectRefusal | None = None
    """How it last refused a record, hosts, the Service or the claim."""
    namespace_terminating: bool = False
    unseen: frozenset[str] = frozenset()
    """Kinds that the operator may not read (plural names). Without "nodes", `nodes` is empty and says nothing."""
    shared_nodes: tuple[str, ...] = ()
    """Nodes of the open attempt on which accelerator pods of others run."""
    seen: Mapping[str, float] = field(default_factory=dict)
    """Fact (see `Plan.facts`) → seconds for which this leader has seen it without a break, on its monotonic clock."""
    pace: float = 0.0
    """Seconds from one status write to the next where only counts move, as far as the operator's load asks for it."""


@dataclass(frozen=True, slots=True)
class CreateRefusal:
    """A pod's POST was refused in a way that repeating it will not mend."""

    attempt: int
    rank: int
    code: int
    message: str


@dataclass(frozen=True, slots=True)
class ObjectRefusal:
    """An object that the job needs beside its pods was refused, or a webhook on its way did not answer."""

    attempt: int
    """The job's, at that time."""
    kind: str
    name: str
    code: int
    message: str
    at: Instant
    """It is asked for again after a while."""


@dataclass(frozen=True, slots=True)
class PodRef:
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Write this status (resourceVersion precondition) and plan again on what comes back."""

    status: JobStatus
    why: str
    """One line for the log: what was decided."""
    require_no_live_pods: bool = False
    """W8: first a live LIST (no resourceVersion) of the job's pods must show none live, those in `dead` aside."""
    dead: tuple[str, ...] = ()
    """Names of pods that count as dead."""
    absent_pod: str = ""
    """First a live LIST must not show this pod either, whose absence is all that the decision rests on."""


@dataclass(frozen=True, slots=True)
class ProbeRoles:
    """One dry-run create per role; the answer goes into the store."""


@dataclass(frozen=True, slots=True)
class CreateRecord:
    """W8 first: no hosts ConfigMap, no live pod by a live LIST (`draft.dead` aside). It uses up the grant."""

    draft: RecordDraft


@dataclass(frozen=True, slots=True)
class CreateHosts:
    attempt: int


@dataclass(frozen=True, slots=True)
class CreateService:
    pass


@dataclass(frozen=True, slots=True)
class CreateClaim:
    pass


@dataclass(frozen=True, slots=True)
class CreatePods:
    """Create the pods of these ranks of the open attempt from its record: slow start, then a bounded window."""

    attempt: int
    ranks: tuple[int, ...]
    avoid: Avoided = NOTHING_AVOIDED
    """Nodes that ranks without a node of their own keep off (Delegated)."""


@dataclass(frozen=True, slots=True)
class DeletePods:
    """Delete with UID preconditions, in parallel."""

    pods: tuple[PodRef, ...]
    grace: int | None
    """Seconds; None keeps the pod's own."""
    why: str


@dataclass(frozen=True, slots=True)
class DeleteHosts:
    attempt: int
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class DeleteRecord:
    attempt: int
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """The job's time to live after its end is over: delete it (UID precondition, background propagation)."""

    uid: str


@dataclass(frozen=True, slots=True)
class ConfirmJobGone:
    """W9: a live GET must answer 404 NotFound with our name, or another UID; else nothing after this step is done."""

    uid: str


@dataclass(frozen=True, slots=True)
class ConfirmRecord:
    """A live GET of the record of the open attempt; the answer goes into the store (`records` or `record_missing`)."""

    attempt: int
    name: str


Step = (
    WriteStatus
    | ProbeRoles
    | CreateRecord
    | CreateHosts
    | CreateService
    | CreateClaim
    | CreatePods
    | DeletePods
    | DeleteHosts
    | DeleteRecord
    | DeleteJob
    | ConfirmJobGone
    | ConfirmRecord
)


@dataclass(frozen=True, slots=True)
class EventNote:
    """A Kubernetes event about the job, sent after the plan's commit."""

    type: str
    """Normal or Warning."""
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    steps: tuple[Step, ...] = ()
    request: GangRequest | None = None
    """The job wants to open its next attempt: what the scheduler should place. None withdraws it."""
    requeue_at: Instant | None = None
    """Plan again then, even if nothing happens."""
    facts: frozenset[str] = frozenset()
    """Facts that hold now and whose duration the planner will ask for (`JobSnapshot.seen`)."""
    events: tuple[EventNote, ...] = ()
    drop_grant: bool = False
    """The grant in the snapshot no longer fits the job."""


@dataclass(frozen=True, slots=True)
class PlanningPolicy:
    """Settings of the planner."""

    build: str
    """This operator's build, written into records."""
    settle_seconds: float = 90.0
    """How long a failure waits for infrastructure evidence before it is charged."""
    unschedulable_seconds: float = 15.0
    healthy_run_seconds: float = 600.0
    """An attempt that ran this long sets the streaks back to 0."""
    avoid_seconds: float = 600.0
    """How long a node that failed a job is avoided by it."""
    outage_seconds: float = 300.0
    """How long a gang is left alone at most where its nodes fall silent with most others, or no other attempt could
    open beside them. 0: not at all."""
    hold_seconds: float = 120.0
    """How long a job keeps its claim on the nodes that its closed attempt left."""
    grant_seconds: float = 30.0
    device_backed: frozenset[str] = frozenset()
    """Accelerators that do not show in a node's status: why a Builtin gang was left to the cluster's scheduler."""
    server_exit_seconds: float = 30.0
    """How long a server's exit 0 waits for a completing replica's before it counts as a failure."""
