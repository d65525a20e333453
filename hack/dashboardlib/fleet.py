"""The Fleet dashboard: are the accelerators at work, who waits and why, what breaks and how fast it comes back."""

from __future__ import annotations

from dashboardlib import palette
from dashboardlib.model import Board, Kind, Panel, Query, Row, Unit, Variable, stat
from dashboardlib.promql import bars, counted, gpu, mean, spread

RESOURCE = 'resource=~"$resource"'
JOB_LINK = "/d/trainyard-job?var-namespace=${__data.fields.namespace}&var-job_name=${__data.fields.job_name}"
HOUR = "1h"
NAMED = 'node!="(other)"'
"""Nodes that are told apart; the others are one."""


def board() -> Board:
    """All of it."""
    return Board(
        uid="trainyard-fleet",
        title="Trainyard / Fleet",
        description="All training jobs of the cluster: accelerators, waiting, starts, failures and recovery.",
        variables=(
            Variable("resource", "Accelerator", "label_values(trainyard_accelerators_requested, resource)", all=True),
        ),
        rows=(_now(), _accelerators(), _waiting(), _failures(), _gpus()),
    )


def _now() -> Row:
    return Row(
        "Now",
        (
            stat(
                "Jobs running", "Jobs whose every rank runs.", 'sum(trainyard_jobs{phase="Running"})', empty="no jobs"
            ),
            stat(
                "Jobs waiting",
                "Jobs that want an attempt and have none: they wait for room, quota, a claim or their backoff.",
                "sum(trainyard_jobs_waiting)",
                empty="none",
                steps=((1, "yellow"),),
            ),
            stat(
                "Longest wait",
                "How long the job that has waited longest has waited by now.",
                "max(trainyard_jobs_waiting_oldest_seconds)",
                unit=Unit.SECONDS,
                empty="nobody waits",
                steps=((3600, "yellow"), (6 * 3600, "orange")),
            ),
            stat(
                "Accelerators in use",
                "The part of the accelerators on all nodes that some pod uses, training or not.",
                f'sum(trainyard_cluster_accelerators{{state="used", {RESOURCE}}})'
                f" / sum(trainyard_cluster_accelerators{{{RESOURCE}}})",
                unit=Unit.RATIO,
                empty="no accelerators",
                decimals=0,
            ),
            stat(
                "Held but idle",
                "Accelerators that jobs hold while their gang does not run as a whole: starts, ends, dead nodes.",
                f"sum(trainyard_accelerators_idle{{{RESOURCE}}})",
                empty="none held",
                steps=((1, "yellow"),),
            ),
            stat(
                "Nodes out",
                "Nodes that are cordoned, not ready or unreachable.",
                'sum(trainyard_nodes{state!="ready"})',
                empty="nodes not read",
                steps=((1, "orange"),),
            ),
        ),
    )


def _accelerators() -> Row:
    return Row(
        "Accelerators",
        (
            Panel(
                Kind.SERIES,
                "What the accelerators do",
                "Every accelerator of the cluster once: used by some pod, promised to a gang whose pods are not bound "
                "yet, unavailable because its node takes no pods, or free. Needs the right to read nodes.",
                (Query(f"sum by (state) (trainyard_cluster_accelerators{{{RESOURCE}}})", "{{state}}"),),
                stacked=True,
                colors=palette.ACCELERATORS,
            ),
            Panel(
                Kind.SERIES,
                "Requested, held and idle",
                "Requested: by jobs neither finished nor suspended. Held: by the ranks of open attempts. Idle: the "
                "part of held whose gang does not run as a whole.",
                tuple(Query(f"sum(trainyard_accelerators_{share}{{{RESOURCE}}})", share) for share in palette.SHARES),
                colors=palette.SHARES,
            ),
            Panel(
                Kind.TABLE,
                "By namespace",
                "Who asks for accelerators, who has them, and how many of those stand idle.",
                tuple(
                    Query(f"sum by (namespace) (trainyard_accelerators_{share}{{{RESOURCE}}})", share)
                    for share in palette.SHARES
                ),
                columns=("namespace",),
            ),
        ),
    )


def _waiting() -> Row:
    opened = 'outcome="opened"'
    return Row(
        "Waiting and starting",
        (
            Panel(
                Kind.SERIES,
                "Jobs by phase",
                "All jobs that exist, finished ones included.",
                (Query("sum by (phase) (trainyard_jobs) > 0", "{{phase}}"),),
                stacked=True,
                colors=palette.PHASES,
            ),
            Panel(
                Kind.SERIES,
                "Jobs waiting, by reason",
                "Why jobs that want an attempt have none. The reasons are explained in the reference of reasons.",
                (Query("sum by (reason) (trainyard_jobs_waiting) > 0", "{{reason}}"),),
                stacked=True,
            ),
            Panel(
                Kind.SERIES,
                "Longest wait, by reason",
                "How long the job that has waited longest for each reason has waited.",
                (Query("max by (reason) (trainyard_jobs_waiting_oldest_seconds)", "{{reason}}"),),
                unit=Unit.SECONDS,
            ),
            Panel(
                Kind.SERIES,
                "Time to a place",
                "From creation, resume or the close of an attempt until the next is opened; over the last hour.",
                spread("trainyard_job_queue_wait_seconds", 0.95, "start", opened, HOUR, "{{start}}, "),
                unit=Unit.SECONDS,
            ),
            Panel(
                Kind.SERIES,
                "Time to start",
                "From the place found until every trainer of the gang has started; over the last hour.",
                spread("trainyard_job_start_seconds", 0.95, "start", window=HOUR, said="{{start}}, "),
                unit=Unit.SECONDS,
            ),
            Panel(
                Kind.SERIES,
                "Start, by step",
                "Where a start spends its time, in the mean of the last hour: record written, pods created, all bound, "
                "all trainers started, all pods ready.",
                (Query(mean("trainyard_job_start_step_seconds", "step", window=HOUR), "{{step}}"),),
                unit=Unit.SECONDS,
                stacked=True,
                colors=palette.STEPS,
            ),
        ),
    )


def _failures() -> Row:
    return Row("Failures and recovery", (*_recovery(), *_who_and_why(), *_ends()))


def _recovery() -> tuple[Panel, ...]:
    return (
        Panel(
            Kind.SERIES,
            "Attempts closed, by cause",
            "How many attempts ended before their job did. The first three causes are restarts.",
            (Query(bars("trainyard_attempts_closed_total", "cause"), "{{cause}}"),),
            stacked=True,
            bars=True,
            colors=palette.CAUSES,
        ),
        Panel(
            Kind.SERIES,
            "Recovery, by step",
            "Where a recovery spends its time, in the mean of the last hour: old pods deleted, place found, pods "
            "created, bound, trainers started. The sum is the whole recovery.",
            (Query(mean("trainyard_job_recovery_step_seconds", "step", window=HOUR), "{{step}}"),),
            unit=Unit.SECONDS,
            stacked=True,
            colors=palette.STEPS,
        ),
        Panel(
            Kind.SERIES,
            "Recovery, whole",
            "From the close of an attempt until every trainer of the next has started; over the last hour.",
            spread("trainyard_job_recovery_seconds", 0.95, "cause", window=HOUR, said="{{cause}}, "),
            unit=Unit.SECONDS,
        ),
    )


def _who_and_why() -> tuple[Panel, ...]:
    return (
        Panel(
            Kind.TABLE,
            "Nodes that hurt jobs",
            "Attempts that ended because of a rank on this node, within the time shown.",
            (Query(f"topk(10, {counted('trainyard_node_failures_total', 'node, cause', NAMED)})", "attempts"),),
            columns=("node", "cause"),
            steps=((3, "orange"),),
            decimals=0,
        ),
        Panel(
            Kind.TABLE,
            "Why attempts ended",
            "Attempts closed within the time shown, by namespace and reason.",
            (
                Query(
                    f"topk(20, {counted('trainyard_attempts_closed_total', 'namespace, cause, reason')})",
                    "attempts",
                ),
            ),
            columns=("namespace", "cause", "reason"),
            decimals=0,
        ),
        Panel(
            Kind.TABLE,
            "Jobs that restart most",
            "Restarts within the time shown. A row leads to the job's own dashboard.",
            (
                Query(
                    "topk(10, sum by (namespace, job_name) (increase(trainyard_job_restarts_total[$__range])) > 0)",
                    "restarts",
                ),
            ),
            columns=("namespace", "job_name"),
            link=JOB_LINK,
            steps=((3, "orange"),),
            decimals=0,
        ),
    )


def _ends() -> tuple[Panel, ...]:
    return (
        Panel(
            Kind.SERIES,
            "Jobs finished",
            "How many jobs reached their end, and how.",
            (Query(bars("trainyard_jobs_finished_total", "phase"), "{{phase}}"),),
            stacked=True,
            bars=True,
            colors=palette.PHASES,
        ),
        Panel(
            Kind.SERIES,
            "Run time of finished jobs",
            "From the first attempt to the end; over the last hour.",
            spread("trainyard_job_run_seconds", 0.95, "phase", window=HOUR, said="{{phase}}, "),
            unit=Unit.SECONDS,
        ),
        Panel(
            Kind.SERIES,
            "Nodes",
            "Every node once, by its worst state. Needs the right to read nodes.",
            (Query("sum by (state) (trainyard_nodes)", "{{state}}"),),
            stacked=True,
            colors=palette.NODES,
        ),
    )


def _gpus() -> Row:
    utilisation = gpu("DCGM_FI_DEV_GPU_UTIL")
    return Row(
        "GPUs (needs dcgm-exporter)",
        (
            Panel(
                Kind.SERIES,
                "GPU utilisation, by namespace",
                "Mean over the GPUs of jobs that run. Needs NVIDIA's dcgm-exporter.",
                (Query(f"avg by (namespace) ({utilisation}) / 100", "{{namespace}}"),),
                unit=Unit.RATIO,
                width=12,
                external="dcgm-exporter",
            ),
            Panel(
                Kind.TABLE,
                "Jobs that use their GPUs least",
                "Mean utilisation of the job's GPUs now. A row leads to the job's own dashboard. Needs dcgm-exporter.",
                (Query(f"bottomk(10, avg by (namespace, job_name) ({utilisation}) / 100)", "utilisation"),),
                unit=Unit.RATIO,
                columns=("namespace", "job_name"),
                link=JOB_LINK,
                width=12,
                external="dcgm-exporter",
            ),
        ),
    )
