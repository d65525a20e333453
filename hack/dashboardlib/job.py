"""The Job dashboard: where one job is, what it has been through, which ranks and nodes it has."""

from __future__ import annotations

from dashboardlib import palette
from dashboardlib.model import Board, Kind, Marker, Panel, Query, Row, Text, Unit, Variable, stat
from dashboardlib.promql import gpu, mean

JOB = 'namespace="$namespace", job_name="$job_name"'


def board() -> Board:
    """All of it."""
    return Board(
        uid="trainyard-job",
        title="Trainyard / Job",
        description="One training job: phase, attempts, ranks, restarts, accelerators, pods and GPUs.",
        variables=(
            Variable("namespace", "Namespace", "label_values(trainyard_job_info, namespace)"),
            Variable("job_name", "Job", 'label_values(trainyard_job_info{namespace="$namespace"}, job_name)'),
        ),
        markers=(
            Marker(
                "Attempts",
                f"max(trainyard_job_attempt{{{JOB}}}) > max(trainyard_job_attempt{{{JOB}}} offset $__interval)",
                "blue",
            ),
        ),
        rows=(_now(), _life(), _pods(), _gpus()),
        since="now-3h",
    )


def _now() -> Row:
    return Row(
        "Now",
        (
            stat(
                "Phase",
                "One word for where the job is.",
                Query(f"max by (phase) (trainyard_job_phase{{{JOB}}}) == 1", "{{phase}}"),
                empty="no such job",
                colors=palette.PHASES,
                text=Text.NAME,
            ),
            stat(
                "Waits for",
                "Why no attempt is open, and for how long the job has waited.",
                Query(f"max by (reason) (trainyard_job_waiting_seconds{{{JOB}}})", "{{reason}}"),
                unit=Unit.SECONDS,
                empty="nothing",
                text=Text.BOTH,
                steps=((3600, "yellow"), (6 * 3600, "orange")),
            ),
            stat(
                "Attempt", "The number of the attempt.", Query(f"max(trainyard_job_attempt{{{JOB}}})"), empty="none yet"
            ),
            stat(
                "Ranks ready",
                "The part of the ranks whose pods are ready or have completed.",
                Query(
                    f'sum(trainyard_job_ranks{{{JOB}, state=~"ready|completed"}}) / sum(trainyard_job_ranks{{{JOB}}})'
                ),
                unit=Unit.RATIO,
                empty="no ranks",
                decimals=0,
            ),
            stat(
                "Restarts",
                "All restarts of the job, whatever their cause.",
                Query(f"sum(trainyard_job_restarts_total{{{JOB}}}) + sum(trainyard_job_restarts_unsettled{{{JOB}}})"),
                empty="none",
                steps=((1, "yellow"), (3, "orange")),
            ),
            stat(
                "Accelerators held",
                "Accelerators that the job's ranks hold now.",
                Query(f"sum(trainyard_job_accelerators_held{{{JOB}}})"),
                empty="none",
            ),
        ),
    )


def _life() -> Row:
    return Row(
        "Life",
        (
            Panel(
                Kind.STATES,
                "Phases",
                "When the job was in which phase.",
                (Query(f"max by (phase) (trainyard_job_phase{{{JOB}}}) == 1", "{{phase}}"),),
                width=12,
                colors=palette.PHASES,
            ),
            Panel(
                Kind.SERIES,
                "Ranks, by state",
                "Every rank of the gang once. A recovery shows here as missing, unbound, starting, ready.",
                (Query(f"sum by (state) (trainyard_job_ranks{{{JOB}}})", "{{state}}"),),
                width=12,
                stacked=True,
                colors=palette.RANKS,
            ),
            Panel(
                Kind.SERIES,
                "Attempts",
                "The number of the attempt; each step is a new start of the whole gang.",
                (Query(f"max(trainyard_job_attempt{{{JOB}}})", "attempt"),),
                width=6,
                colors={"attempt": "blue"},
                decimals=0,
            ),
            Panel(
                Kind.SERIES,
                "Restarts, by cause",
                "Application failures spend the job's budget, disruptions do not. Unsettled ones await their cause.",
                (
                    Query(f"sum by (cause) (trainyard_job_restarts_total{{{JOB}}})", "{{cause}}"),
                    Query(f"sum(trainyard_job_restarts_unsettled{{{JOB}}})", "unsettled"),
                ),
                width=6,
                stacked=True,
                colors={**palette.CAUSES, "unsettled": "yellow"},
                decimals=0,
            ),
            Panel(
                Kind.SERIES,
                "Accelerators",
                "Requested by the job, held by its ranks, and the part of held while the gang does not run as a whole.",
                tuple(Query(f"sum(trainyard_job_accelerators_{share}{{{JOB}}})", share) for share in palette.SHARES),
                width=6,
                colors=palette.SHARES,
            ),
            Panel(
                Kind.SERIES,
                "Waiting",
                "For how long the job has waited for its next attempt, and why.",
                (Query(f"max by (reason) (trainyard_job_waiting_seconds{{{JOB}}})", "{{reason}}"),),
                width=6,
                unit=Unit.SECONDS,
            ),
        ),
    )


def _pods() -> Row:
    return Row(
        "Pods",
        (
            Panel(
                Kind.TABLE,
                "Pods and nodes",
                "The living, bound pods of the job. The operator's setting metrics-pods must be on.",
                (Query(f"max by (rank, role, index, pod, node, attempt) (trainyard_job_pod_info{{{JOB}}})", ""),),
                columns=("rank", "role", "index", "pod", "node", "attempt"),
                width=10,
                height=9,
            ),
            Panel(
                Kind.TABLE,
                "What the job is",
                "Fixed facts of the job.",
                (Query(f"max by (framework, placement, priority_class, uid) (trainyard_job_info{{{JOB}}})", ""),),
                columns=("framework", "placement", "priority_class", "uid"),
                width=8,
                height=9,
            ),
            Panel(
                Kind.SERIES,
                "Recovery, by step, of all jobs",
                "To compare with: where recoveries of all jobs spent their time, in the mean of the last hour.",
                (Query(mean("trainyard_job_recovery_step_seconds", "step", window="1h"), "{{step}}"),),
                unit=Unit.SECONDS,
                stacked=True,
                colors=palette.STEPS,
                width=6,
                height=9,
            ),
        ),
    )


def _gpus() -> Row:
    def series(title: str, description: str, expr: str, unit: Unit) -> Panel:
        return Panel(
            Kind.SERIES,
            title,
            f"{description} Needs NVIDIA's dcgm-exporter.",
            (Query(expr, "{{role}} {{index}}"),),
            unit=unit,
            width=6,
            external="dcgm-exporter",
        )

    by = "role, index"
    return Row(
        "GPUs (needs dcgm-exporter)",
        (
            series(
                "GPU utilisation, by rank",
                "A rank far below the others waits for them, or they for it.",
                f"avg by ({by}) ({gpu('DCGM_FI_DEV_GPU_UTIL', JOB)}) / 100",
                Unit.RATIO,
            ),
            series(
                "Tensor cores active, by rank",
                "How much of the time the tensor cores worked: closer to useful work than utilisation.",
                f"avg by ({by}) ({gpu('DCGM_FI_PROF_PIPE_TENSOR_ACTIVE', JOB)})",
                Unit.RATIO,
            ),
            series(
                "GPU memory used, by rank",
                "Framebuffer memory in use, summed over the rank's GPUs.",
                f"sum by ({by}) ({gpu('DCGM_FI_DEV_FB_USED', JOB)})",
                Unit.MEBIBYTES,
            ),
            series(
                "Last XID error, by rank",
                "The number of the driver's last error on the rank's GPUs; 0 is none.",
                f"max by ({by}) ({gpu('DCGM_FI_DEV_XID_ERRORS', JOB)})",
                Unit.COUNT,
            ),
        ),
    )
