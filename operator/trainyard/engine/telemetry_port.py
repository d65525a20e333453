"""What the engine tells of itself, as a port: metrics are counted behind it, never in the engine.

Calls must be cheap, must not block and must not raise. They come after the commit they speak of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Telemetry(Protocol):
    """Everything the engine reports. Also fits the API client's observer (`request`)."""

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """One answered or failed request; `code` is the HTTP status or an exception's name."""

    def planned(self, seconds: float, outcome: str) -> None:
        """One pass over one job: `settled` (nothing to do), `acted`, `blocked` (a guard said not yet), `failed`."""

    def step(self, kind: str, outcome: str) -> None:
        """One step of a plan: its class name; `done`, `moot`, `blocked` or `failed`."""

    def queue(self, ready: int, waiting: int, active: int, oldest: float) -> None:
        """State of the work queue; `oldest` is the age in seconds of the key that has been ready for longest."""

    def scheduled(self, seconds: float, requests: int, grants: int, refusals: Mapping[str, int]) -> None:
        """One round of the scheduler; `refusals` counts the jobs that wait, by reason, at its end."""

    def opened(self) -> None:
        """An attempt was opened (its record committed to the job's status)."""

    def closed(self, cause: str) -> None:
        """An attempt was closed, by cause; the status write is committed."""

    def finished(self, phase: str) -> None:
        """A job reached a terminal phase."""

    def pods(self, created: int, deleted: int) -> None:
        """Pods whose POST or DELETE was answered."""

    def watches(self, silent: Mapping[str, float]) -> None:
        """Resource → seconds since its informer was last heard."""

    def objects(self, counts: Mapping[str, int]) -> None:
        """How many objects of each kind the store holds."""

    def jobs(self, phases: Mapping[str, int]) -> None:
        """How many jobs are in each phase."""

    def leading(self, leader: bool) -> None:
        """Whether this process leads."""


class NullTelemetry:
    """Hears everything, keeps nothing."""

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """See `Telemetry`."""

    def planned(self, seconds: float, outcome: str) -> None:
        """See `Telemetry`."""

    def step(self, kind: str, outcome: str) -> None:
        """See `Telemetry`."""

    def queue(self, ready: int, waiting: int, active: int, oldest: float) -> None:
        """See `Telemetry`."""

    def scheduled(self, seconds: float, requests: int, grants: int, refusals: Mapping[str, int]) -> None:
        """See `Telemetry`."""

    def opened(self) -> None:
        """See `Telemetry`."""

    def closed(self, cause: str) -> None:
        """See `Telemetry`."""

    def finished(self, phase: str) -> None:
        """See `Telemetry`."""

    def pods(self, created: int, deleted: int) -> None:
        """See `Telemetry`."""

    def watches(self, silent: Mapping[str, float]) -> None:
        """See `Telemetry`."""

    def objects(self, counts: Mapping[str, int]) -> None:
        """See `Telemetry`."""

    def jobs(self, phases: Mapping[str, int]) -> None:
        """See `Telemetry`."""

    def leading(self, leader: bool) -> None:
        """See `Telemetry`."""
