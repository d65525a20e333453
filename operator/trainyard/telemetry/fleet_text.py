"""The series about jobs, pods and nodes as text, from one frozen picture of the fleet: summed, and for each job.

A series exists for exactly as long as its job does: nothing is remembered from one scrape to the next but what specs
ask for. It is written in pieces; between two of them the event loop may do something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from trainyard.model.views import PodView
from trainyard.telemetry import catalog, cluster_text, job_text, sums_text
from trainyard.telemetry.catalog import Metric
from trainyard.telemetry.exposition import PIECE, family, labels, line
from trainyard.telemetry.fleet import Fleet
from trainyard.telemetry.picture import Picture
from trainyard.telemetry.shares import Requests, shares_of
from trainyard.telemetry.waiting import wait_of


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is told of each job."""

    jobs: int = 2000
    pods: bool = True


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
        yield from sums_text.families(fleet, pictures)
        yield from cluster_text.families(fleet)
        shown = _foremost(pictures, self._limits.jobs)
        yield catalog.DROPPED, (line(catalog.DROPPED, "", len(pictures) - len(shown)),)
        yield from job_text.families(shown, fleet.pods, fleet.now, with_pods=self._limits.pods)


def _foremost(pictures: list[Picture], most: int) -> list[Picture]:
    """Those that are told one by one: unfinished jobs before finished ones, younger before older."""
    if len(pictures) <= most:
        return pictures
    return sorted(pictures, key=lambda p: (p.job.status.terminal, -p.job.created, p.job.uid))[:most]
