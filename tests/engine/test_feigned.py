"""Can somebody in another namespace, who knows a job's UID, pass an object off as the job's?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.fakes import KEY, Bench
from trainyard.engine.queue import Target
from trainyard.engine.snapshots import job_snapshot
from trainyard.engine.store import Store
from trainyard.model.status import JobStatus
from trainyard.model.translate import child_view, record_view
from trainyard.model.views import ChildView, PodPhase, PodView

GPU = "nvidia.com/gpu"
ELSEWHERE = "tenant-b"
FEIGNED = PodView(
    ELSEWHERE,
    "p",
    "feigned",
    5,
    job="gpt",
    job_uid="job-1",
    role="worker",
    index=0,
    rank=0,
    incarnation=0,
    node="n1",
    resources=((GPU, 8),),
)


def feign_config_maps(bench: Bench, store: Store) -> None:
    """A record and hosts of the job's next attempt, as another namespace could hold them."""
    raw = bench.api.objects[("configmaps", "forged")]
    child = replace(child_view(raw), namespace=ELSEWHERE)
    store.upsert_record(child, record_view(raw))
    store.upsert_hosts(ChildView(ELSEWHERE, "x-hosts", "uid-x-hosts", "job-1", 0))


@pytest.fixture
def forged(bench: Bench) -> Bench:
    """The job waits; the forged record is a good one, but for where it is."""
    bench.open()
    for (kind, name), raw in list(bench.api.objects.items()):
        if kind == "configmaps" and not name.endswith("-hosts"):
            bench.api.objects[(kind, "forged")] = raw
            bench.store.delete_config_map(raw["metadata"]["uid"])
            raw["metadata"]["uid"] = "uid-forged"
        elif kind == "configmaps":
            bench.store.delete_config_map(raw["metadata"]["uid"])
    bench.set_status(JobStatus())
    return bench


def nothing_of_it(store: Store) -> None:
    assert store.gang("job-1").pods == {} and store.gang("job-1").live == 0
    assert store.children.records("job-1") == {} and store.children.hosts("job-1") == {}
    snapshot = job_snapshot(store, Target(KEY))
    assert snapshot is not None
    assert (snapshot.pods, dict(snapshot.records), dict(snapshot.hosts), snapshot.strangers) == ((), {}, {}, ())


def test_what_names_a_job_of_another_namespace_is_a_strangers(forged: Bench) -> None:
    forged.store.upsert_pod(FEIGNED)
    feign_config_maps(forged, forged.store)
    nothing_of_it(forged.store)
    assert forged.listener.take() == []


def test_it_takes_room_as_any_strangers_pod_does(forged: Bench) -> None:
    forged.store.upsert_pod(FEIGNED)
    assert forged.store.table.usage["n1"][GPU] == 8
    assert forged.store.table.foreign == {"n1": 1}
    forged.store.upsert_pod(replace(FEIGNED, resource_version=6, phase=PodPhase.FAILED))
    assert forged.store.table.usage == {} and forged.store.table.foreign == {}


def test_it_is_found_out_when_its_job_is_seen_after_it(forged: Bench) -> None:
    store = Store(forged.listener, forged.api.clock)
    store.upsert_pod(FEIGNED)
    feign_config_maps(forged, store)
    assert store.gang("job-1").live == 1, "nobody can tell yet"
    store.upsert_job(forged.job)
    nothing_of_it(store)
    assert store.table.foreign == {"n1": 1}
    store.delete_pod("feigned", None)
    assert store.table.foreign == {} and store.table.usage == {}


def test_it_does_not_take_the_place_of_the_jobs_own(bench: Bench) -> None:
    record = bench.open()
    bench.pod(0)
    forged = replace(record, uid="uid-forged", nodes=("n9",) * 4)
    bench.store.upsert_record(ChildView(ELSEWHERE, "r", "uid-forged", "job-1", 0), forged)
    bench.store.upsert_pod(FEIGNED)
    assert bench.store.children.records("job-1") == {0: record}
    assert bench.store.gang("job-1").live == 1


def test_pods_whose_job_is_gone_are_looked_at_namespace_by_namespace(bench: Bench) -> None:
    bench.store.upsert_pod(replace(FEIGNED, job_uid="job-0"))
    bench.store.upsert_pod(replace(FEIGNED, job_uid="job-0", namespace="default", uid="left"))
    snapshot = job_snapshot(bench.store, Target(KEY, "job-0"))
    assert snapshot is not None
    assert [pod.uid for pod in snapshot.pods] == ["left"]
