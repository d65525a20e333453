"""Does each step do its part exactly once, and refuse to act on what is no longer so?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.fakes import KEY, NOW, Bench
from trainyard.engine import children_step, pod_steps
from trainyard.engine.guards import job_gone
from trainyard.engine.hands import Outcome, Pass
from trainyard.engine.pod_steps import create_pods, delete_pods
from trainyard.engine.probe_step import probe_roles
from trainyard.engine.status_step import write_status
from trainyard.kube.errors import ApiError, Forbidden, Invalid, NotFound, ServerError, Unreachable
from trainyard.kube.resources import CONFIG_MAPS, PODS, SERVICES, TRAINING_JOBS
from trainyard.model.cluster import NOTHING_AVOIDED, Avoided
from trainyard.model.plan import (
    ConfirmJobGone,
    ConfirmRecord,
    CreateHosts,
    CreatePods,
    CreateRecord,
    DeletePods,
    PodRef,
    WriteStatus,
)
from trainyard.model.status import JobStatus
from trainyard.model.translate import claim_view
from trainyard.model.views import NodeReady, NodeView, Taint, Toleration

LOST = Unreachable("no answer", ambiguous=True)
ALL = CreatePods(0, (0, 1, 2, 3))
JOBS = str(TRAINING_JOBS)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainyard.engine.pod_steps._pause", lambda *_: 0.0)


async def test_a_status_is_written_with_the_version_it_was_planned_from(bench: Bench) -> None:
    outcome = await write_status(bench.hands, bench.begin(), WriteStatus(JobStatus(gpus=8), "why"))
    assert outcome is Outcome.DONE
    assert bench.job.status.gpus == 8, "the answer is in the store before anything else happens"


async def test_a_status_that_says_nothing_new_is_not_written(bench: Bench) -> None:
    assert await write_status(bench.hands, bench.begin(), WriteStatus(bench.job.status, "")) is Outcome.DONE
    assert bench.api.written("patch", TRAINING_JOBS) == []


async def test_a_stale_plan_writes_nothing(bench: Bench) -> None:
    step = bench.begin()
    bench.set_status(JobStatus(gpus=1))
    assert await write_status(bench.hands, step, WriteStatus(JobStatus(gpus=8), "")) is Outcome.MOOT
    assert bench.api.written("patch", TRAINING_JOBS) == []


async def test_a_conflict_is_answered_by_a_live_look(bench: Bench) -> None:
    step = bench.begin()
    raw = bench.api.objects[(JOBS, "gpt")]
    bench.api.put(TRAINING_JOBS, {**raw, "status": {"gpus": 3}})
    assert await write_status(bench.hands, step, WriteStatus(JobStatus(gpus=8), "")) is Outcome.MOOT
    assert bench.job.status.gpus == 3


async def test_a_lost_answer_to_a_status_write_is_read_back(bench: Bench) -> None:
    bench.api.losses[("patch", JOBS, "gpt")] = [LOST]
    step = bench.begin()
    assert await write_status(bench.hands, step, WriteStatus(JobStatus(gpus=8), "")) is Outcome.MOOT
    assert bench.job.status.gpus == 8
    assert step.committed, "what it says is so, and its events are sent"


async def test_no_terminal_word_while_a_live_pod_shows(bench: Bench) -> None:
    bench.open()
    hidden = bench.pod(2, stored=False)
    del bench.api.objects[(str(CONFIG_MAPS), bench.store.children.hosts("job-1")[0].name)]
    write = WriteStatus(JobStatus(gpus=8), "", require_no_live_pods=True)
    assert await write_status(bench.hands, bench.begin(), write) is Outcome.BLOCKED
    dead = replace(write, dead=(hidden.name,))
    assert await write_status(bench.hands, bench.begin(), dead) is Outcome.DONE


async def test_a_pod_that_a_watch_has_missed_is_not_lost(bench: Bench) -> None:
    bench.open()
    missed = bench.pod(1, stored=False)
    write = WriteStatus(JobStatus(gpus=8), "", absent_pod=missed.name)
    assert await write_status(bench.hands, bench.begin(), write) is Outcome.BLOCKED
    del bench.api.objects[(str(PODS), missed.name)]
    assert await write_status(bench.hands, bench.begin(), write) is Outcome.DONE


async def test_a_pod_that_was_taken_from_its_job_is_lost_to_it(bench: Bench) -> None:
    bench.open()
    taken = bench.pod(1, stored=False)
    bench.api.objects[(str(PODS), taken.name)]["metadata"]["ownerReferences"] = []
    write = WriteStatus(JobStatus(gpus=8), "", absent_pod=taken.name)
    assert await write_status(bench.hands, bench.begin(), write) is Outcome.DONE


async def test_no_attempt_opens_while_hosts_are_there(bench: Bench) -> None:
    bench.open()
    bench.set_status(JobStatus(attempt=1))
    step = bench.begin()
    assert await children_step.create_record(bench.hands, step, CreateRecord(bench.draft(1))) is Outcome.BLOCKED
    assert bench.api.written("create", CONFIG_MAPS) == []


@pytest.mark.parametrize("owned", [True, False])
@pytest.mark.parametrize("dead", [False, True])
async def test_no_attempt_opens_beside_a_pod_of_an_earlier_job_that_is_not_dead(
    bench: Bench, dead: bool, owned: bool
) -> None:
    bench.open()
    stranger = bench.pod(0, stored=False)
    meta = bench.api.objects[(str(PODS), stranger.name)]["metadata"]
    if owned:
        meta["ownerReferences"][0]["uid"] = "job-0"
    else:
        meta["ownerReferences"] = []
    for key in [k for k in bench.api.objects if k[0] == str(CONFIG_MAPS)]:
        del bench.api.objects[key]
    bench.set_status(JobStatus(attempt=1))
    draft = CreateRecord(bench.draft(1))
    assert await children_step.create_record(bench.hands, bench.begin(), draft) is Outcome.BLOCKED
    if dead:
        draft = CreateRecord(replace(bench.draft(1), dead=(stranger.name,)))
    else:
        del bench.api.objects[(str(PODS), stranger.name)]
    assert await children_step.create_record(bench.hands, bench.begin(), draft) is Outcome.DONE
    assert 1 in bench.store.children.records("job-1")


async def test_no_record_is_made_of_a_job_that_changed_during_the_live_look(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, real = bench.begin(), bench.api.list

    async def slow(*arguments: Any, **selection: Any) -> Any:
        bench.set_status(JobStatus(gpus=1))
        return await real(*arguments, **selection)

    monkeypatch.setattr(bench.api, "list", slow)
    assert await children_step.create_record(bench.hands, step, CreateRecord(bench.draft())) is Outcome.MOOT
    assert bench.api.written("create", CONFIG_MAPS) == []


async def test_the_stored_record_is_the_record(bench: Bench) -> None:
    first = CreateRecord(bench.draft(0, ("a", "b", "c", "d")))
    name = bench.hands.manifests.record(bench.job, first.draft)["metadata"]["name"]
    bench.api.losses[("create", str(CONFIG_MAPS), name)] = [LOST]
    assert await children_step.create_record(bench.hands, bench.begin(), first) is Outcome.DONE
    second = CreateRecord(bench.draft(0, ("e", "f", "g", "h")))
    assert await children_step.create_record(bench.hands, bench.begin(), second) is Outcome.DONE
    assert bench.store.children.records("job-1")[0].nodes == ("a", "b", "c", "d")


async def test_a_strangers_object_is_noted_and_left_alone(bench: Bench) -> None:
    body = bench.hands.manifests.service(bench.job)
    name = body["metadata"]["name"]
    bench.api.put(SERVICES, {"metadata": {"name": name, "namespace": "default"}})
    assert await children_step.create_service(bench.hands, bench.begin()) is Outcome.MOOT
    assert bench.begin().snapshot.foreign_names == {name}
    bench.api.clock.at += 60
    assert bench.begin().snapshot.foreign_names == frozenset(), "it is tried again after a while"


@pytest.mark.parametrize(
    "refusal",
    [
        Forbidden(403, "Forbidden", "exceeded quota: maps, used: 9, limited: 9"),
        Invalid(422, "Invalid", "policy says no"),
        ServerError(500, "InternalError", 'Internal error occurred: failed calling webhook "a.b.c": refused'),
    ],
    ids=["quota", "policy", "webhook"],
)
async def test_a_refused_object_is_noted_in_the_servers_words(bench: Bench, refusal: ApiError) -> None:
    bench.api.faults[("create", str(CONFIG_MAPS), "")] = [refusal]
    create = CreateRecord(bench.draft())
    assert await children_step.create_record(bench.hands, bench.begin(), create) is Outcome.MOOT
    noted = bench.begin().snapshot.object_refused
    assert noted is not None
    assert (noted.attempt, noted.kind, noted.code, noted.message) == (0, "ConfigMap", refusal.status, refusal.message)
    assert noted.name == bench.hands.manifests.record(bench.job, create.draft)["metadata"]["name"]
    assert noted.at == NOW
    assert await children_step.create_record(bench.hands, bench.begin(), create) is Outcome.DONE
    assert bench.begin().snapshot.object_refused is None


@pytest.mark.parametrize(
    "error",
    [
        ServerError(500, "InternalError", "etcdserver: request timed out"),
        Forbidden(403, "Forbidden", "is being terminated", {"causes": [{"reason": "NamespaceTerminating"}]}),
    ],
    ids=["passing", "namespace ends"],
)
async def test_an_error_that_nobody_has_to_mend_is_raised(bench: Bench, error: ApiError) -> None:
    bench.api.faults[("create", str(SERVICES), "")] = [error]
    with pytest.raises(type(error)):
        await children_step.create_service(bench.hands, bench.begin())
    assert bench.begin().snapshot.object_refused is None


async def test_hosts_of_a_closed_attempt_are_not_made(bench: Bench) -> None:
    bench.open()
    step = bench.begin()
    bench.set_status(JobStatus(attempt=1))
    assert await children_step.create_hosts(bench.hands, step, CreateHosts(0)) is Outcome.MOOT


async def test_a_record_is_missing_only_by_the_servers_own_word(bench: Bench) -> None:
    record = bench.open()
    step, confirm = bench.begin(), ConfirmRecord(0, record.name)
    bench.api.faults[("get", str(CONFIG_MAPS), record.name)] = [NotFound(404, "", "page not found")]
    with pytest.raises(NotFound):
        await children_step.confirm_record(bench.hands, step, confirm)
    assert not bench.begin().snapshot.record_missing
    del bench.api.objects[(str(CONFIG_MAPS), record.name)]
    assert await children_step.confirm_record(bench.hands, step, confirm) is Outcome.DONE
    assert bench.begin().snapshot.record_missing


async def test_all_pods_are_created_and_known_at_once(bench: Bench) -> None:
    bench.open()
    assert await create_pods(bench.hands, bench.begin(), ALL) is Outcome.DONE
    assert sorted(p.rank for p in bench.begin().snapshot.pods) == [0, 1, 2, 3]


async def test_a_refused_template_costs_one_call(bench: Bench) -> None:
    bench.open()
    bench.api.faults[("create", str(PODS), "")] = [Invalid(422, "Invalid", "no such thing")]
    assert await create_pods(bench.hands, bench.begin(), ALL) is Outcome.MOOT
    assert len(bench.api.written("create", PODS)) == 1
    refused = bench.begin().snapshot.create_refused
    assert refused is not None
    assert (refused.attempt, refused.rank, refused.code) == (0, 0, 422)


async def test_a_quota_spent_in_mid_gang_stops_the_creation(bench: Bench) -> None:
    bench.open()
    name = next(bench.hands.manifests.pods(bench.job, bench.store.children.records("job-1")[0], [1], NOTHING_AVOIDED))
    full = Forbidden(403, "Forbidden", "exceeded quota: q")
    bench.api.faults[("create", str(PODS), name["metadata"]["name"])] = [full]
    assert await create_pods(bench.hands, bench.begin(), ALL) is Outcome.MOOT
    snapshot = bench.begin().snapshot
    assert snapshot.create_refused is not None
    assert "quota" in snapshot.create_refused.message
    assert len(snapshot.pods) < 4


async def test_a_lost_answer_to_a_create_makes_no_second_pod(bench: Bench) -> None:
    bench.open()
    record = bench.store.children.records("job-1")[0]
    name = next(bench.hands.manifests.pods(bench.job, record, [0], NOTHING_AVOIDED))["metadata"]["name"]
    bench.api.losses[("create", str(PODS), name)] = [LOST]
    assert await create_pods(bench.hands, bench.begin(), ALL) is Outcome.DONE
    assert bench.api.written("create", PODS).count(name) == 1


async def test_a_server_error_is_tried_again_and_then_told(bench: Bench) -> None:
    bench.open()
    bench.api.faults[("create", str(PODS), "")] = [ServerError(500, "", "etcd")]
    assert await create_pods(bench.hands, bench.begin(), ALL) is Outcome.DONE
    bench.api.objects = {k: v for k, v in bench.api.objects.items() if k[0] != str(PODS)}
    bench.api.faults[("create", str(PODS), "")] = [ServerError(500, "", "etcd")] * 20
    with pytest.raises(ServerError):
        await create_pods(bench.hands, bench.begin(), ALL)


async def test_creation_stops_when_the_attempt_is_closed(bench: Bench) -> None:
    bench.open()

    def close(_: object) -> None:
        bench.set_status(JobStatus(attempt=1))

    bench.api.on_create = close
    assert await create_pods(bench.hands, bench.begin(), ALL) is Outcome.MOOT
    assert len(bench.api.written("create", PODS)) == 1


@pytest.mark.parametrize(
    ("change", "created"),
    [
        ({"labels": {"a": "b"}}, 4),
        ({"allocatable": (("cpu", 5),)}, 4),
        ({"taints": (Taint("busy", "", "PreferNoSchedule"),)}, 4),
        ({"taints": (Taint("off", "", "NoSchedule"),)}, 1),
        ({"ready": NodeReady.UNKNOWN}, 1),
        ({"unschedulable": True}, 1),
        ({"deleting": True}, 1),
        (None, 1),
    ],
)
async def test_creation_stops_only_when_a_node_takes_no_more_pods(
    bench: Bench, change: dict[str, object] | None, created: int
) -> None:
    node = NodeView("n1", "u1", {})
    bench.store.upsert_node(node)
    bench.open(nodes=("n1",) * 4)

    def after_the_first(_: object) -> None:
        if change is None:
            bench.store.delete_node("n1")
        else:
            bench.store.upsert_node(replace(node, **change))  # type: ignore[arg-type]

    bench.api.on_create = after_the_first
    outcome = await create_pods(bench.hands, bench.begin(), ALL)
    assert outcome is (Outcome.DONE if created == 4 else Outcome.MOOT)
    assert len(bench.api.written("create", PODS)) == created


async def test_creation_that_goes_on_does_not_start_slowly_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    widths: list[int] = []
    real = pod_steps.in_parallel

    async def noting(do: Any, items: Any, width: int) -> None:
        widths.append(width)
        await real(do, items, width)

    monkeypatch.setattr(pod_steps, "in_parallel", noting)
    bench.open()
    assert await create_pods(bench.hands, bench.begin(), CreatePods(0, (0,))) is Outcome.DONE
    assert widths.pop(0) == 1
    widths.clear()
    assert await create_pods(bench.hands, bench.begin(), CreatePods(0, (1, 2, 3))) is Outcome.DONE
    assert widths == [bench.hands.settings.create_window]


async def test_ranks_without_a_node_keep_off_what_the_plan_avoids(bench: Bench) -> None:
    bench.open()
    plan = CreatePods(0, (0,), Avoided(frozenset({"n7"})))
    assert await create_pods(bench.hands, bench.begin(), plan) is Outcome.DONE
    (created,) = [o for (kind, _), o in bench.api.objects.items() if kind == str(PODS)]
    assert "n7" in str(created["spec"]["affinity"])


async def test_a_claim_that_is_bound_before_its_create_is_answered_is_bound(bench: Bench) -> None:
    raw = bench.api.objects[(str(TRAINING_JOBS), "gpt")]
    template = {"spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    raw["spec"]["checkpoint"] = {"volume": {"claimTemplate": template}}
    raw["metadata"]["generation"] = 2
    bench.api.put(TRAINING_JOBS, raw)
    bench.sync()

    def told_by_the_watch(claim: dict[str, Any]) -> None:
        bench.store.upsert_claim(claim_view({**claim, "status": {"phase": "Bound"}}))

    bench.api.on_create = told_by_the_watch
    assert await children_step.create_claim(bench.hands, bench.begin()) is Outcome.DONE
    (claim,) = bench.store.claims.values()
    assert claim.phase == "Bound"


async def test_creation_stops_when_the_job_is_absent(bench: Bench) -> None:
    bench.open()
    bench.api.on_create = lambda _: bench.store.delete_job("job-1")
    assert await create_pods(bench.hands, bench.begin(), ALL) is Outcome.MOOT
    assert len(bench.api.written("create", PODS)) == 1


async def test_only_the_jobs_own_pods_are_deleted(bench: Bench) -> None:
    bench.open()
    mine, theirs = bench.pod(0), bench.pod(1)
    bench.store.upsert_pod(replace(theirs, job_uid="", resource_version=9999))
    refs = tuple(PodRef(p.name, p.uid) for p in (mine, theirs))
    assert await delete_pods(bench.hands, bench.begin(), DeletePods(refs, 10, "")) is Outcome.DONE
    assert bench.api.written("delete", PODS) == [mine.name]


async def test_a_pod_that_is_gone_or_another_counts_as_deleted(bench: Bench) -> None:
    bench.open()
    gone, other = bench.pod(0), bench.pod(1)
    del bench.api.objects[(str(PODS), gone.name)]
    bench.api.objects[(str(PODS), other.name)]["metadata"]["uid"] = "another"
    refs = tuple(PodRef(p.name, p.uid) for p in (gone, other))
    assert await delete_pods(bench.hands, bench.begin(), DeletePods(refs, None, "")) is Outcome.DONE
    assert (str(PODS), other.name) in bench.api.objects


@pytest.mark.parametrize(
    ("grace", "given", "asked"),
    [(None, 30, False), (10, 10, False), (10, 5, False), (10, 30, True)],
)
async def test_what_somebody_else_is_deleting_is_left_to_him(
    bench: Bench, grace: int | None, given: int, asked: bool
) -> None:
    bench.open()
    ending, gone = bench.pod(0), bench.pod(1)
    refs = tuple(PodRef(p.name, p.uid) for p in (ending, gone))
    step = bench.begin()
    bench.store.upsert_pod(replace(ending, deletion=NOW, deletion_grace=given, resource_version=9999))
    bench.store.delete_pod(gone.uid, None)
    assert await delete_pods(bench.hands, step, DeletePods(refs, grace, "")) is Outcome.DONE
    assert bench.api.written("delete", PODS) == ([ending.name] if asked else [])


def orphans(bench: Bench) -> Pass:
    """A pass over pods whose job has vanished from the watch."""
    bench.open()
    bench.pod(0)
    step = bench.begin()
    bench.store.delete_job("job-1")
    return Pass(replace(step.snapshot, job=None), step.log)


async def test_absence_from_the_watch_is_not_gone(bench: Bench) -> None:
    step = orphans(bench)
    bench.store._tombs.clear()
    assert await job_gone(bench.hands, step, ConfirmJobGone("job-1")) is Outcome.MOOT
    assert KEY in bench.store.jobs
    assert step.confirmed is None


@pytest.mark.parametrize(
    "answer",
    [Forbidden(403, "Forbidden", ""), ServerError(500, "", ""), NotFound(404, "", "no such path"), LOST],
    ids=["forbidden", "server error", "plain 404", "no answer"],
)
async def test_no_other_answer_means_gone(bench: Bench, answer: Exception) -> None:
    step = orphans(bench)
    bench.api.faults[("get", JOBS, "gpt")] = [answer]
    with pytest.raises(type(answer)):
        await job_gone(bench.hands, step, ConfirmJobGone("job-1"))
    assert step.confirmed is None


async def test_a_job_that_is_gone_takes_only_pods_it_still_owns(bench: Bench) -> None:
    step = orphans(bench)
    (pod,) = step.snapshot.pods
    del bench.api.objects[(JOBS, "gpt")]
    delete = DeletePods((PodRef(pod.name, pod.uid),), None, "")
    raw = bench.api.objects[(str(PODS), pod.name)]
    owners = raw["metadata"].pop("ownerReferences")
    assert await job_gone(bench.hands, step, ConfirmJobGone("job-1")) is Outcome.DONE
    await delete_pods(bench.hands, step, delete)
    assert bench.api.written("delete", PODS) == [], "orphaned meanwhile"
    raw["metadata"]["ownerReferences"] = owners
    assert await job_gone(bench.hands, step, ConfirmJobGone("job-1")) is Outcome.DONE
    await delete_pods(bench.hands, step, delete)
    assert bench.api.written("delete", PODS) == [pod.name]


async def test_a_dry_run_tells_what_pods_ask_for(bench: Bench) -> None:
    bench.set_status(JobStatus(attempt=3))
    assert await probe_roles(bench.hands, bench.begin()) is Outcome.DONE
    probe = bench.begin().snapshot.probe
    assert probe is not None
    assert (probe.attempt, set(probe.resources), probe.priority_class) == (3, {"worker"}, "")
    assert bench.api.written("create", PODS) == []


async def test_a_dry_run_tells_where_pods_may_stand_as_admission_leaves_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = bench.api.create

    async def admitted(resource: Any, body: Any, **how: Any) -> Any:
        more: dict[str, Any] = {"nodeSelector": {"pool": "a"}, "priorityClassName": "batch"}
        more["tolerations"] = [{"key": "gpu", "operator": "Exists"}]
        return await real(resource, {**body, "spec": {**body["spec"], **more}}, **how)

    monkeypatch.setattr(bench.api, "create", admitted)
    await probe_roles(bench.hands, bench.begin())
    probe = bench.begin().snapshot.probe
    assert probe is not None
    told = probe.placing["worker"]
    assert told.node_selector == (("pool", "a"),) and told.tolerations == (Toleration("gpu", "Exists", "", ""),)
    assert probe.priority_class == "batch"


@pytest.mark.parametrize(
    "refusal",
    [Forbidden(403, "Forbidden", "policy says no"), ServerError(500, "InternalError", "failed calling webhook")],
    ids=["policy", "webhook"],
)
async def test_a_refused_dry_run_is_told_in_the_servers_words(bench: Bench, refusal: ApiError) -> None:
    bench.api.faults[("probe", str(PODS), "")] = [refusal]
    await probe_roles(bench.hands, bench.begin())
    probe = bench.begin().snapshot.probe
    assert probe is not None
    told = (probe.refused_role, probe.refused_code, probe.refused_message)
    assert told == ("worker", refusal.status, refusal.message)


@pytest.mark.parametrize(
    ("answer", "estimated"),
    [
        (Forbidden(403, "Forbidden", "exceeded quota: q"), False),
        (Forbidden(400, "BadRequest", "webhook does not support dry run"), True),
    ],
    ids=["quota", "no dry run"],
)
async def test_some_refusals_only_mean_that_the_template_is_asked(
    bench: Bench, answer: Exception, estimated: bool
) -> None:
    bench.api.faults[("probe", str(PODS), "")] = [answer]
    await probe_roles(bench.hands, bench.begin())
    probe = bench.begin().snapshot.probe
    assert probe is not None
    assert (probe.refused_code, probe.estimated, set(probe.resources)) == (0, estimated, {"worker"})
    assert probe.priority_class is None, "nobody told"
