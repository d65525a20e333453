"""The spec of a TrainingJob, field by field.

The single source: the CRD's schema, its defaults, `kubectl explain` and the API reference are rendered from these
models. A field stands here only if the operator acts on it. What the fields mean together is in `rules.py`; what a role
inherits from its job is in `effective.py`.
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from trainyard.api.base import Flag, Model, Quantity, Whole
from trainyard.api.constants import DEFAULT_GPU_RESOURCE, MAX_GPUS_PER_POD, MAX_PODS, MAX_ROLES

YEAR = 366 * 86400

ResourceName = Annotated[str, Field(min_length=3, max_length=253)]
LabelKey = Annotated[str, Field(min_length=1, max_length=317)]
LabelValue = Annotated[str, Field(max_length=63)]
ObjectName = Annotated[str, Field(min_length=1, max_length=253)]


class Framework(StrEnum):
    """What the trainers of a world find set up."""

    TORCH = "torch"
    TENSORFLOW = "tensorflow"
    JAX = "jax"
    CUSTOM = "custom"


class Placement(StrEnum):
    """Who chooses the nodes."""

    BUILTIN = "Builtin"
    DELEGATED = "Delegated"


class Names(StrEnum):
    """Which pods have names that other pods can resolve."""

    COORDINATORS = "Coordinators"
    ALL = "All"


class IpcLock(StrEnum):
    """Whether the trainer gets the capability to lock memory."""

    ADD = "Add"
    NEVER = "Never"


class WhenDeleted(StrEnum):
    """What becomes of a created claim when its job is deleted."""

    RETAIN = "Retain"
    DELETE = "Delete"


class DeadNodeAction(StrEnum):
    """What the next attempt does about pods on a node that stopped answering."""

    AUTO = "Auto"
    PROCEED = "Proceed"
    WAIT = "Wait"


class CleanPods(StrEnum):
    """Which pods go once a job has finished."""

    RUNNING = "Running"
    ALL = "All"
    NONE = "None"


class AccessMode(StrEnum):
    """How a claim may be mounted."""

    READ_WRITE_MANY = "ReadWriteMany"
    READ_WRITE_ONCE = "ReadWriteOnce"
    READ_WRITE_ONCE_POD = "ReadWriteOncePod"


class TolerationOperator(StrEnum):
    """How a toleration compares."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    """The effect of a taint."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(Model):
    """A taint that the pods tolerate, as in a pod's own spec."""

    key: LabelKey | None = None
    """The taint's key; left out, with operator Exists, every taint is tolerated."""
    operator: TolerationOperator = TolerationOperator.EQUAL
    """Exists ignores the value; Equal compares it."""
    value: LabelValue | None = None
    """The taint's value, for operator Equal."""
    effect: TaintEffect | None = None
    """The taint's effect; left out, all effects are tolerated."""
    toleration_seconds: Annotated[Whole, Field(ge=0, le=YEAR)] | None = None
    """How long a NoExecute taint is tolerated; left out, for ever."""


NodeSelector = Annotated[dict[LabelKey, LabelValue], Field(max_length=32)]
Tolerations = Annotated[
    tuple[Toleration, ...], Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "atomic"})
]


class Accelerator(Model):
    """The accelerator of roles with gpus > 0, and what leads their pods to its nodes."""

    resource: ResourceName = DEFAULT_GPU_RESOURCE
    """Resource name that the device plugin registers, such as nvidia.com/gpu or amd.com/gpu."""
    node_selector: NodeSelector | None = None
    """Labels of the nodes; merged into the template's nodeSelector, whose own keys win."""
    tolerations: Tolerations | None = None
    """Taints of those nodes; added to the template's tolerations."""


class RoleAccelerator(Model):
    """A role's own accelerator; what is left out here is the job's."""

    resource: ResourceName | None = None
    """Resource name that the device plugin registers; default the job's."""
    node_selector: NodeSelector | None = None
    """Labels of the nodes; replaces the job's. The template's own keys win."""
    tolerations: Tolerations | None = None
    """Taints of those nodes; replaces the job's, and is added to the template's."""


PerPod = Annotated[Whole, Field(ge=0, le=64)]


class Rdma(Model):
    """RDMA devices for the trainers of roles with gpus > 0."""

    resource: ResourceName
    """Resource name that the RDMA device plugin registers, such as rdma/hca_shared_devices_a."""
    per_pod: PerPod = 1
    """Devices per pod, set as the trainer's limit. A limit in the template wins."""
    ipc_lock: IpcLock = IpcLock.ADD
    """Add gives the trainer the IPC_LOCK capability, which RDMA needs to pin memory; Never leaves it out."""


class RoleRdma(Model):
    """A role's own RDMA devices; what is left out here is the job's."""

    resource: ResourceName | None = None
    """Resource name that the RDMA device plugin registers; default the job's."""
    per_pod: PerPod | None = None
    """Devices per pod; default the job's. 0: this role gets none."""
    ipc_lock: IpcLock | None = None
    """Whether the trainer gets the IPC_LOCK capability; default the job's."""


class Role(Model):
    """A named set of identical replicas. The order of the roles gives the ranks: it cannot change."""

    name: Annotated[str, Field(min_length=1, max_length=40)]
    """Name of the role, part of its pods' names: lowercase letters, digits and '-', starting with a letter."""
    replicas: Annotated[Whole, Field(ge=1, le=MAX_PODS)] = 1
    """Number of pods."""
    gpus: Annotated[Whole, Field(ge=0, le=MAX_GPUS_PER_POD)] | None = None
    """Accelerators per pod, set as the trainer's limit. Left out: the trainer's own limit, else 0."""
    processes_per_pod: Annotated[Whole, Field(ge=1, le=1024)] | None = None
    """Training processes that each pod starts. Left out: for torch and custom gpus, and 1 where that is 0; for jax and
    tensorflow 1, because one process drives all accelerators of its pod."""
    completes: Flag = True
    """Whether a replica is done when its trainer exits 0. false for servers, which run until all others are done."""
    framework: Framework | None = None
    """What the trainers find set up; default the job's. Roles of one framework form one world with ranks of its own."""
    accelerator: RoleAccelerator | None = None
    """The role's own accelerator; what is left out is the job's."""
    rdma: RoleRdma | None = None
    """The role's own RDMA devices; what is left out is the job's."""
    template: Annotated[dict[str, Any], Field(json_schema_extra={"x-pod-template": True})]
    """The pods, as in any pod template. The trainer is the container named trainer, else the first; its command is
    never rewritten."""


class Topology(Model):
    """How close together the gang must or should be: one of the two, naming a level such as rack or block."""

    required: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """Level whose domain must hold the whole gang; without room in one, the job waits."""
    preferred: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """Level whose domain should hold the whole gang; without room in one, the gang is spread."""


class Scheduling(Model):
    """When and where the gang runs."""

    priority_class_name: ObjectName | None = None
    """PriorityClass of the pods, and of the job in the queue."""
    placement: Placement = Placement.BUILTIN
    """Builtin places the whole gang before a pod exists; Delegated leaves the pods to the cluster's scheduler and
    autoscaler."""
    topology: Topology | None = None
    """How close together the gang must or should be."""
    start_deadline_seconds: Annotated[Whole, Field(ge=10, le=86400)] = 600
    """Time until every pod is bound, and again until every trainer has started; past it the gang is given back
    whole."""


class Rendezvous(Model):
    """How the ranks find each other."""

    port: Annotated[Whole, Field(ge=1024, le=65535)] | None = None
    """Port of the coordinator. Left out: 29500, and with hostNetwork one derived from the job and the attempt."""
    names: Names | None = None
    """Pods with resolvable names. Left out: Coordinators for torch and jax, All for tensorflow and custom."""


class StorageRequest(Model):
    """What is asked of storage."""

    storage: Quantity
    """Size of the volume, such as 1Ti."""


class StorageResources(Model):
    """The claim's resources."""

    requests: StorageRequest
    """What is asked of storage."""


class ClaimSpec(Model):
    """The claim, as in a PersistentVolumeClaim's own spec."""

    access_modes: Annotated[
        tuple[AccessMode, ...], Field(min_length=1, max_length=3, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = (AccessMode.READ_WRITE_MANY,)
    """How the volume may be mounted; a gang of several pods needs ReadWriteMany."""
    storage_class_name: Annotated[str, Field(max_length=253)] | None = None
    """StorageClass; left out, the cluster's default; empty, none: for a volume that was made by hand."""
    volume_name: ObjectName | None = None
    """PersistentVolume to bind, where it is known."""
    resources: StorageResources
    """Size of the volume."""


class ClaimTemplate(Model):
    """A claim that is created for the job."""

    when_deleted: WhenDeleted = WhenDeleted.RETAIN
    """Retain keeps the claim, named JOB-ckpt, for a job applied again; Delete lets it go with the job."""
    spec: ClaimSpec
    """The claim's spec."""


class CheckpointVolume(Model):
    """Where checkpoints live: one of the two."""

    claim_name: ObjectName | None = None
    """Name of an existing PersistentVolumeClaim in the job's namespace."""
    claim_template: ClaimTemplate | None = None
    """A claim that is created for the job."""


class Checkpoint(Model):
    """The volume that outlives attempts, mounted into every role's trainer."""

    volume: CheckpointVolume
    """Where checkpoints live."""
    mount_path: Annotated[str, Field(min_length=2, max_length=512)] = "/checkpoints"
    """Where the trainers find the volume."""
    directory: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """The job's folder under mountPath, told as TRAINYARD_CHECKPOINT_DIR. Left out: the job's name."""


class Backoff(Model):
    """The delay before the next attempt after an application failure: doubled each time, with jitter."""

    initial_seconds: Annotated[Whole, Field(ge=0, le=3600)] = 10
    """Delay after the first failure."""
    max_seconds: Annotated[Whole, Field(ge=0, le=86400)] = 300
    """Longest delay."""


class DeadNode(Model):
    """What happens when a node stops answering for good."""

    action: DeadNodeAction = DeadNodeAction.AUTO
    """Proceed opens the next attempt without that node, Wait waits for it. Auto is Proceed where a rank that the others
    need is known to have ended, else Wait, as for a gang of one pod or one that stood on a single node."""


class FailurePolicy(Model):
    """What happens when an attempt fails. May change at any time."""

    max_restarts: Annotated[Whole, Field(ge=0, le=1000)] = 10
    """Application failures within the window that are answered by another attempt. Disruptions never count."""
    window_seconds: Annotated[Whole, Field(ge=60, le=30 * 86400)] = 86400
    """Length of the sliding window in which failures count."""
    backoff: Backoff = Backoff()
    """The delay before the next attempt after an application failure."""
    restart_grace_period_seconds: Annotated[Whole, Field(ge=1, le=3600)] = 10
    """Grace of the closed attempt's pods; the template's own grace is for deletion and suspension."""
    keep_failed_pods: Annotated[Whole, Field(ge=0, le=100)] = 1
    """Failed pods that are kept to be read: of each closed attempt only the one that failed first, the newest attempts
    before older ones. None where a quota counts them and leaves the gang no room."""
    dead_node: DeadNode = DeadNode()
    """What happens when a node stops answering for good."""


class JobSpec(Model):
    """What is to be trained, how, and what happens when it breaks."""

    framework: Framework = Framework.TORCH
    """What the trainers find set up: environment variables of torch, tensorflow or jax; custom gets a host list
    only."""
    suspend: Flag = False
    """true frees all the job holds; roles and templates can be edited then; false goes on from the checkpoint
    volume."""
    managed_by: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """Another controller's name: Trainyard then leaves the job alone. Can never change."""
    accelerator: Accelerator = Accelerator()
    """The accelerator of roles with gpus > 0."""
    rdma: Rdma | None = None
    """RDMA devices for the trainers of roles with gpus > 0."""
    roles: Annotated[
        tuple[Role, ...],
        Field(
            min_length=1,
            max_length=MAX_ROLES,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ]
    """The gang: all pods of all roles run together or not at all. Change only while the job is suspended."""
    scheduling: Scheduling = Scheduling()
    """When and where the gang runs."""
    rendezvous: Rendezvous = Rendezvous()
    """How the ranks find each other."""
    checkpoint: Checkpoint | None = None
    """The volume that outlives attempts, mounted into every role's trainer."""
    failure_policy: FailurePolicy = FailurePolicy()
    """What happens when an attempt fails."""
    active_deadline_seconds: Annotated[Whole, Field(ge=1, le=10 * YEAR)] | None = None
    """The job fails when it is active for longer, counted from its first open; resuming starts anew. Left out: no
    limit."""
    ttl_seconds_after_finished: Annotated[Whole, Field(ge=0, le=YEAR)] | None = None
    """The finished job is deleted after this time. Left out: it is kept."""
    clean_pods: CleanPods = CleanPods.RUNNING
    """Which pods go once the job has finished. Live ones always go, and with All the ended ones too. Running and None
    do the same: both leave the ended ones to be read."""
