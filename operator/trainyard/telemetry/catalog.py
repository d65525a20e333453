"""Every metric of the operator as data: its name, kind, labels, meaning, who tells it, and how many series it can have.

Instruments, collectors and the reference page are made from this table; what does not stand here does not exist. It
counts nothing itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

PREFIX = "trainyard_"


class Kind(StrEnum):
    """How Prometheus treats the numbers."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Group(StrEnum):
    """The headings of the reference page."""

    PROCESS = "The operator"
    API = "Its view of the API server"
    FLEET = "Jobs, summed"
    CLUSTER = "The cluster"
    JOB = "Each job"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `name` is without the prefix; a counter's ends in `_total`."""

    group: Group
    kind: Kind
    name: str
    labels: tuple[str, ...]
    meaning: str
    bound: str = "1"
    """The most series it can have, in words; for a histogram, the most of its label sets."""
    leader: bool = False
    """Told by the leader alone, so that a plain sum over the replicas is right."""
    buckets: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        return PREFIX + self.name


_SHORT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
_VISIT = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_REQUEST = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_STEP = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
_WAIT = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400, 259200, 604800)
_RUN = (60, 300, 900, 1800, 3600, 7200, 14400, 43200, 86400, 259200, 604800, 1209600, 2592000)


class _Maker(Protocol):
    def __call__(
        self, kind: Kind, name: str, meaning: str, *labels: str, bound: str = "1", buckets: tuple[float, ...] = ()
    ) -> Metric: ...


def _metrics_of(group: Group, *, leader: bool = False, common: tuple[str, ...] = (), times: str = "") -> _Maker:
    """Makes the metrics of one group; `common` labels come first, and multiply the bound by `times`."""

    def make(
        kind: Kind, name: str, meaning: str, *labels: str, bound: str = "1", buckets: tuple[float, ...] = ()
    ) -> Metric:
        whole = bound if not times else times if bound == "1" else f"{times} × {bound}"
        return Metric(group, kind, name, (*common, *labels), meaning, whole, leader, buckets)

    return make


_process = _metrics_of(Group.PROCESS)
_api = _metrics_of(Group.API)
_fleet = _metrics_of(Group.FLEET, leader=True)
_cluster = _metrics_of(Group.CLUSTER, leader=True)
_job = _metrics_of(Group.JOB, leader=True, common=("namespace", "job_name"), times="`--metrics-jobs`")

BUILD_INFO = _process(Kind.GAUGE, "build_info", "Always 1; the labels say what runs.", "version", "build", "python")
LEADER = _process(Kind.GAUGE, "leader", "1 while this process leads and writes, 0 on a standby.")
LEASE_AGE = _process(
    Kind.GAUGE,
    "lease_age_seconds",
    "On the leader the time since it last renewed the Lease; at `--renew-deadline` it stops writing. On a standby the "
    "time since it last saw the Lease change. NaN before the Lease was first seen.",
)
RECONCILES = _process(
    Kind.COUNTER,
    "reconcile_total",
    "Plans made for a job, by outcome: settled (nothing to do), acted, blocked (a guard said not yet), failed.",
    "outcome",
    bound="4",
)
RECONCILE_SECONDS = _process(
    Kind.HISTOGRAM,
    "reconcile_duration_seconds",
    "Duration of one visit to a job: its plans with the requests that they took.",
    buckets=_VISIT,
)
PLAN_SECONDS = _process(
    Kind.HISTOGRAM, "plan_duration_seconds", "Duration of one decision: snapshot and plan, no requests.", buckets=_SHORT
)
STEPS = _process(
    Kind.COUNTER,
    "plan_steps_total",
    "Steps of plans that were tried, by how they ended: done, moot, blocked, failed.",
    "step",
    "outcome",
    bound="13 steps × 4",
)
STATUS_WRITES = _process(
    Kind.COUNTER,
    "status_writes_total",
    "Writes of a job's status: written, conflict (somebody else wrote first; planned again), lost (no answer came; "
    "read back), failed.",
    "outcome",
    bound="4",
)
QUEUE_DEPTH = _process(
    Kind.GAUGE,
    "reconcile_queue_depth",
    "Jobs in the work queue: ready for a worker, waiting for their time, active.",
    "state",
    bound="3",
)
QUEUE_OLDEST = _process(
    Kind.GAUGE,
    "reconcile_queue_oldest_seconds",
    "For how long the job that is ready for longest has waited for a worker: how late the operator is.",
)
LONGEST_ACTIVE = _process(
    Kind.GAUGE,
    "reconcile_longest_active_seconds",
    "For how long the slowest visit under way has got nothing done.",
)
LOOP_LAG = _process(
    Kind.HISTOGRAM,
    "event_loop_lag_seconds",
    "How late a timer fires that is set twice a second: for how long everything else was held up.",
    buckets=_LAG,
)
PODS_CREATED = _process(Kind.COUNTER, "pods_created_total", "Pods created.")
PODS_DELETED = _process(Kind.COUNTER, "pods_deleted_total", "Pods deleted by the operator.")
ROUND_SECONDS = _process(
    Kind.HISTOGRAM,
    "scheduling_round_duration_seconds",
    "Duration of a round of the scheduler that had requests.",
    buckets=_SHORT,
)
ROUND_REQUESTS = _process(Kind.GAUGE, "scheduling_requests", "Jobs that asked for a place in the last round.")
GRANTS = _process(
    Kind.COUNTER,
    "grants_total",
    "Grants: given (a whole gang was found a place), lapsed (its job did not use it in time).",
    "outcome",
    bound="2",
)
SCRAPES = _process(Kind.COUNTER, "scrapes_total", "Answers of `/metrics`, by HTTP status.", "code", bound="5")
SCRAPE_SECONDS = _process(
    Kind.HISTOGRAM, "scrape_duration_seconds", "Duration of putting `/metrics` together.", buckets=_SHORT
)

REQUESTS = _api(
    Kind.COUNTER,
    "api_requests_total",
    "Requests to the API server, by the status of a refusal or the name of a failure, 200 for every success; 429 is "
    "throttling. A watch counts when it ends. A dry run, which judges a job's template, has the verb `dry-run`.",
    "verb",
    "resource",
    "code",
    bound="about 40 pairs of verb and resource × the codes met",
)
REQUEST_SECONDS = _api(
    Kind.HISTOGRAM,
    "api_request_duration_seconds",
    "Duration of requests to the API server; watches are left out.",
    "verb",
    "resource",
    bound="about 40",
    buckets=_REQUEST,
)
IN_FLIGHT = _api(
    Kind.GAUGE,
    "api_requests_in_flight",
    "Requests under way: sent, or queued for one of `--api-in-flight`'s places. Watches are left out.",
    "state",
    bound="2",
)
IN_FLIGHT_LIMIT = _api(
    Kind.GAUGE, "api_requests_in_flight_limit", "Requests that may be under way at once: `--api-in-flight`."
)
RETRY_AFTER = _api(
    Kind.COUNTER,
    "api_retry_after_seconds_total",
    "Seconds that the API server told requests to wait (`Retry-After`), summed.",
)
WATCH_SILENCE = _api(
    Kind.GAUGE,
    "watch_silence_seconds",
    "Time since the watch of this resource last told of an event or a bookmark. Above 150 it is taken for dead.",
    "resource",
    bound="11",
)
WATCH_HEALTHY = _api(
    Kind.GAUGE,
    "watch_healthy",
    "1 while what is held of this resource can be trusted to be current, else 0. A resource that may not be read "
    "and need not be is left out.",
    "resource",
    bound="11",
)
UNREADABLE = _api(
    Kind.COUNTER,
    "unreadable_objects_total",
    "Objects that came in a state that could not be read; their last readable state stands.",
    "resource",
    bound="11",
)
CACHE_OBJECTS = _api(Kind.GAUGE, "cache_objects", "Objects in the operator's store.", "resource", bound="4")

_NAMESPACES = "1,000 namespaces, the rest as `(other)`,"
_COUNTED = "200 namespaces, the rest as `(other)`,"

JOBS = _fleet(
    Kind.GAUGE,
    "jobs",
    "TrainingJobs, by namespace and phase; every phase is told for a namespace that has a job.",
    "namespace",
    "phase",
    bound=f"{_NAMESPACES} × 8",
)
WAITING = _fleet(
    Kind.GAUGE,
    "jobs_waiting",
    "Jobs that want to open an attempt and have none open, by why they wait.",
    "reason",
    bound="the reasons for waiting, about 25",
)
WAITING_OLDEST = _fleet(
    Kind.GAUGE,
    "jobs_waiting_oldest_seconds",
    "The longest such wait, by reason; counted from creation, resume or the close of the attempt before.",
    "reason",
    bound="the reasons for waiting, about 25",
)
QUEUE_WAIT = _fleet(
    Kind.HISTOGRAM,
    "job_queue_wait_seconds",
    "How long jobs waited for an attempt to open. start: first (also after a resume) or restart. outcome: opened, or "
    "withdrawn (suspended, finished or deleted before).",
    "start",
    "outcome",
    bound="4",
    buckets=_WAIT,
)
OPENED = _fleet(
    Kind.COUNTER,
    "attempts_opened_total",
    "Attempts opened: a job's whole gang was started.",
    "namespace",
    "start",
    bound=f"{_COUNTED} × 2",
)
CLOSED = _fleet(
    Kind.COUNTER,
    "attempts_closed_total",
    "Attempts closed before their job's end, counted once the cause is settled: at once, or up to `--settle-time` "
    "after the close of a failed one. Restarts are those of cause ApplicationFailure and Disruption; a StartRolledBack "
    "is tried again without counting.",
    "namespace",
    "cause",
    "reason",
    bound=f"{_COUNTED} × the pairs of cause and reason met, about 25",
)
NODE_FAILURES = _fleet(
    Kind.COUNTER,
    "node_failures_total",
    "Settled closes that blame a rank on this node.",
    "node",
    "cause",
    bound="2,000 nodes, the rest as `(other)`, × 3",
)
FINISHED = _fleet(
    Kind.COUNTER,
    "jobs_finished_total",
    "Jobs that reached a terminal phase.",
    "namespace",
    "phase",
    "reason",
    bound=f"{_COUNTED} × about 6",
)
RUN_SECONDS = _fleet(
    Kind.HISTOGRAM,
    "job_run_seconds",
    "From a job's first open (or that after its last resume) to its end.",
    "phase",
    bound="2",
    buckets=_RUN,
)
START_STEPS = _fleet(
    Kind.HISTOGRAM,
    "job_start_step_seconds",
    "The steps of every start: record (from the grant to its commit), create (to all pods created), bind (to all "
    "bound), start (to all trainers started), ready (to all pods Ready).",
    "step",
    bound="5",
    buckets=_STEP,
)
START_SECONDS = _fleet(
    Kind.HISTOGRAM,
    "job_start_seconds",
    "From the grant to all trainers started.",
    "start",
    bound="2",
    buckets=_STEP,
)
RECOVERY_STEPS = _fleet(
    Kind.HISTOGRAM,
    "job_recovery_step_seconds",
    "The steps of a recovery after a failure, a disruption or a start rolled back: delete (from the close to its pods "
    "gone), place (to the grant), create (to all pods created), bind, start.",
    "step",
    bound="5",
    buckets=_STEP,
)
RECOVERY_SECONDS = _fleet(
    Kind.HISTOGRAM,
    "job_recovery_seconds",
    "From the close of an attempt to all trainers started again, through starts that came to nothing, by the cause "
    "told at the close.",
    "cause",
    bound="3",
    buckets=_STEP,
)
REQUESTED = _fleet(
    Kind.GAUGE,
    "accelerators_requested",
    "Accelerators that jobs ask for which are neither finished nor suspended.",
    "namespace",
    "resource",
    bound=f"{_NAMESPACES} × resources",
)
HELD = _fleet(
    Kind.GAUGE,
    "accelerators_held",
    "Accelerators of open attempts, bound or promised, and of pods that are still ending.",
    "namespace",
    "resource",
    bound=f"{_NAMESPACES} × resources",
)
IDLE = _fleet(
    Kind.GAUGE,
    "accelerators_idle",
    "The part of those held whose gang does not run as a whole: it starts, or it ends.",
    "namespace",
    "resource",
    bound=f"{_NAMESPACES} × resources",
)
DROPPED = _fleet(
    Kind.GAUGE,
    "job_series_dropped",
    "Jobs without series of their own because there are more than `--metrics-jobs`.",
)

CLUSTER_ACCELERATORS = _cluster(
    Kind.GAUGE,
    "cluster_accelerators",
    "Accelerators of the nodes that jobs are placed on: used (by any pod), promised (to pods that are not bound "
    "yet), unavailable (unused, on a node that takes no pods now), free. Their sum is all that the nodes offer.",
    "resource",
    "state",
    bound="resources × 4",
)
NODES = _cluster(
    Kind.GAUGE,
    "nodes",
    "Nodes that jobs are placed on: ready, cordoned, not_ready, unreachable; each once, the worst wins.",
    "state",
    bound="4",
)

JOB_INFO = _job(Kind.GAUGE, "job_info", "Always 1; what the job is.", "uid", "framework", "placement", "priority_class")
JOB_PHASE = _job(Kind.GAUGE, "job_phase", "1 for the phase that the job is in, 0 for the others.", "phase", bound="8")
JOB_RANKS = _job(
    Kind.GAUGE,
    "job_ranks",
    "Ranks of an unfinished job as its status counts them: missing (no pod), unbound, starting, ready, failed, "
    "completed; their sum is the role's size.",
    "role",
    "state",
    bound="roles × 6",
)
JOB_ATTEMPT = _job(Kind.GAUGE, "job_attempt", "The number of the current attempt, from 0.")
JOB_RESTARTS = _job(
    Kind.COUNTER,
    "job_restarts_total",
    "Restarts over the job's life whose cause is settled: application, disruption.",
    "cause",
    bound="2",
)
JOB_UNSETTLED = _job(
    Kind.GAUGE, "job_restarts_unsettled", "Restarts whose cause is not settled yet; with the others, all of them."
)
JOB_ROLLED_BACK = _job(
    Kind.GAUGE,
    "job_starts_rolled_back",
    "Starts in a row that were rolled back up to now, at most the newest 20; 0 once all ranks run, and while it is "
    "suspended. After a resume it counts anew; absent once the job has finished.",
)
JOB_CREATED = _job(Kind.GAUGE, "job_created_timestamp_seconds", "When the job was created.")
JOB_STARTED = _job(
    Kind.GAUGE, "job_started_timestamp_seconds", "When its first attempt since creation or resume opened."
)
JOB_RUNNING = _job(Kind.GAUGE, "job_running_timestamp_seconds", "Since when all its ranks run; absent otherwise.")
JOB_ENDED = _job(Kind.GAUGE, "job_finished_timestamp_seconds", "When it finished; absent before.")
JOB_WAITING = _job(
    Kind.GAUGE, "job_waiting_seconds", "How long it has waited for its attempt to open; only while it waits.", "reason"
)
JOB_REQUESTED = _job(
    Kind.GAUGE,
    "job_accelerators_requested",
    "Accelerators that a role asks for; as `trainyard_accelerators_requested`.",
    "role",
    "resource",
    bound="roles",
)
JOB_HELD = _job(
    Kind.GAUGE,
    "job_accelerators_held",
    "Accelerators that a role holds; as `trainyard_accelerators_held`.",
    "role",
    "resource",
    bound="roles",
)
JOB_IDLE = _job(
    Kind.GAUGE,
    "job_accelerators_idle",
    "Accelerators that a role holds without running; as `trainyard_accelerators_idle`.",
    "role",
    "resource",
    bound="roles",
)
JOB_POD_INFO = Metric(
    Group.JOB,
    Kind.GAUGE,
    "job_pod_info",
    ("namespace", "pod", "job_name", "role", "index", "rank", "attempt", "node"),
    "Always 1, for each live pod that is bound: joins what others tell of pods, such as an accelerator's exporter, "
    "with the job. `--metrics-pods=false` leaves it out.",
    "the pods of `--metrics-jobs`",
    leader=True,
)

CATALOG: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""All of them, in the order of this file."""
