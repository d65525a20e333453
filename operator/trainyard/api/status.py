"""The schema of a job's status, for the CRD and its reference. The operator's own view of it is in the room `model`.

Every list and string is bounded, so that a job of 10,000 pods stays far below an object's size limit. Reasons are plain
strings here: an older CRD must not refuse the word of a newer operator.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trainyard.api.base import Flag, StatusModel, Whole
from trainyard.api.constants import MAX_PODS, MAX_ROLES
from trainyard.api.reasons import Cause, ConditionType, Phase

MAX_EPISODES = 20
MAX_CHARGED = 1001  # the largest maxRestarts, and the one too many

Count = Annotated[Whole, Field(ge=0, le=2**53)]
Pods = Annotated[Whole, Field(ge=0, le=MAX_PODS)]
Word = Annotated[str, Field(max_length=64)]
Message = Annotated[str, Field(max_length=8192)]
ObjectName = Annotated[str, Field(max_length=253)]


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class RecordRef(StatusModel):
    """The record of the attempt opened last; that attempt is open as long as its number is `status.attempt`."""

    name: ObjectName
    """Name of the ConfigMap."""
    uid: Word
    """UID of the ConfigMap."""
    attempt: Count
    """Attempt that it records."""


class Finishing(StatusModel):
    """The decided, irrevocable outcome of a job whose last pods are still ending."""

    phase: Phase
    """Phase that follows."""
    reason: Word
    """Reason that follows."""
    message: Message = ""
    """What happened."""


class Streaks(StatusModel):
    """Failures in a row, which the backoff follows; back to 0 once an attempt ran ten minutes."""

    application: Count = 0
    """Application failures in a row."""
    disruption: Count = 0
    """Disruptions and rolled back starts in a row."""


class RoleStatus(StatusModel):
    """The pods of one role in the current attempt."""

    name: Word
    """Name of the role."""
    desired: Pods = 0
    """Replicas of the attempt."""
    created: Pods = 0
    """Pods that were created; those that are done, or were seen to go, count too."""
    scheduled: Pods = 0
    """Pods bound to a node; those that are done count too."""
    ready: Pods = 0
    """Pods whose trainer has started and is ready."""
    failed: Pods = 0
    """Pods that failed."""
    completed: Annotated[str, Field(max_length=65536)] = ""
    """Replicas whose trainer exited 0, as ranges: 0-4,7. In a role that does not complete: those that ended once a
    replica that they serve had completed."""


class Restarts(StatusModel):
    """Attempts that were closed and why they counted."""

    total: Count = 0
    """Attempts closed by a failure or a disruption; roll backs, suspensions and edits do not count."""
    application: Count = 0
    """Those charged to the program."""
    disruption: Count = 0
    """Those that the infrastructure took."""
    charged: Annotated[tuple[datetime, ...], Field(max_length=MAX_CHARGED)] = ()
    """Instants of the charged failures inside the window."""


class Episode(StatusModel):
    """Why one attempt was closed, however many pods went down with it."""

    attempt: Count
    """Attempt that was closed."""
    at: datetime
    """When it was closed."""
    cause: Cause
    """Why it was closed."""
    reason: Word
    """Finer word for the cause."""
    rank: Pods | None = None
    """First failed rank."""
    pod: ObjectName | None = None
    """Pod of that rank."""
    node: ObjectName | None = None
    """Node of that pod."""
    exit_code: Annotated[Whole, Field(ge=-(2**31), le=2**31 - 1)] | None = None
    """Exit code of its trainer."""
    message: Message = ""
    """What happened."""
    settled: Flag = True
    """Whether the blame is final."""
    charged: Flag = False
    """Whether it was charged to the restart budget."""


class Condition(StatusModel):
    """One condition, as Kubernetes writes them."""

    type: ConditionType
    """Which condition."""
    status: ConditionStatus
    """Whether it holds."""
    reason: Word
    """Reason in one word; the reference lists them all."""
    message: Message = ""
    """What, why (with numbers), and the next command to type."""
    observed_generation: Count = 0
    """Generation of the spec that this was judged by."""
    last_transition_time: datetime
    """When the status last changed."""


class JobStatus(StatusModel):
    """What the job is doing and why. Written by the operator alone."""

    phase: Phase = Phase.PENDING
    """Summary of the conditions."""
    reason: Word | None = None
    """Why the job is in this phase."""
    ready: Word = ""
    """Replicas that are ready or have completed, of all, such as 14/16."""
    gpus: Count = 0
    """Accelerators of one attempt."""
    observed_generation: Count = 0
    """Generation of the spec that this status answers."""
    attempt: Count = 0
    """Number of the current attempt; grows by one with each close."""
    attempt_record: RecordRef | None = None
    """Record of the attempt opened last."""
    gang_created: Flag = False
    """Whether every pod of the open attempt has been created."""
    started_at: datetime | None = None
    """First open, or first open after the last resume: activeDeadlineSeconds counts from here."""
    finishing: Finishing | None = None
    """The decided outcome of a job whose last pods are still ending."""
    streaks: Streaks = Streaks()
    """Failures in a row."""
    roles: Annotated[
        tuple[RoleStatus, ...],
        Field(
            max_length=MAX_ROLES,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = ()
    """The pods of the current attempt, by role."""
    restarts: Restarts = Restarts()
    """Attempts that were closed and why they counted."""
    episodes: Annotated[
        tuple[Episode, ...], Field(max_length=MAX_EPISODES, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = ()
    """The newest closes, newest last; those not yet settled are never dropped."""
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            max_length=16, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
        ),
    ] = ()
    """The contract: Valid, Placed, Running, Suspended, Succeeded, Failed."""
