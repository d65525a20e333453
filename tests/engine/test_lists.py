"""Does a whole list delete what vanished before it, and nothing that is newer than it?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sized
from contextlib import suppress
from typing import Any, NamedTuple, cast

import pytest

from engine.fakes import SETTINGS, Bench
from kube.fake_api import FakeApi, events, listing
from trainyard.api.constants import LABEL_JOB
from trainyard.engine.informers import build_informers, catch_up
from trainyard.engine.sinks import KindSink, claim_sink, config_map_sink, read_config_map, service_sink, take_over
from trainyard.engine.snapshots import cluster_snapshot
from trainyard.engine.store import TOMBSTONE_SECONDS, Store
from trainyard.kube.client import Client
from trainyard.kube.resources import CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, SERVICES, Resource
from trainyard.launch import render_hosts, render_record, render_service
from trainyard.model.translate import child_view, claim_view, record_view

Raw = dict[str, Any]
DELETING = "2027-01-15T09:00:00Z"
PROMISED = ("n1", "n1", "n2", "n2")


class Kind(NamedTuple):
    """One kind that the executor creates: how it is made, read, and held."""

    resource: Resource
    sink: Callable[[Store], KindSink[Any]]
    read: Callable[[Raw], Any]
    make: Callable[[Bench], Raw]
    held: Callable[[Store], Sized]


def stored(raw: Any, version: int, **meta: Any) -> Raw:
    """As the API server answers it."""
    added = {"uid": "uid-x", "creationTimestamp": "2027-01-15T08:00:00Z", "resourceVersion": str(version)}
    return {**raw, "metadata": {"namespace": "default", **raw["metadata"], **added, **meta}}


def record(bench: Bench) -> Raw:
    return dict(render_record(bench.job, bench.draft(0, PROMISED), SETTINGS.launch))


def hosts(bench: Bench) -> Raw:
    return dict(render_hosts(bench.job, record_view(stored(record(bench), 1)), SETTINGS.launch))


def service(bench: Bench) -> Raw:
    return dict(render_service(bench.job, SETTINGS.launch))


def claim(_: Bench) -> Raw:
    return {"metadata": {"name": "gpt-ckpt"}, "spec": {"accessModes": ["ReadWriteMany"]}}


KINDS = {
    "record": Kind(CONFIG_MAPS, config_map_sink, read_config_map, record, lambda s: s.children.records("job-1")),
    "hosts": Kind(CONFIG_MAPS, config_map_sink, read_config_map, hosts, lambda s: s.children.hosts("job-1")),
    "service": Kind(SERVICES, service_sink, child_view, service, lambda s: s.children.services(None)),
    "claim": Kind(PERSISTENT_VOLUME_CLAIMS, claim_sink, claim_view, claim, lambda s: s.claims),
}
kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def replaced(bench: Bench, kind: Kind, version: int, *raws: Raw) -> None:
    """A whole list, fixed at this version."""
    views = [kind.read(raw) for raw in raws]
    kind.sink(bench.store).replace(kind.resource, None, views, unreadable=frozenset(), resource_version=str(version))


def told(bench: Bench, kind: Kind, raw: Raw) -> None:
    """By a watch, or by the answer to a request."""
    kind.sink(bench.store).upsert(kind.resource, kind.read(raw), raw["metadata"]["resourceVersion"])


@kinds
def test_what_was_created_after_the_list_stays(bench: Bench, kind: Kind) -> None:
    raw = stored(kind.make(bench), 105)
    told(bench, kind, raw)
    replaced(bench, kind, 100)
    assert len(kind.held(bench.store)) == 1
    told(bench, kind, raw)
    assert len(kind.held(bench.store)) == 1


@kinds
def test_what_vanished_before_the_list_goes(bench: Bench, kind: Kind) -> None:
    told(bench, kind, stored(kind.make(bench), 95))
    replaced(bench, kind, 100)
    assert len(kind.held(bench.store)) == 0
    told(bench, kind, stored(kind.make(bench), 95))
    assert len(kind.held(bench.store)) == 0, "an answer that comes late brings nothing back"


@kinds
def test_the_newest_version_counts_though_nothing_else_in_it_is_new(bench: Bench, kind: Kind) -> None:
    for version in (95, 105):
        told(bench, kind, stored(kind.make(bench), version))
    bench.listener.take()
    bench.listener.capacity = 0
    told(bench, kind, stored(kind.make(bench), 106))
    assert (bench.listener.take(), bench.listener.capacity) == ([], 0), "and wakes nobody"
    replaced(bench, kind, 105)
    assert len(kind.held(bench.store)) == 1
    replaced(bench, kind, 106)
    assert len(kind.held(bench.store)) == 0


@kinds
def test_an_older_state_undoes_nothing(bench: Bench, kind: Kind) -> None:
    told(bench, kind, stored(kind.make(bench), 105, deletionTimestamp=DELETING))
    known = str(kind.held(bench.store))
    assert "deleting=True" in known
    told(bench, kind, stored(kind.make(bench), 95))
    replaced(bench, kind, 100, stored(kind.make(bench), 95))
    assert str(kind.held(bench.store)) == known


@kinds
def test_another_object_of_the_name_takes_the_place_of_one_that_vanished(bench: Bench, kind: Kind) -> None:
    told(bench, kind, stored(kind.make(bench), 95))
    replaced(bench, kind, 110, stored(kind.make(bench), 105, uid="uid-y"))
    assert "uid-y" in str(kind.held(bench.store))


@kinds
def test_an_objects_tomb_counts_no_longer_than_requests_may_take(bench: Bench, kind: Kind) -> None:
    """Nothing else need be deleted for that."""
    raw = stored(kind.make(bench), 95)
    told(bench, kind, raw)
    replaced(bench, kind, 100)
    told(bench, kind, raw)
    assert len(kind.held(bench.store)) == 0
    bench.api.clock.at += TOMBSTONE_SECONDS + 1
    told(bench, kind, raw)
    assert len(kind.held(bench.store)) == 1


def test_a_jobs_and_a_pods_tombs_neither(bench: Bench) -> None:
    bench.open()
    job, pod = bench.job, bench.pod(0)
    bench.store.delete_pod(pod.uid, None)
    bench.store.delete_job(job.uid)
    bench.store.upsert_job(job)
    bench.store.upsert_pod(pod)
    assert (bench.store.jobs, bench.store.table.pods) == ({}, {})
    bench.api.clock.at += TOMBSTONE_SECONDS + 1
    bench.store.upsert_job(job)
    bench.store.upsert_pod(pod)
    assert (len(bench.store.jobs), len(bench.store.table.pods)) == (1, 1)


def test_nodes_promised_while_a_list_was_read_stay_promised(bench: Bench) -> None:
    told(bench, KINDS["record"], stored(record(bench), 105))
    replaced(bench, KINDS["record"], 100)
    assert [r.node for r in cluster_snapshot(bench.store).reservations] == list(PROMISED)


async def test_a_new_leader_forgets_no_record_that_a_watch_told_of_after_its_list(bench: Bench) -> None:
    """The fake's lists are fixed at version 2000."""
    told(bench, KINDS["record"], stored(record(bench), 2005))
    await catch_up(cast(Client, bench.api), bench.store, ())
    assert len(bench.store.children.records("job-1")) == 1


async def test_config_maps_are_read_a_few_at_a_time(bench: Bench) -> None:
    """Anybody may write some of a megabyte each, and all of a page are in memory at once."""
    api, over = FakeApi(), asyncio.Event()
    await api.start()
    api.script("GET", listing())
    api.script("WATCH", events(wait=over))
    async with api.client() as client:
        await catch_up(client, bench.store, ())
        (informer,) = (i for i in build_informers(client, bench.store, ()) if i.resource is CONFIG_MAPS)
        task = asyncio.create_task(informer.run())
        await informer.wait_synced()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    over.set()
    await api.stop()
    asked = [(seen.path.rpartition("/")[2], seen.query["limit"]) for seen in api.requests("GET")]
    assert asked == [("trainingjobs", "100"), ("configmaps", "25"), ("configmaps", "25")]


async def test_a_new_leader_takes_a_record_that_was_deleted_meanwhile_for_gone(bench: Bench) -> None:
    raw = bench.api.put(CONFIG_MAPS, record(bench))
    maps = config_map_sink(bench.store)
    bench.store.delete_config_map(raw["metadata"]["uid"])
    await take_over(cast(Client, bench.api), maps, read_config_map, CONFIG_MAPS, None, labels=LABEL_JOB)
    assert bench.store.children.records("job-1") == {}
