"""The series of single jobs and of their pods. A series exists for exactly as long as its job is in the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from trainyard.api.reasons import ConditionType, Phase
from trainyard.model.status import RoleStatus
from trainyard.model.views import Instant, JobView, PodView
from trainyard.telemetry import catalog
from trainyard.telemetry.catalog import Metric
from trainyard.telemetry.exposition import labels, line
from trainyard.telemetry.picture import Picture
from trainyard.telemetry.shares import Share
from trainyard.telemetry.waiting import starts_rolled_back

_PHASES = tuple(phase.value for phase in Phase)
_TERMINAL = (Phase.SUCCEEDED, Phase.FAILED)


def families(
    shown: list[Picture], pods: Iterable[PodView], now: Instant, *, with_pods: bool
) -> Iterator[tuple[Metric, Iterable[str]]]:
    """Family by family, of these jobs alone."""
    for metric, lines_of in _EACH_JOB:
        yield metric, (text for picture in shown for text in lines_of(picture, now))
    if with_pods:
        yield catalog.JOB_POD_INFO, _pod_lines(pods, {picture.job.uid: picture.pairs for picture in shown})


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


def _rolled_back(picture: Picture, _now: Instant) -> Iterator[str]:
    if not picture.job.status.terminal:
        yield line(catalog.JOB_ROLLED_BACK, picture.pairs, starts_rolled_back(picture.job))


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
    (catalog.JOB_ROLLED_BACK, _rolled_back),
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
