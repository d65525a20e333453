"""What the engine tells of itself, as a port: metrics are counted behind it, never in the engine.

Calls must be cheap, must not block and must not raise. They come after the commit they speak of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from trainyard.model.status import JobStatus
from trainyard.model.views import Instant, JobView


class Telemetry(Protocol):
    """Everything the engine reports. Also fits the API client's observer (`request`, `told_to_wait`)."""

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """One answered or failed request; `code` is the HTTP status or an exception's name."""

    def told_to_wait(self, seconds: float) -> None:
        """The API server answered with this `Retry-After`."""

    def planned(self, seconds: float, outcome: str) -> None:
        """One plan for one job: `settled` (nothing to do), `acted`, `blocked` (a guard said not yet), `failed`."""

    def visited(self, seconds: float) -> None:
        """One visit to a job is over: its plans, and the requests that they took."""

    def step(self, kind: str, outcome: str) -> None:
        """One step of a plan: its class name; `done`, `moot`, `blocked` or `failed`."""

    def status_write(self, outcome: str) -> None:
        """One write of a job's status: `written`, `conflict`, `lost` or `failed`."""

    def scheduled(self, seconds: float, requests: int, grants: int, lapsed: int) -> None:
        """One round of the scheduler; `lapsed` counts the grants that were not used in time."""

    def saw(self, job: JobView, at: Instant, live: int, unbound: int, unready: int) -> None:
        """A job was planned as it stands here, and its pods by count."""

    def granted(self, uid: str, attempt: int, at: Instant) -> None:
        """A place was found for this attempt of a job."""

    def committed(self, job: JobView, after: JobStatus, at: Instant) -> None:
        """A status was written; `job` is as it was before."""

    def pods(self, created: int, deleted: int) -> None:
        """Pods whose POST or DELETE was answered."""

    def leading(self, leader: bool) -> None:
        """Whether this process leads."""

    def lease(self, age: float | None) -> None:
        """Seconds since the Lease was renewed, or seen to change; None where it was never seen."""

    def queue(self, ready: int, waiting: int, active: int, oldest: float, longest: float) -> None:
        """The work queue; `oldest`: for how long a key has been ready; `longest`: a worker without progress."""

    def in_flight(self, sent: int, queued: int) -> None:
        """Requests to the API server that are under way, and that wait for their turn."""

    def watches(self, silent: Mapping[str, float], healthy: Mapping[str, bool]) -> None:
        """Resource → seconds since its informer was last heard, and whether it can be trusted."""

    def unreadable(self, resource: str, more: int) -> None:
        """So many more objects came in a state that could not be read."""

    def objects(self, counts: Mapping[str, int]) -> None:
        """How many objects of each kind the store holds."""

    def jobs(self, uids: Iterable[str], at: Instant) -> None:
        """The jobs that are there."""

    def lag(self, seconds: float) -> None:
        """How late a timer of the event loop was."""


class NullTelemetry:
    """Hears everything, keeps nothing."""

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """See `Telemetry`."""

    def told_to_wait(self, seconds: float) -> None:
        """See `Telemetry`."""

    def planned(self, seconds: float, outcome: str) -> None:
        """See `Telemetry`."""

    def visited(self, seconds: float) -> None:
        """See `Telemetry`."""

    def step(self, kind: str, outcome: str) -> None:
        """See `Telemetry`."""

    def status_write(self, outcome: str) -> None:
        """See `Telemetry`."""

    def scheduled(self, seconds: float, requests: int, grants: int, lapsed: int) -> None:
        """See `Telemetry`."""

    def saw(self, job: JobView, at: Instant, live: int, unbound: int, unready: int) -> None:
        """See `Telemetry`."""

    def granted(self, uid: str, attempt: int, at: Instant) -> None:
        """See `Telemetry`."""

    def committed(self, job: JobView, after: JobStatus, at: Instant) -> None:
        """See `Telemetry`."""

    def pods(self, created: int, deleted: int) -> None:
        """See `Telemetry`."""

    def leading(self, leader: bool) -> None:
        """See `Telemetry`."""

    def lease(self, age: float | None) -> None:
        """See `Telemetry`."""

    def queue(self, ready: int, waiting: int, active: int, oldest: float, longest: float) -> None:
        """See `Telemetry`."""

    def in_flight(self, sent: int, queued: int) -> None:
        """See `Telemetry`."""

    def watches(self, silent: Mapping[str, float], healthy: Mapping[str, bool]) -> None:
        """See `Telemetry`."""

    def unreadable(self, resource: str, more: int) -> None:
        """See `Telemetry`."""

    def objects(self, counts: Mapping[str, int]) -> None:
        """See `Telemetry`."""

    def jobs(self, uids: Iterable[str], at: Instant) -> None:
        """See `Telemetry`."""

    def lag(self, seconds: float) -> None:
        """See `Telemetry`."""
