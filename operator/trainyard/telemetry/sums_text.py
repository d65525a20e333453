"""The series summed over jobs: by phase, by reason for waiting, and the accelerators of each namespace.

They leave nobody out, whatever is told of single jobs; names of namespaces are bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from trainyard.api.reasons import Phase
from trainyard.model.views import Instant
from trainyard.telemetry import catalog
from trainyard.telemetry.catalog import Metric
from trainyard.telemetry.exposition import labels, line
from trainyard.telemetry.fleet import Fleet
from trainyard.telemetry.picture import Picture
from trainyard.telemetry.shares import Share, counted

OTHER = "(other)"
NAMESPACES = 1000
"""That are told apart in sums."""

_PHASES = tuple(phase.value for phase in Phase)


@dataclass(slots=True)
class _Sums:
    """Over the jobs, under names of namespaces that are bounded."""

    phases: dict[tuple[str, str], int] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    oldest: dict[str, float] = field(default_factory=dict)
    shares: dict[tuple[str, str], Share] = field(default_factory=dict)


def families(fleet: Fleet, pictures: list[Picture]) -> Iterator[tuple[Metric, Iterable[str]]]:
    named = _known_namespaces(pictures)
    sums = _Sums()
    for picture in pictures:
        _add(sums, picture, fleet.now, picture.job.namespace if picture.job.namespace in named else OTHER)
    _add_orphans(sums, fleet, pictures, named)
    yield catalog.JOBS, _phase_sums(sums)
    yield catalog.WAITING, (line(catalog.WAITING, labels(reason=r), n) for r, n in sorted(sums.waiting.items()))
    yield (
        catalog.WAITING_OLDEST,
        (line(catalog.WAITING_OLDEST, labels(reason=r), age) for r, age in sorted(sums.oldest.items())),
    )
    for metric, part in (
        (catalog.REQUESTED, lambda share: share.requested),
        (catalog.HELD, lambda share: share.held),
        (catalog.IDLE, lambda share: share.idle),
    ):
        yield metric, _share_sums(metric, sums, part)


def _known_namespaces(pictures: list[Picture]) -> frozenset[str]:
    names = sorted({picture.job.namespace for picture in pictures})
    return frozenset(names[:NAMESPACES])


def _add(sums: _Sums, picture: Picture, now: Instant, namespace: str) -> None:
    phase = (namespace, picture.job.status.phase.value)
    sums.phases[phase] = sums.phases.get(phase, 0) + 1
    if picture.wait is not None:
        reason, age = picture.wait.reason.value, max(0.0, now - picture.wait.since)
        sums.waiting[reason] = sums.waiting.get(reason, 0) + 1
        sums.oldest[reason] = max(age, sums.oldest.get(reason, 0.0))
    for (_, resource), share in picture.shares.items():
        total = sums.shares.setdefault((namespace, resource), Share())
        total.requested += share.requested
        total.held += share.held
        total.idle += share.idle


def _add_orphans(sums: _Sums, fleet: Fleet, pictures: list[Picture], named: frozenset[str]) -> None:
    """Pods whose job is gone hold what they hold until they are gone too."""
    owners = {picture.job.uid for picture in pictures}
    for pod in fleet.ending:
        if pod.job_uid in owners:
            continue
        namespace = pod.namespace if pod.namespace in named or len(named) < NAMESPACES else OTHER
        for resource, count in counted(pod.resources, fleet.accelerators):
            total = sums.shares.setdefault((namespace, resource), Share())
            total.held += count
            total.idle += count


def _phase_sums(sums: _Sums) -> Iterator[str]:
    for namespace in sorted({namespace for namespace, _ in sums.phases}):
        for phase in _PHASES:
            pairs = labels(namespace=namespace, phase=phase)
            yield line(catalog.JOBS, pairs, sums.phases.get((namespace, phase), 0))


def _share_sums(metric: Metric, sums: _Sums, part: Callable[[Share], int]) -> Iterator[str]:
    for (namespace, resource), share in sorted(sums.shares.items(), key=lambda item: item[0]):
        yield line(metric, labels(namespace=namespace, resource=resource), part(share))
