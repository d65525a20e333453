"""The jobs and the cluster frozen for one scrape. The engine takes the picture; it is read here and judged nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trainyard.model.cluster import Reservation
from trainyard.model.record import Record
from trainyard.model.views import Instant, JobView, NodeView, PodView


@dataclass(frozen=True, slots=True)
class Promised:
    """Ranks of one open attempt that are not seen on their nodes yet."""

    record: Record
    ranks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Fleet:
    """Taken in one go on the event loop; everything in it is frozen or a copy."""

    now: Instant
    jobs: tuple[JobView, ...] = ()
    records: Mapping[str, Record] = field(default_factory=dict)
    """By job UID, of open attempts."""
    pods: tuple[PodView, ...] = ()
    """Pods of jobs."""
    ending: tuple[PodView, ...] = ()
    """Those that live and belong to no open attempt."""
    nodes: Mapping[str, NodeView] = field(default_factory=dict)
    """Empty where they may not be read."""
    usage: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Node → resource → amount used by pods."""
    promised: tuple[Promised, ...] = ()
    granted: tuple[Reservation, ...] = ()
    accelerators: frozenset[str] = frozenset()
    """Resources that count as accelerators."""
    owned_nodes: tuple[tuple[str, str], ...] = ()
    """Labels of the nodes that jobs are placed on; empty: all."""
