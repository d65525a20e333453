"""Prometheus' text and OpenMetrics' text, for series that are too many for objects of their own.

prometheus_client writes the operator's few hundred instruments. The tens of thousands of series about jobs and pods are
written here line by line, in pieces, so that whoever sends them can let others run in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.metrics_core import Metric as Samples
from prometheus_client.registry import Collector

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


def instruments(registry: Collector, encode: Callable[[Collector], bytes]) -> Iterator[bytes]:
    """What prometheus_client makes of its own, a few samples at a time, and without an end: more follows."""
    for whole in registry.collect():
        for first in range(0, max(1, len(whole.samples)), PIECE):
            part = Samples(whole.name, whole.documentation, whole.type, whole.unit)
            part.samples = whole.samples[first : first + PIECE]
            text = encode(_One(part)).removesuffix(_END.encode())
            yield text if first == 0 else _without_header(text)


class _One:
    """A registry of one metric."""

    def __init__(self, metric: Samples) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Samples]:
        return (self._metric,)


def _without_header(text: bytes) -> bytes:
    while text.startswith(b"# "):
        text = text.partition(b"\n")[2]
    return text


def end(*, openmetrics: bool) -> str:
    return _END if openmetrics else ""
