"""Prometheus' text and OpenMetrics' text, for series that are too many for objects of their own.

prometheus_client writes the operator's few hundred instruments. The tens of thousands of series about jobs and pods are
written here line by line, in pieces, so that whoever sends them can let others run in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trainyard.telemetry.catalog import Kind, Metric

PIECE = 100
"""Lines that are put together without a break: a fraction of a millisecond."""

_END = "# EOF\n"


def header(metric: Metric, *, openmetrics: bool) -> str:
    """HELP and TYPE. OpenMetrics names a counter without its suffix."""
    counter = metric.kind is Kind.COUNTER and openmetrics
    name = metric.full_name.removesuffix("_total") if counter else metric.full_name
    meaning = metric.meaning.replace("\\", r"\\").replace("\n", r"\n")
    if openmetrics:
        meaning = meaning.replace('"', r"\"")
    return f"# HELP {name} {meaning}\n# TYPE {name} {metric.kind.value}\n"


def labels(**pairs: object) -> str:
    """`name="value"` joined by commas, as they stand between the braces."""
    return ",".join([f'{name}="{escape(str(value))}"' for name, value in pairs.items()])


def escape(value: str) -> str:
    """Names of Kubernetes need no escaping; user-chosen texts may."""
    if value.isalnum() or ("\\" not in value and '"' not in value and "\n" not in value):
        return value
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def line(metric: Metric, pairs: str, value: float) -> str:
    """One sample; `pairs` as made by `labels`."""
    return f"{metric.full_name}{{{pairs}}} {value}\n" if pairs else f"{metric.full_name} {value}\n"


def pieces(lines: Iterable[str]) -> Iterator[str]:
    """Many lines in pieces of a bounded length."""
    part: list[str] = []
    for text in lines:
        part.append(text)
        if len(part) >= PIECE:
            yield "".join(part)
            part = []
    if part:
        yield "".join(part)


def family(metric: Metric, lines: Iterable[str], *, openmetrics: bool) -> Iterator[str]:
    """A whole metric in pieces; nothing at all where it has no sample."""
    started = False
    for piece in pieces(lines):
        yield piece if started else header(metric, openmetrics=openmetrics) + piece
        started = True


def without_end(text: bytes) -> bytes:
    """What prometheus_client wrote as OpenMetrics, so that more can follow before the end is written."""
    return text.removesuffix(_END.encode())


def end(*, openmetrics: bool) -> str:
    return _END if openmetrics else ""
