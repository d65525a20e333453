"""An API server in a dict, at the level of the client's methods, and what the engine needs around it."""

from __future__ import annotations

import builtins
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import structlog

from support.manifests import job as job_manifest
from trainyard.engine.engine_settings import EngineSettings
from trainyard.engine.hands import Hands, Pass
from trainyard.engine.manifests import LaunchManifests
from trainyard.engine.queue import Target
from trainyard.engine.snapshots import job_snapshot
from trainyard.engine.store import Store
from trainyard.engine.telemetry_port import NullTelemetry
from trainyard.kube.client import Client, Page
from trainyard.kube.errors import AlreadyExists, Conflict, NotFound
from trainyard.kube.lease import LeaseSettings
from trainyard.kube.resources import CONFIG_MAPS, PODS, TRAINING_JOBS, Resource
from trainyard.launch import checkpoint_directory, claim_name, render_hosts, render_record
from trainyard.model.cluster import NOTHING_AVOIDED
from trainyard.model.plan import PlanningPolicy
from trainyard.model.record import Record, RecordDraft, RecordRole
from trainyard.model.status import AttemptRecordRef, JobStatus, render_status
from trainyard.model.translate import child_view, job_view, pod_view, record_view
from trainyard.model.views import JobView, Key, PodView

NOW = 1_800_000_000.0
Object = dict[str, Any]
Answer = Callable[[], None]


@dataclass
class Clock:
    """Stands still until told otherwise."""

    at: float = NOW

    def now(self) -> float:
        return self.at

    def __call__(self) -> float:
        return self.at


@dataclass
class FakeApi:
    """Objects by resource and name; `faults` are asked before a request is executed, `losses` after."""

    clock: Clock = field(default_factory=Clock)
    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    faults: dict[tuple[str, str, str], list[Exception]] = field(default_factory=dict)
    losses: dict[tuple[str, str, str], list[Exception]] = field(default_factory=dict)
    on_create: Callable[[Object], None] = lambda _: None
    _versions: Any = field(default_factory=lambda: itertools.count(1000))

    def put(self, resource: Resource, obj: Mapping[str, Any]) -> Object:
        """Stored as the API server would store it."""
        version = str(next(self._versions))
        meta = {"creationTimestamp": "2027-01-15T08:00:00Z", "uid": f"uid-{version}", **obj["metadata"]}
        stored = {**obj, "metadata": {**meta, "resourceVersion": version}}
        if resource is PODS:
            stored.setdefault("status", {"phase": "Pending"})
        self.objects[(str(resource), obj["metadata"]["name"])] = stored
        return stored

    def written(self, verb: str, resource: Resource) -> list[str]:
        """Names of the objects that a verb was sent for."""
        return [name for did, what, name in self.calls if (did, what) == (verb, str(resource))]

    async def create(self, resource: Resource, body: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        name = body["metadata"]["name"]
        self._enter("probe" if dry_run else "create", resource, name)
        if dry_run:
            return dict(body)
        if (str(resource), name) in self.objects:
            raise AlreadyExists(409, "AlreadyExists", f"{name} exists")
        stored = self.put(resource, body)
        self.on_create(stored)
        self._leave("create", resource, name)
        return stored

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object:
        self._enter("get", resource, name)
        return self._held(resource, name)

    async def list_pages(
        self, resource: Resource, namespace: str | None = None, **selection: Any
    ) -> AsyncIterator[Page]:
        yield await self.list(resource, namespace, labels=selection.get("labels"), fields=selection.get("fields"))

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
        metadata_only: bool = False,
        page_size: int | None = None,
    ) -> Page:
        self._enter("list", resource, "")
        key, _, value = (labels or "").partition("=")
        found = [
            obj
            for (kind, _), obj in self.objects.items()
            if kind == str(resource)
            and (not key or (obj["metadata"].get("labels") or {}).get(key) == value)
            and _selected(obj, fields or "")
        ]
        return Page(found, "2000")

    async def read_all(
        self, read: Callable[[Object], Any], resource: Resource, namespace: str | None = None, **selection: Any
    ) -> tuple[builtins.list[Any], str]:
        selection.pop("page_size", None)
        page = await self.list(resource, namespace, **selection)
        return [read(raw) for raw in page.items], page.resource_version

    async def patch_status(
        self, resource: Resource, name: str, status: Object, namespace: str | None = None, *, resource_version: str
    ) -> Object:
        self._enter("patch", resource, name)
        held = self._held(resource, name)
        if held["metadata"]["resourceVersion"] != resource_version:
            raise Conflict(409, "Conflict", "the object has been modified")
        stored = self.put(resource, {**held, "status": {k: v for k, v in status.items() if v is not None}})
        self._leave("patch", resource, name)
        return stored

    async def patch(self, resource: Resource, name: str, patch: Object, namespace: str | None = None) -> Object:
        self._enter("patch", resource, name)
        return self.put(resource, {**self._held(resource, name), **patch})

    async def delete(self, resource: Resource, name: str, namespace: str | None = None, **options: Any) -> Object:
        self._enter("delete", resource, name)
        held = self._held(resource, name)
        if held["metadata"]["uid"] != options["uid"]:
            raise Conflict(409, "Conflict", "the UID in the precondition does not match")
        del self.objects[(str(resource), name)]
        self._leave("delete", resource, name)
        return {"kind": "Status", "status": "Success"}

    def _held(self, resource: Resource, name: str) -> Object:
        try:
            return self.objects[(str(resource), name)]
        except KeyError:
            raise NotFound(404, "NotFound", f"{name} not found", {"name": name}) from None

    def _enter(self, verb: str, resource: Resource, name: str) -> None:
        self.calls.append((verb, str(resource), name))
        for key in ((verb, str(resource), name), (verb, str(resource), "")):
            if self.faults.get(key):
                raise self.faults[key].pop(0)

    def _leave(self, verb: str, resource: Resource, name: str) -> None:
        if self.losses.get((verb, str(resource), name)):
            raise self.losses[(verb, str(resource), name)].pop(0)


def _selected(obj: Object, fields: str) -> bool:
    """The two field selectors that the engine uses: one object by its name, and pods that are not over."""
    if fields.startswith("metadata.name="):
        return bool(obj["metadata"]["name"] == fields.partition("=")[2])
    return not (fields and obj.get("status", {}).get("phase") in ("Succeeded", "Failed"))


class Listener:
    """Keeps what the store told."""

    def __init__(self) -> None:
        self.marks: list[tuple[Target, bool]] = []
        self.capacity = 0

    def job_changed(self, target: Target, *, urgent: bool) -> None:
        self.marks.append((target, urgent))

    def capacity_changed(self) -> None:
        self.capacity += 1

    def take(self) -> list[tuple[Target, bool]]:
        taken, self.marks = self.marks, []
        return taken


SETTINGS = EngineSettings(PlanningPolicy(build="b1"), LeaseSettings("default", "lease", "me"), create_window=4)
KEY = Key("default", "gpt")


@dataclass
class Bench:
    """A store, an executor's hands and a fake API server, with one job of four ranks in all of them."""

    api: FakeApi = field(default_factory=FakeApi)
    listener: Listener = field(default_factory=Listener)
    telemetry: NullTelemetry = field(default_factory=NullTelemetry)

    def __post_init__(self) -> None:
        self.store = Store(self.listener, self.api.clock)
        self.hands = Hands(
            cast(Client, self.api), self.store, LaunchManifests(SETTINGS.launch), SETTINGS, self.telemetry
        )
        raw = job_manifest("gpt")
        raw["spec"]["roles"][0]["replicas"] = 4
        raw["metadata"] |= {"namespace": "default", "uid": "job-1", "generation": 1}
        self.api.put(TRAINING_JOBS, raw)
        self.sync()

    @property
    def job(self) -> JobView:
        return self.store.jobs[KEY]

    def sync(self) -> JobView:
        """The watch has told of the job as it is stored."""
        raw = self.api.objects[(str(TRAINING_JOBS), "gpt")]
        self.store.upsert_job(job_view(raw, self.store.jobs.get(KEY)))
        self.listener.take()
        return self.job

    def set_status(self, status: JobStatus) -> JobView:
        """Somebody wrote this status."""
        raw = self.api.objects[(str(TRAINING_JOBS), "gpt")]
        written = {k: v for k, v in render_status(status).items() if v is not None}
        self.api.put(TRAINING_JOBS, {**raw, "status": written})
        return self.sync()

    def draft(self, attempt: int = 0, nodes: tuple[str, ...] = ("", "", "", "")) -> RecordDraft:
        roles = (RecordRole("worker", 4, True, "trainer", "custom", 0, 1, (("cpu", 1000),)),)
        claim, directory = claim_name(self.job), checkpoint_directory(self.job)
        return RecordDraft("job-1", attempt, roles, nodes, self.job.spec_hash, "b1", claim=claim, directory=directory)

    def open(self, attempt: int = 0, nodes: tuple[str, ...] = ("", "", "", "")) -> Record:
        """Record and hosts are stored, the status names them."""
        raw = self.api.put(CONFIG_MAPS, render_record(self.job, self.draft(attempt, nodes), SETTINGS.launch))
        record = record_view(raw)
        self.store.upsert_record(child_view(raw), record)
        hosts = self.api.put(CONFIG_MAPS, render_hosts(self.job, record, SETTINGS.launch))
        self.store.upsert_hosts(child_view(hosts))
        self.set_status(JobStatus(attempt=attempt, attempt_record=AttemptRecordRef(record.name, record.uid, attempt)))
        return record

    def pod(self, rank: int, attempt: int = 0, *, stored: bool = True, **changes: Any) -> PodView:
        """A pod of the open attempt, in the API and (unless `stored` is False) in the store."""
        record = self.store.children.records("job-1")[attempt]
        body = next(self.hands.manifests.pods(self.job, record, [rank], NOTHING_AVOIDED))
        raw = self.api.put(PODS, {**body, **changes})
        view = pod_view(raw)
        if stored:
            self.store.upsert_pod(view)
            self.listener.take()
        return view

    def begin(self) -> Pass:
        """A pass over the job as the store has it now."""
        snapshot = job_snapshot(self.store, Target(KEY))
        assert snapshot is not None
        return Pass(snapshot, structlog.get_logger())
