"""Whose is a checkpoint directory, from a job's first open to its end, however it goes in between?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.fakes import KEY, NOW, Bench
from support.manifests import job as job_manifest
from trainyard.api.reasons import Phase, Reason
from trainyard.engine.snapshots import cluster_snapshot
from trainyard.engine.store import Store
from trainyard.kube.resources import PODS, TRAINING_JOBS
from trainyard.model.cluster import GangRequest, Grant
from trainyard.model.status import Finishing, JobStatus
from trainyard.model.translate import job_view, pod_view
from trainyard.model.views import PodPhase, PodView

CHECKPOINT: dict[str, Any] = {"volume": {"claimName": "ckpt"}, "directory": "same"}


@pytest.fixture
def saving(bench: Bench) -> Bench:
    """The bench's job keeps checkpoints."""
    raw = bench.api.objects[(str(TRAINING_JOBS), "gpt")]
    raw["spec"]["checkpoint"] = CHECKPOINT
    raw["metadata"]["generation"] = 2
    bench.api.put(TRAINING_JOBS, raw)
    bench.sync()
    return bench


def holders(bench: Bench) -> list[tuple[str, bool]]:
    """Who holds a directory, and whether somebody may be writing there now."""
    return [(held.job, held.in_use) for held in cluster_snapshot(bench.store).directories]


def only_ending(bench: Bench) -> bool:
    """Whether nothing but ending pods holds it."""
    (held,) = cluster_snapshot(bench.store).directories
    return held.ending


def places(bench: Bench) -> set[tuple[str, str]]:
    """Claim and directory of each that is held."""
    return {(held.claim, held.directory) for held in cluster_snapshot(bench.store).directories}


def checkpoint_of(bench: Bench, checkpoint: dict[str, Any] | None) -> None:
    """Somebody edits the spec."""
    raw = bench.api.objects[(str(TRAINING_JOBS), "gpt")]
    raw["spec"].pop("checkpoint")
    raw["spec"] |= {"checkpoint": checkpoint} if checkpoint else {}
    raw["metadata"]["generation"] += 1
    bench.api.put(TRAINING_JOBS, raw)
    bench.sync()


def opened(bench: Bench) -> None:
    """Attempt 0 is open, and has been for a minute."""
    bench.open()
    bench.set_status(replace(bench.job.status, started_at=NOW - 60))


def test_a_job_that_never_opened_holds_no_directory_until_it_is_granted(saving: Bench) -> None:
    assert holders(saving) == []
    request = GangRequest(KEY, "job-1", 0, saving.job.spec_hash, NOW, ())
    saving.store.memory.hold(Grant(KEY, "job-1", 0, request.spec_hash, (), NOW), request, 30.0)
    assert holders(saving) == [("gpt", True)]


def test_a_job_keeps_its_directory_between_its_attempts(saving: Bench) -> None:
    opened(saving)
    pod = saving.pod(0)
    assert holders(saving) == [("gpt", True)]
    saving.set_status(JobStatus(attempt=1, started_at=NOW - 60))
    assert holders(saving) == [("gpt", True)], "its last pod may still write"
    assert not only_ending(saving)
    saving.store.delete_pod(pod.uid, None)
    assert holders(saving) == [("gpt", False)]
    (held,) = cluster_snapshot(saving.store).directories
    assert (held.claim, held.directory, held.job_uid, held.since) == ("ckpt", "same", "job-1", NOW - 60)


@pytest.mark.parametrize(
    "status",
    [
        JobStatus(attempt=1),
        JobStatus(
            attempt=1,
            started_at=NOW,
            phase=Phase.FAILED,
            finishing=Finishing(Phase.FAILED, Reason.MAX_RESTARTS_EXCEEDED, "x"),
        ),
    ],
    ids=["suspended", "failed"],
)
def test_a_directory_is_given_up_with_a_suspension_and_an_end(saving: Bench, status: JobStatus) -> None:
    opened(saving)
    pod = saving.pod(0)
    assert not only_ending(saving)
    saving.set_status(status)
    assert holders(saving) == [("gpt", True)] and only_ending(saving)
    saving.store.delete_pod(pod.uid, None)
    assert holders(saving) == []


def test_a_directory_changed_right_after_a_suspension_is_held_while_the_old_pods_end(saving: Bench) -> None:
    opened(saving)
    pods = [saving.pod(rank) for rank in (0, 1)]
    saving.set_status(JobStatus(attempt=1))
    checkpoint_of(saving, {**CHECKPOINT, "directory": "other"})
    assert places(saving) == {("ckpt", "same"), ("ckpt", "other")}
    saving.store.delete_pod(pods[0].uid, None)
    assert places(saving) == {("ckpt", "same"), ("ckpt", "other")}
    saving.store.delete_pod(pods[1].uid, None)
    assert places(saving) == set()


def test_the_directory_of_an_earlier_attempt_is_free_while_the_next_runs_elsewhere(saving: Bench) -> None:
    opened(saving)
    saving.store.delete_pod(saving.pod(0).uid, None)
    saving.set_status(JobStatus(attempt=1))
    checkpoint_of(saving, {**CHECKPOINT, "directory": "other"})
    saving.open(1)
    saving.set_status(JobStatus(attempt=1, started_at=NOW))
    saving.pod(0, attempt=1)
    assert len(saving.store.children.records("job-1")) == 2
    assert places(saving) == {("ckpt", "other")}


def test_a_volume_taken_out_of_the_spec_is_held_while_the_old_pods_end(saving: Bench) -> None:
    opened(saving)
    pod = saving.pod(0)
    saving.set_status(JobStatus(attempt=1))
    checkpoint_of(saving, None)
    assert places(saving) == {("ckpt", "same")}
    saving.store.delete_pod(pod.uid, None)
    assert places(saving) == set()


def test_a_job_whose_spec_cannot_be_read_keeps_the_directory_of_its_newest_attempt(saving: Bench) -> None:
    opened(saving)
    pod = saving.pod(0)
    checkpoint_of(saving, {**CHECKPOINT, "directory": 7})
    assert saving.job.spec is None
    assert places(saving) == {("ckpt", "same")}
    saving.store.delete_pod(pod.uid, None)
    assert holders(saving) == [("gpt", True)], "its attempt is open"
    saving.set_status(JobStatus(attempt=1, started_at=NOW - 60))
    assert holders(saving) == [("gpt", False)]


def test_a_suspension_between_two_attempts_wakes_who_waits_for_the_directory(saving: Bench) -> None:
    saving.set_status(JobStatus(attempt=1, started_at=NOW))
    assert holders(saving) == [("gpt", False)]
    saving.listener.capacity = 0
    saving.set_status(JobStatus(attempt=1))
    assert holders(saving) == [] and saving.listener.capacity == 1


def test_a_job_that_is_being_deleted_holds_it_only_while_its_pods_live(saving: Bench) -> None:
    opened(saving)
    pod = saving.pod(0)
    saving.set_status(JobStatus(attempt=1, started_at=NOW))
    raw = saving.api.objects[(str(TRAINING_JOBS), "gpt")]
    raw["metadata"] |= {"deletionTimestamp": "2027-01-15T08:00:00Z"}
    saving.api.put(TRAINING_JOBS, raw)
    saving.sync()
    assert holders(saving) == [("gpt", True)]
    saving.store.delete_pod(pod.uid, None)
    assert holders(saving) == []


def test_a_job_that_is_gone_holds_it_while_its_pods_live(saving: Bench) -> None:
    opened(saving)
    pods = [saving.pod(rank) for rank in (0, 1)]
    saving.store.delete_job("job-1")
    assert holders(saving) == [("gpt", True)] and only_ending(saving)
    raw = job_manifest("gpt", checkpoint=CHECKPOINT)
    raw["metadata"] |= {"namespace": "default", "uid": "job-2", "generation": 1, "resourceVersion": "9000"}
    saving.store.upsert_job(job_view(raw))
    saving.store.delete_pod(pods[0].uid, None)
    assert holders(saving) == [("gpt", True)]
    saving.store.delete_pod(pods[1].uid, None)
    assert holders(saving) == []


def orphaned(bench: Bench, name: str) -> PodView:
    """As the garbage collector leaves a pod whose job goes with `--cascade=orphan`."""
    raw = bench.api.objects[(str(PODS), name)]
    del raw["metadata"]["ownerReferences"]
    view = pod_view(bench.api.put(PODS, raw))
    bench.store.upsert_pod(view)
    return view


def test_pods_that_were_left_behind_hold_it_while_they_run(saving: Bench) -> None:
    opened(saving)
    pod = orphaned(saving, saving.pod(0).name)
    saving.store.delete_job("job-1")
    assert holders(saving) == [("gpt", True)] and only_ending(saving)
    assert places(saving) == {("ckpt", "same")}
    saving.listener.capacity = 0
    saving.store.upsert_pod(replace(pod, resource_version=9_000, phase=PodPhase.SUCCEEDED))
    assert holders(saving) == [] and saving.listener.capacity == 1


def test_a_new_process_knows_by_the_pods_alone_where_they_write(saving: Bench) -> None:
    opened(saving)
    pods = [saving.pod(rank) for rank in (0, 1)]
    restarted = Store(saving.listener)
    for pod in pods:
        restarted.upsert_pod(pod)
    (held,) = cluster_snapshot(restarted).directories
    assert (held.job, held.job_uid, held.claim, held.directory) == ("gpt", "job-1", "ckpt", "same")
    assert held.in_use and held.ending


def test_a_deleted_job_that_a_finalizer_keeps_holds_neither_directory_nor_nodes(saving: Bench) -> None:
    saving.open(nodes=("n0", "n1", "n2", "n3"))
    saving.set_status(replace(saving.job.status, started_at=NOW - 60))
    assert len(cluster_snapshot(saving.store).reservations) == 4
    raw = saving.api.objects[(str(TRAINING_JOBS), "gpt")]
    raw["metadata"] |= {"deletionTimestamp": "2027-01-15T08:00:00Z", "finalizers": ["example.com/keep"]}
    saving.api.put(TRAINING_JOBS, raw)
    saving.sync()
    assert holders(saving) == [] and cluster_snapshot(saving.store).reservations == ()
