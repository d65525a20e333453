"""What ends each wait: a deadline of our own, or something outside that is named. No job waits for anything else (I24).

A reason that a job may stand still with is in this table; the tests hold the planner and the scheduler to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from trainyard.api.reasons import Reason


@dataclass(frozen=True, slots=True)
class Wait:
    """At least one of the two is told."""

    deadline: str = ""
    """When it is over whatever happens, by which field or setting."""
    outside: str = ""
    """Whose doing ends it, where it is not ours."""


_ROOM = "room: other work ends, or nodes are added"
_SPEC = "the job's owner, who mends the spec"
_NODES = "the cluster's admin, or the job's owner: nodes and what the job asks of them do not fit"

WAITS: Mapping[Reason, Wait] = {
    # Before an attempt opens
    Reason.WAITING_TO_BE_SCHEDULED: Wait(deadline="the scheduler's next round, or the API server's next answer"),
    Reason.INSUFFICIENT_CAPACITY: Wait(outside=_ROOM),
    Reason.BEHIND_OTHER_JOB: Wait(outside="the job that the message names: it is placed, or ends, or its hold is over"),
    Reason.UNSATISFIABLE_RESOURCE: Wait(outside=_NODES),
    Reason.NO_SUITABLE_NODE: Wait(outside=_NODES),
    Reason.NO_SUCH_TOPOLOGY_LEVEL: Wait(outside=_NODES),
    Reason.NOT_READY_NODES: Wait(outside="the nodes, which come back or are replaced"),
    Reason.QUOTA_EXCEEDED: Wait(outside="the namespace's quota: it is raised, or others in the namespace end"),
    Reason.DIRECTORY_IN_USE: Wait(outside="the job that the message names: it ends or is suspended"),
    Reason.CLAIM_NOT_FOUND: Wait(outside="the job's owner, who creates the claim or mends its name"),
    Reason.CLAIM_ACCESS_MODE: Wait(outside="the job's owner, who takes another claim or fewer pods"),
    Reason.CLAIM_TERMINATING: Wait(outside="the claim's deletion"),
    Reason.CLAIM_PENDING: Wait(outside="the storage, which binds the claim"),
    Reason.UNKNOWN_PRIORITY_CLASS: Wait(outside="whoever creates the class, or the job's owner"),
    Reason.OTHER_GANG_BINDING: Wait(
        deadline="that gang's `scheduling.startDeadlineSeconds`", outside="the gang that the message names"
    ),
    Reason.BACKOFF: Wait(deadline="the instant in the message: at most `failurePolicy.backoff.maxSeconds`, or 300 s"),
    Reason.AWAITING_CAUSE: Wait(deadline="the setting `settleTime` after the failure"),
    Reason.INVALID_SPEC: Wait(outside=_SPEC),
    Reason.POD_REFUSED: Wait(outside="the job's owner, or whoever runs the admission policy; asked again every 30 s"),
    Reason.OBJECT_REFUSED: Wait(outside="whoever runs the admission policy or webhook; asked again every 30 s"),
    Reason.POD_SECURITY: Wait(outside=_SPEC),
    Reason.EARLIER_ATTEMPT_ENDING: Wait(
        deadline="the pods' grace",
        outside="past their grace: the node or kubelet that the message names",
    ),
    Reason.EARLIER_JOB_ENDING: Wait(
        deadline="the pods' grace",
        outside="pods that were left behind: their own end, or a person, by the command in the message",
    ),
    Reason.NAMESPACE_TERMINATING: Wait(outside="the namespace's deletion, which takes the job along"),
    Reason.FOREIGN_OBJECT: Wait(outside="the owner of the object that the message names"),
    Reason.FOREIGN_ADMISSION: Wait(
        deadline="while the attempt starts: `scheduling.startDeadlineSeconds`",
        outside="the controller whose gate or finalizer the message names",
    ),
    Reason.RESTARTING: Wait(deadline="the next pass, which says more"),
    # While an attempt starts
    Reason.GANG_STARTING: Wait(
        deadline="`scheduling.startDeadlineSeconds` until all are bound, as long again to start"
    ),
    # While nodes do not answer
    Reason.NODES_SILENT: Wait(deadline="the instant in the message: at most the setting `outageTime`"),
    # While it ends
    Reason.SUSPENDING: Wait(deadline="the pods' grace", outside="past it: their node or kubelet"),
    Reason.FINISHING: Wait(deadline="the pods' grace", outside="past it: their node or kubelet"),
    Reason.RECORD_LOST: Wait(outside="the job's owner, who mends the spec: without it no rank can be judged"),
    # Asked for
    Reason.SUSPENDED: Wait(outside="the job's owner, who resumes it"),
}
