"""Why a job is where it is: phases, condition types, reasons and causes, each with its meaning and its remedy.

The text beside a member is what `docs/reference/reasons.md` prints. Members may be added; a published one keeps its
value.
"""

from enum import StrEnum


class Documented(StrEnum):
    """A word of the API with its meaning and, where a person can do something, what to do."""

    _value_: str
    meaning: str
    remedy: str

    def __new__(cls, value: str, meaning: str = "", remedy: str = "") -> "Documented":
        """Keep the texts on the member, where the reference finds them."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        member.remedy = remedy
        return member


class Phase(Documented):
    """One word for where a job is. A summary of the conditions, never read back by the operator."""

    PENDING = (
        "Pending",
        "No attempt is open: the job waits for a place, a quota, a claim or its own backoff, or for pods to end: those "
        "of an attempt that was closed otherwise than by failure or disruption, or of an earlier job of its name.",
    )
    STARTING = "Starting", "An attempt is open and its pods are being created, bound, pulled or started."
    RUNNING = "Running", "Every rank's trainer of the open attempt has started."
    RESTARTING = (
        "Restarting",
        "An attempt was closed after a failure or disruption; its pods are ending or the next attempt is awaited.",
    )
    SUSPENDING = "Suspending", "`spec.suspend` is true and pods of the closed attempt are still ending."
    SUSPENDED = "Suspended", "`spec.suspend` is true and the job holds nothing: no pods, no nodes."
    SUCCEEDED = "Succeeded", "Every completing replica of one attempt exited 0. Final."
    FAILED = "Failed", "The job will not run again: its budget, its deadline or its template ended it. Final."


class ConditionType(Documented):
    """The conditions of a job: the contract that tools may wait on."""

    VALID = "Valid", "The operator understands the spec. False blocks the opening of an attempt, never a running gang."
    PLACED = "Placed", "The gang has a place: an attempt is open. False says what the job waits for, with numbers."
    RUNNING = "Running", "Every rank's trainer of the open attempt has started."
    SUSPENDED = "Suspended", "The job was asked to hold nothing, and holds nothing."
    SUCCEEDED = "Succeeded", "Every completing replica exited 0."
    FAILED = "Failed", "The job ended without success and will not run again."


class Cause(Documented):
    """Why an attempt was closed, as its episode tells it."""

    APPLICATION_FAILURE = (
        "ApplicationFailure",
        "A trainer ended with an error; charged to the restart budget once settled.",
    )
    DISRUPTION = "Disruption", "The infrastructure took a rank: eviction, drain, dead node, deleted pod. Never charged."
    START_ROLLED_BACK = (
        "StartRolledBack",
        "The gang could not be bound or started whole; given back and tried elsewhere. Never charged.",
    )
    SUSPENDED = "Suspended", "`spec.suspend` was set. Never charged."
    SPEC_CHANGED = "SpecChanged", "The fields that shape an attempt changed. Never charged."
    OPERATOR_UPGRADED = (
        "OperatorUpgraded",
        "Another build of the operator met a gang that was only half created. Never charged.",
    )
    RECORD_LOST = "RecordLost", "The attempt's record was deleted before its gang was created. Never charged."


class Reason(Documented):
    """Every reason that a condition, `status.reason` or a Kubernetes event may carry."""

    # The spec
    SPEC_ACCEPTED = "SpecAccepted", "The spec passed every check of the operator."
    INVALID_SPEC = (
        "InvalidSpec",
        "The operator's own check refuses the spec; the message names the field, what is wrong and how to mend it.",
        "Suspend the job, mend the field (`kubectl edit tj NAME`), resume it.",
    )

    # Waiting: why an attempt does not open
    WAITING_TO_BE_SCHEDULED = (
        "WaitingToBeScheduled",
        "The job has just arrived; the scheduler has not looked at it yet.",
    )
    INSUFFICIENT_CAPACITY = (
        "InsufficientCapacity",
        "The nodes that suit the job have not enough free accelerators, memory or other resources for the whole gang.",
        "Wait for other jobs to end (`kubectl get tj -A`), ask for less, or add nodes.",
    )
    UNSATISFIABLE_RESOURCE = (
        "UnsatisfiableResource",
        "No node, even empty, could hold one of the pods: it asks for more than any node has, or for a resource "
        "that none has.",
        "Compare the role's limits with `kubectl describe nodes`; mend `gpus`, `accelerator`, `rdma` or the template.",
    )
    NO_SUITABLE_NODE = (
        "NoSuitableNode",
        "Selectors, affinity, taints or cordons leave no node for a role.",
        "Compare the role's node selector and tolerations with `kubectl get nodes --show-labels`.",
    )
    NO_SUCH_TOPOLOGY_LEVEL = (
        "NoSuchTopologyLevel",
        "`scheduling.topology` names a level that the operator does not know or that no node carries a label for.",
        "Use one of the levels in the message, or label the nodes.",
    )
    QUOTA_EXCEEDED = (
        "QuotaExceeded",
        "A ResourceQuota of the namespace does not admit the whole gang.",
        "`kubectl describe quota -n NAMESPACE`; ask for less or have the quota raised.",
    )
    DIRECTORY_IN_USE = (
        "DirectoryInUse",
        "Another job that has begun has the same checkpoint directory of the same claim; this one waits until that one "
        "has ended or is suspended.",
        "Give one of them another `checkpoint.directory`.",
    )
    CLAIM_NOT_FOUND = (
        "ClaimNotFound",
        "The PersistentVolumeClaim of `checkpoint.volume.claimName` does not exist in the job's namespace.",
        "`kubectl get pvc -n NAMESPACE`; create the claim or mend the name.",
    )
    CLAIM_ACCESS_MODE = (
        "ClaimAccessMode",
        "The claim's access mode does not let all pods of the gang mount it.",
        "Use a ReadWriteMany claim for a gang of several pods.",
    )
    CLAIM_TERMINATING = (
        "ClaimTerminating",
        "The checkpoint claim is being deleted; a job does not start on storage that is about to go.",
        "Wait for it to be gone, or name another claim.",
    )
    CLAIM_PENDING = (
        "ClaimPending",
        "The checkpoint claim is not bound to a volume yet and its storage class does not wait for a first pod.",
        "`kubectl describe pvc CLAIM -n NAMESPACE` says what its volume waits for.",
    )
    UNKNOWN_PRIORITY_CLASS = (
        "UnknownPriorityClass",
        "The PriorityClass of `scheduling.priorityClassName` does not exist.",
        "`kubectl get priorityclasses`; create it or mend the name.",
    )
    BEHIND_OTHER_JOB = (
        "BehindOtherJob",
        "The job would fit, but starting it now could delay a job that is ahead of it by priority or age.",
        "The message names that job; wait, or raise `scheduling.priorityClassName`.",
    )
    OTHER_GANG_BINDING = (
        "OtherGangBinding",
        "A start of this Delegated job was rolled back and another Delegated gang is not wholly bound: "
        "starting both could make each wait for nodes that the other has.",
    )
    BACKOFF = (
        "Backoff",
        "The next attempt waits out its delay after a failure, a repeated disruption or a rolled back start.",
    )
    AWAITING_CAUSE = (
        "AwaitingCause",
        "A failure is not yet blamed (at most 90 s) and the budget might already be spent; the next attempt "
        "waits for the verdict.",
    )
    OBJECT_REFUSED = (
        "ObjectRefused",
        "The API server refuses an object that the job needs beside its pods (a ConfigMap, the Service, the claim), or "
        "a webhook on its way does not answer. It is asked for again every 30 s.",
        "The message says what is refused and why: mend the policy, the webhook or the claim template.",
    )
    POD_REFUSED = (
        "PodRefused",
        "The API server refuses the job's pods as the template makes them; its own words are in the message.",
        "Mend what the message names: suspend, edit, resume; or ask who runs the admission policy.",
    )
    POD_SECURITY = (
        "PodSecurity",
        "The job's pods ask for more than the operator's setting `pod-security` allows; the message names the fields.",
        "Suspend the job, remove what the message names, resume it; or ask the cluster's administrator.",
    )
    EARLIER_JOB_ENDING = (
        "EarlierJobEnding",
        "Pods of an earlier job of this name are still there; two may never share a checkpoint directory. Those that "
        "a job deleted with `--cascade=orphan` left behind are waited for until they end by themselves.",
        "Of pods left behind, end those that the message names, by its command, or use another name.",
    )
    EARLIER_ATTEMPT_ENDING = (
        "EarlierAttemptEnding",
        "Pods of the attempt before are still ending; the next opens when none is live.",
    )
    NAMESPACE_TERMINATING = "NamespaceTerminating", "The namespace is being deleted: nothing new is created in it."
    FOREIGN_OBJECT = (
        "ForeignObject",
        "An object that the job needs exists under its name and belongs to somebody else; it is never touched.",
        "Delete or rename that object, or make the job again under another name.",
    )
    FOREIGN_ADMISSION = (
        "ForeignAdmission",
        "Another controller holds the job's pods back with a scheduling gate or keeps them with a finalizer.",
        "Ask that controller (the message names the gate or finalizer).",
    )
    SHARED_NODES = (
        "SharedNodes",
        "Pods that Trainyard does not manage use accelerators of the nodes that it owns; a placement may be "
        "refused because of them.",
        "Keep such pods off those nodes, or set which nodes Trainyard owns.",
    )
    DEVICE_BACKED = (
        "DeviceBacked",
        "The accelerators are served by dynamic resource allocation and cannot be counted on nodes; the gang is "
        "placed as if Delegated.",
        "Nothing need be done. To have gangs placed by Trainyard, ask for accelerators that a device plugin serves.",
    )
    LIMITED_VIEW = (
        "LimitedView",
        "The operator may not read the cluster's nodes, or the pods of all namespaces, and so cannot judge what is "
        "free; the gang is placed as if Delegated.",
        "Nothing need be done. To have gangs placed by Trainyard, let the operator list and watch nodes and pods in "
        "the whole cluster.",
    )
    NOT_READY_NODES = (
        "NotReadyNodes",
        "Nodes that the gang needs are not Ready, cordoned or tainted at this moment; it is placed once enough "
        "of them are back.",
        "`kubectl get nodes`; `kubectl uncordon NODE`.",
    )

    # Placing and starting
    GANG_PLACED = "GangPlaced", "The whole gang has its nodes and the attempt is open."
    GANG_DELEGATED = (
        "GangDelegated",
        "The attempt is open and its pods wait for the cluster's own scheduler and autoscaler.",
    )
    GANG_STARTING = "GangStarting", "Pods of the open attempt are being created, bound, pulled or started."
    ALL_RANKS_RUNNING = "AllRanksRunning", "Every rank's trainer has started."
    NODES_SILENT = (
        "NodesSilent",
        "Nodes of the gang stopped answering together with most others, as they do where the control plane or the "
        "network to it fails, or no other attempt could open beside those on them, or others are just coming back; the "
        "ranks may well train on, and are left alone until the instant in the message.",
        "`kubectl get nodes`; look after the API server, its load balancer and the nodes' way to it. If a node is off "
        "for good: `kubectl delete node NODE`.",
    )
    START_DEADLINE_EXCEEDED = (
        "StartDeadlineExceeded",
        "The gang was not bound, or not started, within `scheduling.startDeadlineSeconds`; it was given back whole.",
        "`kubectl describe` one of the pods while it starts: slow images need a longer deadline.",
    )
    UNSCHEDULABLE = (
        "Unschedulable",
        "kube-scheduler refused a pinned pod for 15 s; the start was rolled back and that node is avoided for a while.",
    )
    NODE_REFUSED = (
        "NodeRefused",
        "The kubelet of the chosen node refused a pod; the start was rolled back and that node is avoided for a while.",
    )
    IMAGE_INVALID = (
        "ImageInvalid",
        "The image name of a container, be it an init container or a sidecar, cannot be right: no retry can help.",
        "Mend the image in the template and apply the job again.",
    )
    ADMISSION_ERROR = (
        "AdmissionError",
        "Kubelets of two nodes refused the pods for the same reason: the template is at fault.",
        "Mend what the message names in the template.",
    )

    # Failing and coming back
    APPLICATION_FAILURE = (
        "ApplicationFailure",
        "A trainer ended with an error; the attempt was closed.",
        "`kubectl logs` of the pod in the message: the first failed pod is kept to be read.",
    )
    EVICTED = "Evicted", "A pod was evicted: a drain, node pressure or the eviction API."
    PREEMPTED = "Preempted", "kube-scheduler evicted a pod for one of a higher priority."
    POD_DELETED = "PodDeleted", "Somebody other than the operator deleted a pod of the attempt."
    POD_LOST = "PodLost", "A pod of the created gang is gone and nobody saw it end."
    NODE_LOST = "NodeLost", "The node of a rank is gone from the cluster."
    NODE_UNREACHABLE = (
        "NodeUnreachable",
        "The node of a rank stopped answering; its pod is dead once its deletion grace has passed.",
        "`kubectl describe node NODE`.",
    )
    SERVER_ENDED = (
        "ServerEnded",
        "A replica of a role that never completes ended while the job was not done.",
        "`kubectl logs` of the pod in the message.",
    )
    RESTARTING = "Restarting", "An attempt was closed; the next opens as soon as it may."
    RECORD_LOST = (
        "RecordLost",
        "The attempt's record was deleted by hand. A created gang runs on, judged by its pods' labels.",
        "Nothing need be done; the next attempt writes a new record.",
    )
    OPERATOR_UPGRADED = (
        "OperatorUpgraded",
        "Another build of the operator took over a half created gang and starts it anew.",
    )
    SPEC_CHANGED = "SpecChanged", "The fields that shape an attempt changed; the next attempt follows the new spec."

    # Suspending
    SUSPENDED = (
        "Suspended",
        "The job was suspended and holds nothing.",
        '`kubectl patch tj NAME --type merge -p \'{"spec":{"suspend":false}}\'`.',
    )
    SUSPENDING = "Suspending", "The job was suspended and its pods are ending."
    RESUMED = "Resumed", "The job was resumed and may be placed again."
    NOT_SUSPENDED = "NotSuspended", "`spec.suspend` is false."

    # The end
    ALL_COMPLETED = "AllCompleted", "Every completing replica exited 0."
    FINISHING = "Finishing", "The outcome is decided; the remaining pods are ending."
    NOT_FINISHED = "NotFinished", "The outcome is open."
    MAX_RESTARTS_EXCEEDED = (
        "MaxRestartsExceeded",
        "More application failures were charged within `failurePolicy.windowSeconds` than "
        "`failurePolicy.maxRestarts` allows.",
        "`kubectl describe tj NAME` lists the episodes; read the kept pod's log, mend the program, apply the "
        "job again.",
    )
    ACTIVE_DEADLINE_EXCEEDED = (
        "ActiveDeadlineExceeded",
        "The job was active for longer than `activeDeadlineSeconds`, counted from its first open or its last resume.",
        "Raise the deadline and apply the job again.",
    )
    ATTEMPTS_EXHAUSTED = (
        "AttemptsExhausted",
        "The attempt number has used up its five digits.",
        "Make the job again under its name.",
    )
