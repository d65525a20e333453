"""What a dashboard is made of. It knows neither Grafana's JSON nor how anything is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """How a panel shows its queries."""

    SERIES = "timeseries"
    STAT = "stat"
    TABLE = "table"
    STATES = "state-timeline"


class Text(StrEnum):
    """What a stat says: its value, the name of its series, or both."""

    VALUE = "value"
    NAME = "name"
    BOTH = "value_and_name"


class Unit(StrEnum):
    """Grafana's names of the units that occur here."""

    COUNT = "short"
    SECONDS = "s"
    RATIO = "percentunit"
    PER_SECOND = "ops"
    REQUESTS = "reqps"
    BYTES = "bytes"
    MEBIBYTES = "mbytes"
    CORES = "none"


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression. `legend` names its series; in a table it names the column of its value."""

    expr: str
    legend: str = ""


Steps = tuple[tuple[float, str], ...]
"""From which value on which colour; below the first step all is well."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture and the question that it answers."""

    kind: Kind
    title: str
    description: str
    queries: tuple[Query, ...]
    unit: Unit = Unit.COUNT
    width: int = 8
    height: int = 8
    stacked: bool = False
    bars: bool = False
    steps: Steps = ()
    good: str = "green"
    colors: Mapping[str, str] = field(default_factory=dict)
    text: Text = Text.VALUE
    columns: tuple[str, ...] = ()
    """Labels that a table shows, in this order, before the values."""
    link: str = ""
    """Where a table's row leads to."""
    empty: str = ""
    """What a stat says where there is no data: an honest word, not a zero that nobody measured."""
    external: str = ""
    """The exporter that must be there as well; empty where the operator's own metrics suffice."""
    decimals: int | None = None


def stat(title: str, description: str, query: Query | str, width: int = 4, **more: object) -> Panel:
    """One number in a row of such; an expression stands for the query that has no name."""
    asked = Query(query) if isinstance(query, str) else query
    return Panel(Kind.STAT, title, description, (asked,), width=width, height=4, **more)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one headline, placed from left to right."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of the dashboard, from the values of a label."""

    name: str
    label: str
    query: str
    all: bool = False
    """Whether several may be chosen, and all are at first."""


@dataclass(frozen=True, slots=True)
class Marker:
    """Vertical lines where something happened."""

    name: str
    expr: str
    color: str


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard. Its uid never changes: links and alerts name it."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()
    markers: tuple[Marker, ...] = ()
    since: str = "now-6h"

    def panels(self) -> Iterator[Panel]:
        for row in self.rows:
            yield from row.panels

    def expressions(self) -> Iterator[str]:
        """Every expression that Prometheus is asked to evaluate, markers included."""
        for panel in self.panels():
            yield from (query.expr for query in panel.queries)
        yield from (marker.expr for marker in self.markers)
