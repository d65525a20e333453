"""The series about jobs, pods and nodes as text, from one frozen picture of the fleet: summed, and for each job.

A series exists for exactly as long as its job does: nothing is remembered from one scrape to the next but what specs
ask for. It is written in pieces; between two of them the event loop may do something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from trainyard.api.reasons import ConditionType, Phase
from trainyard.model.status import RoleStatus
from trainyard.model.views import Instant, JobView, PodView
from trainyard.telemetry import catalog, cluster_text
from trainyard.telemetry.catalog import Metric
from trainyard.telemetry.exposition import PIECE, family, labels, line
from trainyard.telemetry.fleet import Fleet
from trainyard.telemetry.shares import Requests, Share, Shares, counted, shares_of
from trainyard.telemetry.waiting import Wait, wait_of

OTHER = "(other)"
NAMESPACES = 1000
"""That are told apart in sums."""

_PHASES = tuple(phase.value for phase in Phase)
_TERMINAL = (Phase.SUCCEEDED, Phase.FAILED)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is told of each job."""

    jobs: int = 2000
    pods: bool = True


@dataclass(frozen=True, slots=True)
class Picture:
    """One job with what several of its series are made from."""

    job: JobView
    pairs: str
    """Its namespace and name as labels."""
    wait: Wait | None
    shares: Shares


@dataclass(slots=True)
class _Sums:
    """Over the jobs, under names of namespaces that are bounded."""

    phases: dict[tuple[str, str], int] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    oldest: dict[str, float] = field(default_factory=dict)
    shares: dict[tuple[str, str], Share] = field(default_factory=dict)


class FleetText:
    """Keeps between scrapes only what each spec asks for."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._requests = Requests()

    def render(self, fleet: Fleet, *, openmetrics: bool) -> Iterator[str]:
        """All families that have samples, in pieces, some of them empty."""
        pictures: list[Picture] = []
        yield from self._look(fleet, pictures)
        for metric, lines in self._families(fleet, pictures):
            yield from family(metric, lines, openmetrics=openmetrics)

    def _look(self, fleet: Fleet, pictures: list[Picture]) -> Iterator[str]:
        ending: dict[str, list[PodView]] = {}
        for pod in fleet.ending:
            ending.setdefault(pod.job_uid, []).append(pod)
        for count, job in enumerate(fleet.jobs, 1):
            shares = shares_of(
                job, self._requests, fleet.records.get(job.uid), ending.get(job.uid, ()), fleet.accelerators
            )
            pairs = labels(namespace=job.namespace, job_name=job.name)
            pictures.append(Picture(job, pairs, wait_of(job), shares))
            if count % PIECE == 0:
                yield ""
        self._requests.forget_others(fleet.jobs)

    def _families(self, fleet: Fleet, pictures: list[Picture]) -> Iterator[tuple[Metric, Iterable[str]]]:
        yield from _summed(fleet, pictures)
        yield from cluster_text.families(fleet)
        shown = _foremost(pictures, self._limits.jobs)
        yield catalog.DROPPED, (line(catalog.DROPPED, "", len(pictures) - len(shown)),)
        for metric, lines_of in _EACH_JOB:
            yield metric, (text for picture in shown for text in lines_of(picture, fleet.now))
        if self._limits.pods:
            yield catalog.JOB_POD_INFO, _pod_lines(fleet.pods, {p.job.uid: p.pairs for p in shown})


def _foremost(pictures: list[Picture], most: int) -> list[Picture]:
    """Those that are told one by one: unfinished jobs before finished ones, younger before older."""
    if len(pictures) <= most:
        return pictures
    return sorted(pictures, key=lambda p: (p.job.status.terminal, -p.job.created, p.job.uid))[:most]


# Summed


def _summed(fleet: Fleet, pictures: list[Picture]) -> Iterator[tuple[Metric, Iterable[str]]]:
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


# Each job


def _info(picture: Picture, _now: Instant) -> Iterator[str]:
    job, spec = picture.job, picture.job.spec
    more = labels(
        uid=job.uid,
        framework=spec.framework.value if spec is not None else "",
        placement=spec.scheduling.placement.value if spec is not None else "",
        priority_class=(spec.scheduling.priority_class_name or "") if spec is not None else "",
    )
    yield line(catalog.JOB_INFO, f"{picture.pairs},{more}", 1)


def _phase(picture: Picture, _now: Instant) -> Iterator[str]:
    current, pairs = picture.job.status.phase.value, picture.pairs
    for phase in _PHASES:
        yield line(catalog.JOB_PHASE, f'{pairs},phase="{phase}"', int(phase == current))


def _ranks(picture: Picture, _now: Instant) -> Iterator[str]:
    if picture.job.status.terminal:
        return
    for role in picture.job.status.roles:
        pairs = f"{picture.pairs},{labels(role=role.name)}"
        for state, count in rank_states(role).items():
            yield line(catalog.JOB_RANKS, f'{pairs},state="{state}"', count)


def rank_states(role: RoleStatus) -> Mapping[str, int]:
    """The role's counts, which overlap, as parts of a whole: what is certain about a rank is told first."""
    states: dict[str, int] = {"missing": max(0, role.desired - role.created)}
    left = role.desired - states["missing"]
    for state, count in (
        ("completed", len(role.completed)),
        ("failed", role.failed),
        ("ready", role.ready),
        ("starting", role.scheduled - len(role.completed) - role.failed - role.ready),
        ("unbound", left),
    ):
        states[state] = min(left, max(0, count))
        left -= states[state]
    return states


def _attempt(picture: Picture, _now: Instant) -> Iterator[str]:
    yield line(catalog.JOB_ATTEMPT, picture.pairs, picture.job.status.attempt)


def _restarts(picture: Picture, _now: Instant) -> Iterator[str]:
    restarts = picture.job.status.restarts
    yield line(catalog.JOB_RESTARTS, f'{picture.pairs},cause="application"', restarts.application)
    yield line(catalog.JOB_RESTARTS, f'{picture.pairs},cause="disruption"', restarts.disruption)


def _unsettled(picture: Picture, _now: Instant) -> Iterator[str]:
    restarts = picture.job.status.restarts
    unsettled = max(0, restarts.total - restarts.application - restarts.disruption)
    yield line(catalog.JOB_UNSETTLED, picture.pairs, unsettled)


def _created(picture: Picture, _now: Instant) -> Iterator[str]:
    yield line(catalog.JOB_CREATED, picture.pairs, picture.job.created)


def _started(picture: Picture, _now: Instant) -> Iterator[str]:
    if picture.job.status.started_at is not None:
        yield line(catalog.JOB_STARTED, picture.pairs, picture.job.status.started_at)


def _running(picture: Picture, _now: Instant) -> Iterator[str]:
    since = _since(picture.job, ConditionType.RUNNING)
    if since is not None:
        yield line(catalog.JOB_RUNNING, picture.pairs, since)


def _ended(picture: Picture, _now: Instant) -> Iterator[str]:
    phase = picture.job.status.phase
    if phase in _TERMINAL:
        kind = ConditionType.SUCCEEDED if phase is Phase.SUCCEEDED else ConditionType.FAILED
        since = _since(picture.job, kind)
        if since is not None:
            yield line(catalog.JOB_ENDED, picture.pairs, since)


def _since(job: JobView, kind: ConditionType) -> Instant | None:
    found = job.status.condition(kind)
    return found.since if found is not None and found.status is True else None


def _waiting(picture: Picture, now: Instant) -> Iterator[str]:
    if picture.wait is not None:
        pairs = f'{picture.pairs},reason="{picture.wait.reason.value}"'
        yield line(catalog.JOB_WAITING, pairs, max(0.0, now - picture.wait.since))


def _share(metric: Metric, part: Callable[[Share], int]) -> Callable[[Picture, Instant], Iterator[str]]:
    def lines(picture: Picture, _now: Instant) -> Iterator[str]:
        for (role, resource), share in picture.shares.items():
            yield line(metric, f"{picture.pairs},{labels(role=role, resource=resource)}", part(share))

    return lines


_EACH_JOB: tuple[tuple[Metric, Callable[[Picture, Instant], Iterator[str]]], ...] = (
    (catalog.JOB_INFO, _info),
    (catalog.JOB_PHASE, _phase),
    (catalog.JOB_RANKS, _ranks),
    (catalog.JOB_ATTEMPT, _attempt),
    (catalog.JOB_RESTARTS, _restarts),
    (catalog.JOB_UNSETTLED, _unsettled),
    (catalog.JOB_CREATED, _created),
    (catalog.JOB_STARTED, _started),
    (catalog.JOB_RUNNING, _running),
    (catalog.JOB_ENDED, _ended),
    (catalog.JOB_WAITING, _waiting),
    (catalog.JOB_REQUESTED, _share(catalog.JOB_REQUESTED, lambda share: share.requested)),
    (catalog.JOB_HELD, _share(catalog.JOB_HELD, lambda share: share.held)),
    (catalog.JOB_IDLE, _share(catalog.JOB_IDLE, lambda share: share.idle)),
)


def _pod_lines(pods: Iterable[PodView], shown: Mapping[str, str]) -> Iterator[str]:
    name = catalog.JOB_POD_INFO.full_name
    for pod in pods:
        pairs = shown.get(pod.job_uid)
        if pairs is None or not pod.node or pod.terminal:
            yield ""
            continue
        # Names and label values, which no API server takes with anything to escape in them.
        more = f'pod="{pod.name}",role="{pod.role}",index="{pod.index}",rank="{pod.rank}",attempt="{pod.incarnation}"'
        yield f'{name}{{{pairs},{more},node="{pod.node}"}} 1\n'
