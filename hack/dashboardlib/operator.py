"""The Operator dashboard: who leads, is it late, what does the API server say, what does it cost."""

from __future__ import annotations

from dashboardlib import palette
from dashboardlib.model import Board, Kind, Panel, Query, Row, Unit, Variable, stat
from dashboardlib.promql import quantile, rate, spread

OP = 'job=~"$operator"'
REPLICA = "{{pod}} {{instance}}"
FAULTS = (
    'code!~"2..|403|404|409|410|429", verb!="dry-run"',
    'code="403", verb!~"list|dry-run"',
    'code!~"2..|4..", verb="dry-run"',
)
"""What makes a request one that failed, as the alert's rule has it. A refused list is none: what may be left out of the
operator's rights is asked for now and then. Nor is a refused dry run: it judges a job's template."""


def board() -> Board:
    """All of it."""
    return Board(
        uid="trainyard-operator",
        title="Trainyard / Operator",
        description="The operator itself: leadership, work, scheduling, its talk with the API server, its process.",
        variables=(Variable("operator", "Operator", "label_values(trainyard_build_info, job)", all=True),),
        rows=(_now(), _work(), _places(), _api(), _process()),
        since="now-3h",
    )


def _series(title: str, description: str, *queries: Query, **more: object) -> Panel:
    return Panel(Kind.SERIES, title, description, queries, **{"width": 6, **more})  # type: ignore[arg-type]


def _requests(where: str = "") -> str:
    """How often a second the API server was asked."""
    return f"rate(trainyard_api_requests_total{{{f'{OP}, {where}' if where else OP}}}[5m])"


def _now() -> Row:
    return Row(
        "Now",
        (
            stat(
                "Leaders",
                "Operators that lead: exactly one for each installation.",
                f"sum(trainyard_leader{{{OP}}})",
                empty="no operator",
                steps=((1, "green"),),
                good="red",
            ),
            stat(
                "Longest due",
                "How long the job that has waited longest for the operator's look has waited.",
                f"max(trainyard_reconcile_queue_oldest_seconds{{{OP}}})",
                unit=Unit.SECONDS,
                empty="no data",
                steps=((5, "yellow"), (30, "red")),
            ),
            stat(
                "A visit to a job, p99",
                "Duration of a visit to a job with the requests that it made.",
                quantile(0.99, "trainyard_reconcile_duration_seconds", where=OP, window="5m"),
                unit=Unit.SECONDS,
                empty="no visits",
                steps=((5, "yellow"), (30, "orange")),
            ),
            stat(
                "Requests that fail",
                "The part of requests to the API server that failed. Not found, conflict, throttled are no faults, nor "
                "is a dry run that refuses a job's template.",
                f"(sum({' or '.join(map(_requests, FAULTS))}) or vector(0)) / sum({_requests()})",
                unit=Unit.RATIO,
                empty="no requests",
                steps=((0.01, "yellow"), (0.05, "red")),
            ),
            stat(
                "Watch silent for",
                "The age of the last word from the quietest watch. Above 150 s it is dead.",
                f"max(trainyard_watch_silence_seconds{{{OP}}})",
                unit=Unit.SECONDS,
                empty="no watch",
                steps=((90, "yellow"), (150, "red")),
            ),
            stat(
                "Jobs without series",
                "Jobs over the cap of jobs with metrics of their own. Sums are whole.",
                f"sum(trainyard_job_series_dropped{{{OP}}})",
                empty="no leader",
                steps=((1, "yellow"),),
            ),
        ),
    )


def _work() -> Row:
    return Row(
        "Work",
        (
            _series(
                "Visits to jobs",
                "Plans made, by outcome. Blocked: a guard said not yet. Failed: look at the log.",
                Query(rate("trainyard_reconcile_total", "outcome", OP), "{{outcome}}"),
                unit=Unit.PER_SECOND,
                stacked=True,
                colors=palette.OUTCOMES,
            ),
            _series(
                "Duration of a visit",
                "One visit to a job with the requests that it made; and the decision alone.",
                *spread("trainyard_reconcile_duration_seconds", 0.99, where=OP, said="visit, "),
                Query(quantile(0.99, "trainyard_plan_duration_seconds", where=OP), "decision, p99"),
                unit=Unit.SECONDS,
            ),
            _series(
                "Jobs in the queue",
                "Ready: due now. Waiting: for their time. Active: being visited.",
                Query(f"sum by (state) (trainyard_reconcile_queue_depth{{{OP}}})", "{{state}}"),
                stacked=True,
                colors={"ready": "orange", "waiting": "light-blue", "active": "green"},
            ),
            _series(
                "How late the operator is",
                "The longest due job, the longest visit without progress, and how late timers fire.",
                Query(f"max(trainyard_reconcile_queue_oldest_seconds{{{OP}}})", "due, not visited"),
                Query(f"max(trainyard_reconcile_longest_active_seconds{{{OP}}})", "visit without progress"),
                Query(quantile(0.99, "trainyard_event_loop_lag_seconds", where=OP), "timers late, p99"),
                unit=Unit.SECONDS,
                steps=((30, "red"),),
            ),
            _series(
                "Steps of plans",
                "What was done, and how it ended. Moot: it was so already.",
                Query(rate("trainyard_plan_steps_total", "outcome", OP), "{{outcome}}"),
                unit=Unit.PER_SECOND,
                stacked=True,
                colors=palette.OUTCOMES,
            ),
            _series(
                "Pods",
                "Pods created and deleted.",
                Query(f"sum(rate(trainyard_pods_created_total{{{OP}}}[$__rate_interval]))", "created"),
                Query(f"sum(rate(trainyard_pods_deleted_total{{{OP}}}[$__rate_interval]))", "deleted"),
                unit=Unit.PER_SECOND,
                colors={"created": "green", "deleted": "orange"},
            ),
            _series(
                "Status writes",
                "Writes of jobs' status. Lost: no answer came, and it was read back.",
                Query(rate("trainyard_status_writes_total", "outcome", OP), "{{outcome}}"),
                unit=Unit.PER_SECOND,
                stacked=True,
                colors=palette.OUTCOMES,
            ),
            _series(
                "Scheduling",
                "Duration of a scheduling round.",
                *spread("trainyard_scheduling_round_duration_seconds", 0.99, where=OP, said="round, "),
                unit=Unit.SECONDS,
            ),
        ),
    )


def _places() -> Row:
    return Row(
        "Places and leadership",
        (
            _series(
                "Requests for a place",
                "Jobs that asked for a place in the last round.",
                Query(f"sum(trainyard_scheduling_requests{{{OP}}})", "jobs"),
                colors={"jobs": "blue"},
            ),
            _series(
                "Grants",
                "Places given to whole gangs. Lapsed: the job did not take it.",
                Query(rate("trainyard_grants_total", "outcome", OP), "{{outcome}}"),
                unit=Unit.PER_SECOND,
                stacked=True,
                colors=palette.OUTCOMES,
            ),
            _series(
                "Leadership",
                "1 leads, 0 stands by.",
                Query(f"trainyard_leader{{{OP}}}", REPLICA),
                decimals=0,
            ),
            _series(
                "Age of the Lease",
                "Since the leader renewed it, or since a standby saw it change. At 10 s the leader stops writing.",
                Query(f"trainyard_lease_age_seconds{{{OP}}}", REPLICA),
                unit=Unit.SECONDS,
                steps=((6, "red"),),
            ),
        ),
    )


def _api() -> Row:
    return Row(
        "API server",
        (
            _series(
                "Requests",
                "Requests answered or failed, by verb and resource; a watch counts when it ends.",
                Query(
                    f"topk(10, {rate('trainyard_api_requests_total', 'verb, resource', OP)})", "{{verb}} {{resource}}"
                ),
                unit=Unit.REQUESTS,
                stacked=True,
            ),
            _series(
                "Answers that are no success",
                "By HTTP status, or the name of the failure where no answer came. 404 and 409 belong to the work; a "
                "403 may be a dry run that refuses a job's template.",
                Query(rate("trainyard_api_requests_total", "code", f'{OP}, code!~"2.."'), "{{code}}"),
                unit=Unit.REQUESTS,
            ),
            _series(
                "Latency, p99",
                "How long the API server took to answer, by verb; watches are left out.",
                Query(quantile(0.99, "trainyard_api_request_duration_seconds", "verb", OP), "{{verb}}"),
                unit=Unit.SECONDS,
            ),
            _series(
                "Requests under way",
                "Sent, queued for a free slot, and the limit.",
                Query(f"sum by (state) (trainyard_api_requests_in_flight{{{OP}}})", "{{state}}"),
                Query(
                    f"sum(trainyard_api_requests_in_flight_limit{{{OP}}} * on (job, instance) trainyard_leader)",
                    "limit",
                ),
                colors={"sent": "green", "queued": "orange", "limit": "red"},
            ),
            _series(
                "Throttling",
                "Seconds a second that the API server told us to wait.",
                Query(f"sum(rate(trainyard_api_retry_after_seconds_total{{{OP}}}[$__rate_interval]))", "told to wait"),
                unit=Unit.SECONDS,
                colors={"told to wait": "orange"},
            ),
            _series(
                "Watches silent for",
                "The age of the last word, by resource. Above 150 s the watch is dead.",
                Query(f"max by (resource) (trainyard_watch_silence_seconds{{{OP}}})", "{{resource}}"),
                unit=Unit.SECONDS,
                steps=((150, "red"),),
            ),
            _series(
                "Objects held",
                "Objects in the operator's memory.",
                Query(f"max by (resource) (trainyard_cache_objects{{{OP}}})", "{{resource}}"),
            ),
            _series(
                "Watches healthy",
                "1 where the watch works.",
                Query(f"min by (resource) (trainyard_watch_healthy{{{OP}}})", "{{resource}}"),
                decimals=0,
            ),
        ),
    )


def _process() -> Row:
    ours = f"* on (job, instance) group_left () trainyard_build_info{{{OP}}}"
    return Row(
        "Process",
        (
            _series(
                "Processor",
                "Processor seconds a second: 1 is one core.",
                Query(f"rate(process_cpu_seconds_total{{{OP}}}[$__rate_interval]) {ours}", REPLICA),
                unit=Unit.CORES,
            ),
            _series(
                "Memory",
                "Resident memory.",
                Query(f"process_resident_memory_bytes{{{OP}}} {ours}", REPLICA),
                unit=Unit.BYTES,
            ),
            _series(
                "Scrapes",
                "How long putting the metrics together took.",
                *spread("trainyard_scrape_duration_seconds", 0.99, where=OP),
                unit=Unit.SECONDS,
            ),
            Panel(
                Kind.TABLE,
                "Versions",
                "Which build runs where.",
                (Query(f"trainyard_build_info{{{OP}}}", ""),),
                columns=("pod", "instance", "version", "build", "python"),
                width=6,
            ),
        ),
    )
