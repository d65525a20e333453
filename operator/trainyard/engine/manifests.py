"""The launch room as the executor calls it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trainyard import launch
from trainyard.model.cluster import Avoided
from trainyard.model.record import Record, RecordDraft
from trainyard.model.views import JobView, Resources


@dataclass(frozen=True, slots=True)
class LaunchManifests:
    """Fits `Manifests`."""

    settings: launch.LaunchSettings

    def pods(self, job: JobView, record: Record, ranks: Iterable[int], avoid: Avoided) -> Iterator[Mapping[str, Any]]:
        return launch.render_pods(job, record, ranks, self.settings, avoid)

    def probe(self, job: JobView, role: str) -> Mapping[str, Any]:
        return launch.render_probe_pod(job, role, self.settings)

    def estimate(self, job: JobView, role: str) -> Resources:
        return launch.template_resources(job, role, self.settings)

    def hosts(self, job: JobView, record: Record) -> Mapping[str, Any]:
        return launch.render_hosts(job, record, self.settings)

    def service(self, job: JobView) -> Mapping[str, Any]:
        return launch.render_service(job, self.settings)

    def claim(self, job: JobView) -> Mapping[str, Any]:
        return launch.render_claim(job, self.settings)

    def record(self, job: JobView, draft: RecordDraft) -> Mapping[str, Any]:
        return launch.render_record(job, draft, self.settings)
