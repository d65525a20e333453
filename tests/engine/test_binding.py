"""Which gangs of the cluster's own scheduler may be taking nodes from each other, and who is told when that ends?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.fakes import KEY, NOW, Bench
from trainyard.api.reasons import Cause, ConditionType, Reason
from trainyard.api.types import Placement
from trainyard.engine.snapshots import cluster_snapshot
from trainyard.model.cluster import GangRequest, Grant
from trainyard.model.status import AttemptRecordRef, Condition, Episode, JobStatus
from trainyard.model.views import Key, PodPhase

GIVEN_BACK = Episode(0, NOW, Cause.START_ROLLED_BACK, Reason.START_DEADLINE_EXCEEDED)


def binding(bench: Bench) -> tuple[Key, ...]:
    return cluster_snapshot(bench.store).binding


def opened(bench: Bench, attempt: int = 0, **status: Any) -> None:
    """Its record names no nodes: they are chosen by another."""
    record = bench.open(attempt)
    ref = AttemptRecordRef(record.name, record.uid, attempt)
    bench.set_status(JobStatus(attempt=attempt, attempt_record=ref, **status))


def bind(bench: Bench, rank: int, attempt: int = 0) -> None:
    pod = bench.pod(rank, attempt)
    bench.store.upsert_pod(replace(pod, resource_version=pod.resource_version + 1, node=f"n{rank}"))


def test_a_gang_counts_from_its_first_bound_pod_to_its_last(bench: Bench) -> None:
    opened(bench)
    pods = [bench.pod(rank) for rank in range(4)]
    assert binding(bench) == (), "jobs keep coming, and somebody's gang is always at its beginning"
    for pod in pods[:3]:
        bench.store.upsert_pod(replace(pod, resource_version=pod.resource_version + 10, node="n"))
        assert binding(bench) == (KEY,)
    bench.listener.capacity = 0
    bench.store.upsert_pod(replace(pods[3], resource_version=pods[3].resource_version + 10, node="n"))
    assert binding(bench) == ()
    assert bench.listener.capacity == 1, "who waits for that is told"


def test_a_gang_that_was_rolled_back_counts_before_anything_is_bound(bench: Bench) -> None:
    opened(bench, 1, episodes=(GIVEN_BACK,))
    assert binding(bench) == (KEY,), "two of them would take turns at holding half of what the other needs"
    bench.pod(0, 1)
    assert binding(bench) == (KEY,)


def test_what_earlier_attempts_left_is_no_part_of_the_gang(bench: Bench) -> None:
    opened(bench)
    failed = bench.pod(0)
    bench.store.upsert_pod(replace(failed, resource_version=9_000, node="n", phase=PodPhase.FAILED))
    opened(bench, 1)
    assert binding(bench) == ()
    for rank in range(3):
        bind(bench, rank, 1)
    assert binding(bench) == (KEY,)


def test_a_gang_that_was_whole_counts_no_more(bench: Bench) -> None:
    running = Condition(ConditionType.RUNNING, True, Reason.ALL_RANKS_RUNNING, since=NOW)
    opened(bench, gang_created=True, conditions=(running,))
    bind(bench, 0)
    assert binding(bench) == (), "its other ranks are done, and their pods deleted"


@pytest.mark.parametrize("placement", list(Placement))
def test_a_grant_counts_until_its_record_does(bench: Bench, placement: Placement) -> None:
    request = GangRequest(KEY, "job-1", 0, bench.job.spec_hash, NOW, ())
    bench.store.memory.hold(Grant(KEY, "job-1", 0, request.spec_hash, (), NOW, placement), request, 30.0)
    assert binding(bench) == ((KEY,) if placement is Placement.DELEGATED else ())
