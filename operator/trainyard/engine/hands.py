"""What every step of the executor works with, and the two ways in which all writes end: read back, and told apart.

`create_owned` is the one place where a name that is taken is judged: ours is success, a stranger's is noted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from structlog.typing import FilteringBoundLogger

from trainyard.engine.engine_settings import EngineSettings
from trainyard.engine.store import Store
from trainyard.engine.telemetry_port import Telemetry
from trainyard.kube.client import Client, Object
from trainyard.kube.errors import AlreadyExists, ApiError, Conflict, Forbidden, NotFound, ServerError, Unreachable
from trainyard.kube.resources import TRAINING_JOBS, Resource
from trainyard.model.cluster import Avoided
from trainyard.model.plan import JobSnapshot
from trainyard.model.record import Record, RecordDraft
from trainyard.model.translate import child_view, job_view
from trainyard.model.views import JobView, Key, Resources


class Outcome(Enum):
    """How a step ended; only after DONE does the next one begin."""

    DONE = "done"
    MOOT = "moot"
    """What the plan was made from has changed: plan again at once."""
    BLOCKED = "blocked"
    """A guard says not yet: plan again after a pause."""


class Manifests(Protocol):
    """What children look like; pure."""

    def pods(self, job: JobView, record: Record, ranks: Iterable[int], avoid: Avoided) -> Iterator[Mapping[str, Any]]:
        """One pod a rank, rendered as they are asked for."""

    def probe(self, job: JobView, role: str) -> Mapping[str, Any]:
        """One pod of a role as the next attempt would have it, for a dry run."""

    def estimate(self, job: JobView, role: str) -> Resources:
        """What one pod of a role asks for as far as the template tells."""

    def hosts(self, job: JobView, record: Record) -> Mapping[str, Any]:
        """The hosts ConfigMap of an attempt."""

    def service(self, job: JobView) -> Mapping[str, Any]:
        """The headless Service."""

    def claim(self, job: JobView) -> Mapping[str, Any]:
        """The checkpoint claim from the job's template."""

    def record(self, job: JobView, draft: RecordDraft) -> Mapping[str, Any]:
        """The ConfigMap that holds a record."""


@dataclass(frozen=True, slots=True)
class Hands:
    """Shared by all passes. `client` asks the Lease's fence before each of its writes (W10)."""

    client: Client
    store: Store
    manifests: Manifests
    settings: EngineSettings
    telemetry: Telemetry


@dataclass(slots=True)
class Pass:
    """One pass over one job: what it was planned from, and what its own steps have found out."""

    snapshot: JobSnapshot
    log: FilteringBoundLogger
    progress: Callable[[], None] = lambda: None
    """To be called with every answer of a step that takes many requests."""
    confirmed: frozenset[str] | None = None
    """After W9: UIDs of the pods that a live LIST showed to be owned by the job that is gone."""
    committed: bool = False
    """A status write of this plan was answered."""

    @property
    def job(self) -> JobView:
        assert self.snapshot.job is not None, "a step that needs a job was planned without one"
        return self.snapshot.job


def is_lost(error: Exception) -> bool:
    """The write may or may not have been executed."""
    return isinstance(error, ServerError) or (isinstance(error, Unreachable) and error.ambiguous)


def is_passing(error: Exception) -> bool:
    """Trying the same again may help: lost answers, no connection, and a quota that was being counted."""
    return isinstance(error, ServerError | Unreachable) or type(error) is Conflict


def is_refusal(error: Exception) -> bool:
    """The API server will not have this object, however often it is asked."""
    return isinstance(error, ApiError) and 400 <= error.status < 500 and error.status not in (401, 404, 409, 410, 429)


def is_mendable(error: Exception) -> bool:
    """It is refused, and somebody can change that: not where its namespace is being deleted."""
    return is_refusal(error) and not (isinstance(error, Forbidden) and error.namespace_terminating)


def keeps_out(error: Exception) -> bool:
    """It was not created, and somebody has to mend that: it is refused, or a webhook on the way does not answer."""
    return is_mendable(error) or (isinstance(error, ServerError) and error.webhook_failed)


async def create_owned(
    hands: Hands, step: Pass, resource: Resource, body: Mapping[str, Any], *, adopt: bool = False
) -> Object | None:
    """Create it, or find that it exists already; None where what stands there is somebody else's (noted as foreign).

    `adopt`: whoever owns it, it will do. Raises what the creation raised where it was not executed.
    """
    meta = body["metadata"]
    try:
        return await hands.client.create(resource, body)
    except AlreadyExists as error:
        problem: Exception = error
    except (ServerError, Unreachable) as error:
        if not is_lost(error):
            raise
        problem = error
    try:
        found = await hands.client.get(resource, meta["name"], meta["namespace"])
    except NotFound:
        raise problem from None
    if adopt or child_view(found).owner_uid == step.snapshot.uid:
        return found
    hands.store.memory.note_foreign(step.snapshot.uid, meta["name"])
    step.log.warning("name is taken by a stranger's object", resource=str(resource), name=meta["name"])
    return None


async def refresh_job(hands: Hands, key: Key) -> JobView | None:
    """The job as it is now, by a live GET, into the store. None on a 404, which is not yet a proof that it is gone."""
    try:
        raw = await hands.client.get(TRAINING_JOBS, key.name, key.namespace)
    except NotFound:
        return None
    job = job_view(raw, hands.store.jobs.get(key))
    hands.store.upsert_job(job, notify=False)
    return hands.store.jobs.get(key)
