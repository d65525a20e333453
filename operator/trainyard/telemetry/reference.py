"""The reference page of the metrics, rendered from the metrics themselves."""

from __future__ import annotations

from trainyard.telemetry.metrics import Described, Metrics

_INTRODUCTION = """\
# Metrics of the operator

<!-- Generated from the metrics' definitions; run `hack/generate` after changing them. -->

Served on `/metrics` in Prometheus' text format, beside the usual `process_*` series (processor time, resident memory,
open files). Labels are bounded: no series bears the name of a job or a pod. A histogram has `_bucket`, `_sum` and
`_count`.

| metric | type | labels | meaning |
|---|---|---|---|
"""


def render_metrics_reference() -> str:
    """The page, in Markdown."""
    return _INTRODUCTION + "".join(map(_row, Metrics().described))


def _row(metric: Described) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.meaning} |\n"
