"""Does the store tell the truth, count the same at any order of events, and wake whom a change concerns?"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any, cast

import pytest

from engine.fakes import KEY, NOW, Bench, Clock, FakeApi, Listener
from trainyard.api.reasons import Phase, Reason
from trainyard.engine.queue import Target
from trainyard.engine.sinks import pod_sink, take_over
from trainyard.engine.snapshots import cluster_snapshot, job_snapshot
from trainyard.engine.store import TOMBSTONE_SECONDS, Store
from trainyard.kube.client import Client
from trainyard.kube.resources import CONFIG_MAPS, PODS, TRAINING_JOBS
from trainyard.launch import LaunchSettings, render_record
from trainyard.model.cluster import Refusal
from trainyard.model.status import Finishing, JobStatus
from trainyard.model.translate import child_view, record_view
from trainyard.model.views import (
    ClaimView,
    ContainerWait,
    Key,
    NamespaceView,
    NodeReady,
    NodeView,
    PodPhase,
    PodView,
    TrainerState,
)

GPU = "nvidia.com/gpu"


def pod(uid: str, version: int, **fields: object) -> PodView:
    return replace(PodView("default", f"pod-{uid}", uid, version), **fields)  # type: ignore[arg-type]


def ours(uid: str, version: int, **fields: object) -> PodView:
    return pod(uid, version, **{"job": "gpt", "job_uid": "job-1", "rank": 0, "incarnation": 0, **fields})


def test_an_older_state_changes_nothing(bench: Bench) -> None:
    bench.store.upsert_pod(ours("a", 5, node="n1"))
    bench.store.upsert_pod(ours("a", 4))
    bench.store.upsert_pod(ours("a", 5))
    assert bench.store.table.pods["a"].node == "n1"


def test_what_others_tell_of_a_job_is_news_only_in_a_state_that_is_not_held(bench: Bench) -> None:
    held = int(bench.job.resource_version)
    assert bench.store.knows(KEY, f"{held}") and bench.store.knows(KEY, f"{held - 1}")
    assert not bench.store.knows(KEY, f"{held + 1}")
    assert not bench.store.knows(KEY, ""), "who tells no version may know more than we"
    assert not bench.store.knows(Key("default", "unheard-of"), "1")


def test_a_state_that_differs_in_nothing_we_look_at_wakes_nobody() -> None:
    listener = Listener()
    store = Store(listener, Clock())
    store.upsert_pod(ours("a", 5, node="n1"))
    listener.take()
    store.upsert_pod(ours("a", 6, node="n1"))
    assert listener.take() == []
    assert store.table.pods["a"].resource_version == store.gang("job-1").pods["a"].resource_version == 6
    store.upsert_pod(ours("a", 5))
    assert store.table.pods["a"].node == "n1", "and is newer than what came before it"


def test_a_container_that_comes_to_hold_a_start_up_wakes_its_job() -> None:
    listener = Listener()
    store = Store(listener, Clock())
    store.upsert_pod(ours("a", 5, node="n1"))
    listener.take()
    store.upsert_pod(ours("a", 6, node="n1", held_up=ContainerWait("fetch", "InvalidImageName", "")))
    assert Target(KEY, "job-1") in [target for target, _ in listener.take()]


def test_an_answer_that_comes_after_the_deletion_brings_nothing_back() -> None:
    clock = Clock()
    store = Store(Listener(), clock)
    store.upsert_pod(ours("a", 5))
    store.delete_pod("a", None)
    store.upsert_pod(ours("a", 6))
    assert store.table.pods == {}
    clock.at += TOMBSTONE_SECONDS + 1
    store.delete_pod("other", None)
    store.upsert_pod(ours("a", 7))
    assert set(store.table.pods) == {"a"}, "tombstones do not pile up"


def test_usage_follows_pods_until_they_are_gone(bench: Bench) -> None:
    store, asks = bench.store, ((GPU, 8), ("cpu", 1000))
    store.upsert_pod(pod("a", 1, resources=asks))
    assert store.table.usage == {}
    store.upsert_pod(pod("a", 2, resources=asks, nominated="n1"))
    assert store.table.usage == {"n1": {GPU: 8, "cpu": 1000, "pods": 1}}
    before = cluster_snapshot(store)
    store.upsert_pod(pod("a", 3, resources=asks, node="n2"))
    assert store.table.usage == {"n2": {GPU: 8, "cpu": 1000, "pods": 1}}
    assert dict(before.usage) == {"n1": {GPU: 8, "cpu": 1000, "pods": 1}}, "a snapshot stays as it was"
    store.upsert_pod(pod("a", 4, resources=asks, node="n2", deletion=1.0))
    assert store.table.usage["n2"][GPU] == 8, "terminating is not gone"
    bench.listener.capacity = 0
    store.upsert_pod(pod("a", 5, resources=asks, node="n2", deletion=1.0, phase=PodPhase.FAILED))
    assert store.table.usage == {}
    assert bench.listener.capacity == 1


def test_strangers_bring_their_nodes_and_those_wake_the_job_that_waits(bench: Bench) -> None:
    bench.store.upsert_node(NodeView("n7", "uid-n7", {}))
    bench.store.upsert_pod(pod("s", 1, job="gpt", job_uid="old-job", node="n7", deletion=1.0))
    snapshot = job_snapshot(bench.store, Target(KEY))
    assert snapshot is not None
    assert [p.uid for p in snapshot.strangers] == ["s"] and set(snapshot.nodes) == {"n7"}
    bench.listener.take()
    bench.store.upsert_node(NodeView("n7", "uid-n7", {}, ready=NodeReady.UNKNOWN))
    assert (Target(KEY), True) in bench.listener.take()


def test_a_pod_left_behind_is_a_stranger_to_the_next_job_of_its_name_and_wakes_it(bench: Bench) -> None:
    left = pod("l", 5, job="gpt", left_behind="job-0", node="n7")
    bench.store.upsert_pod(left)
    assert (Target(KEY), True) in bench.listener.take()
    assert [p.uid for p in bench.begin().snapshot.strangers] == ["l"]
    bench.store.upsert_pod(replace(left, resource_version=6, phase=PodPhase.SUCCEEDED))
    assert bench.begin().snapshot.strangers == ()
    bench.listener.take()
    bench.store.delete_pod("l", None)
    assert (Target(KEY), True) in bench.listener.take()


def test_a_pod_that_loses_its_owner_is_left_behind(bench: Bench) -> None:
    bench.store.upsert_pod(ours("a", 5, job_uid="job-0", node="n7"))
    bench.store.upsert_pod(pod("a", 6, job="gpt", left_behind="job-0", node="n7"))
    assert bench.store.gang("job-0").pods == {}
    assert [p.uid for p in bench.begin().snapshot.strangers] == ["a"]
    bench.store.upsert_pod(pod("a", 7, job="gpt", node="n7"))
    assert bench.begin().snapshot.strangers == (), "somebody else has taken it over"


def test_strangers_accelerator_pods_on_a_gangs_node_are_told_once(bench: Bench) -> None:
    bench.open(nodes=("n1", "n1", "n2", "n2"))

    def shared() -> tuple[str, ...]:
        snapshot = job_snapshot(bench.store, Target(KEY))
        assert snapshot is not None
        return snapshot.shared_nodes

    asks = ((GPU, 1),)
    bench.listener.take()
    bench.store.upsert_pod(pod("a", 1, node="n2", resources=asks))
    assert shared() == ("n2",) and bench.listener.take() == [(Target(KEY), True)]
    bench.store.upsert_pod(pod("b", 1, node="n2", resources=asks))
    bench.store.upsert_pod(pod("c", 1, node="n8", resources=asks))
    bench.store.delete_pod("a", None)
    assert shared() == ("n2",) and bench.listener.take() == []
    bench.store.upsert_pod(pod("b", 2, node="n2", resources=asks, phase=PodPhase.FAILED))
    assert shared() == () and bench.listener.take() == [(Target(KEY), True)]


def test_what_daemons_use_and_ports_of_nodes_are_told_apart(bench: Bench) -> None:
    store, asks = bench.store, (("cpu", 100),)
    daemon = pod("d", 1, node="n1", resources=asks, resident=True, host_ports=(9100, 9101))
    store.upsert_pod(daemon)
    store.upsert_pod(pod("p", 1, node="n1", resources=asks, host_ports=(9101,)))
    cluster = cluster_snapshot(store)
    assert cluster.resident == {"n1": {"cpu": 100, "pods": 1}}
    assert cluster.usage == {"n1": {"cpu": 200, "pods": 2}}
    assert cluster.host_ports == {"n1": frozenset((9100, 9101))}
    store.delete_pod("d", None)
    assert cluster_snapshot(store).host_ports == {"n1": frozenset((9101,))}
    store.upsert_pod(pod("p", 2, node="n1", resources=asks, host_ports=(9101,), phase=PodPhase.FAILED))
    after = cluster_snapshot(store)
    assert after.host_ports == {} and after.resident == {} and after.usage == {}


def test_counts_equal_a_recount_after_any_history(bench: Bench) -> None:
    chance, store, version = random.Random(7), bench.store, 0
    for _ in range(3000):
        version += 1
        uid = str(chance.randrange(30))
        if chance.random() < 0.2:
            store._tombs.clear()
            store.delete_pod(uid, None)
            store._tombs.clear()
            continue
        owner = chance.choice(("", "job-1", "job-2"))
        view = pod(
            uid,
            version,
            job_uid=owner,
            job=chance.choice(("gpt", "x")) if owner else "",
            node=chance.choice(("", "n1", "n2")),
            phase=chance.choice((PodPhase.PENDING, PodPhase.RUNNING, PodPhase.FAILED)),
            ready=chance.random() < 0.5,
            resources=((GPU, chance.choice((0, 8))),),
        )
        store.upsert_pod(view)
        check_counts(store)


def check_counts(store: Store) -> None:
    alive = [p for p in store.table.pods.values() if not p.terminal]
    placed = [p for p in alive if p.node]
    assert {n: u.get("pods") for n, u in store.table.usage.items()} == Counter(p.node for p in placed)
    foreign = Counter(p.node for p in placed if not p.job_uid and dict(p.resources)[GPU])
    assert store.table.foreign == foreign
    for uid in ("job-1", "job-2"):
        gang, members = store.gang(uid), [p for p in store.table.pods.values() if p.job_uid == uid]
        assert all(
            (uid in store.table.owners_named(KEY._replace(name=name))) == any(p.job == name for p in members)
            for name in ("gpt", "x")
        )
        assert all((uid in store.table.owners_on(n)) == any(p.node == n for p in members) for n in ("n1", "n2"))
        assert set(gang.pods) == {p.uid for p in members}
        assert gang.live == sum(1 for p in members if not p.terminal)
        assert gang.unbound == sum(1 for p in members if not p.terminal and not p.node)
        assert gang.unready == sum(1 for p in members if not p.terminal and not p.ready)


def test_the_first_sight_of_an_exit_is_kept(bench: Bench) -> None:
    bench.store.upsert_pod(ours("a", 5, trainer=TrainerState(True, 1)))
    bench.store.upsert_pod(ours("a", 9, trainer=TrainerState(True, 1), phase=PodPhase.FAILED))
    assert bench.store.table.pods["a"].failed_version == 5


def test_whether_an_end_was_disturbed_is_told_by_what_was_seen_first(bench: Bench) -> None:
    pods, zero = bench.store.table.pods, TrainerState(True, 0)
    bench.store.upsert_pod(ours("calm", 5, trainer=zero))  # a sidecar still runs
    bench.store.upsert_pod(ours("calm", 6, trainer=zero, deletion=1.0))
    bench.store.upsert_pod(ours("calm", 7, trainer=zero, deletion=1.0, phase=PodPhase.SUCCEEDED))
    assert pods["calm"].undisturbed
    bench.store.upsert_pod(ours("told", 5, deletion=1.0))
    bench.store.upsert_pod(ours("told", 6, deletion=1.0, trainer=zero))
    bench.store.upsert_pod(ours("both", 5, deletion=1.0, trainer=zero))
    bench.store.upsert_pod(ours("evicted", 5, disruption="EvictionByEvictionAPI", phase=PodPhase.SUCCEEDED))
    assert not any(pods[uid].undisturbed for uid in ("told", "both", "evicted"))
    bench.open()
    bench.store.upsert_pod(ours("gap", 5))
    bench.store.delete_pod("gap", ours("gap", 9, phase=PodPhase.SUCCEEDED))
    bench.store.delete_pod("calm", ours("calm", 9, trainer=zero, deletion=1.0, phase=PodPhase.SUCCEEDED))
    collected = bench.store.gang("job-1").collected
    assert collected["gap"].undisturbed and collected["calm"].undisturbed


def test_a_collected_pod_keeps_the_exit_that_was_seen(bench: Bench) -> None:
    bench.open()
    done = ours("a", 5, phase=PodPhase.SUCCEEDED)
    bench.store.upsert_pod(done)
    bench.store.delete_pod("a", replace(done, resource_version=9, deletion=1.0))
    (last,) = bench.begin().snapshot.collected
    assert (last.deletion, last.failed_version) == (None, 5), "it had exited before anybody deleted it"
    bench.store.upsert_pod(ours("b", 6))
    bench.store.delete_pod("b", ours("b", 8, trainer=TrainerState(True, 0), deletion=1.0))
    (last,) = [p for p in bench.begin().snapshot.collected if p.uid == "b"]
    assert (last.deletion, last.failed_version) == (1.0, 8)


def test_collected_pods_go_with_their_attempt(bench: Bench) -> None:
    bench.open()
    bench.store.upsert_pod(ours("a", 5))
    bench.store.delete_pod("a", None)
    assert len(bench.begin().snapshot.collected) == 1
    bench.set_status(JobStatus(attempt=1))
    assert bench.begin().snapshot.collected == ()
    assert bench.store.table.gangs == {}


def test_a_failure_is_urgent_and_a_count_is_not(bench: Bench) -> None:
    bench.open()
    for uid in "ab":
        bench.store.upsert_pod(ours(uid, 5, phase=PodPhase.RUNNING, ready=True, node="n"))
    bench.listener.take()
    bench.store.upsert_pod(ours("a", 6, phase=PodPhase.RUNNING, ready=False, node="n"))
    assert bench.listener.take() == [(Target(KEY), False)]
    bench.store.upsert_pod(ours("a", 7, phase=PodPhase.RUNNING, node="n", trainer=TrainerState(True, 1)))
    assert bench.listener.take() == [(Target(KEY), True)]
    bench.store.upsert_pod(ours("b", 8, phase=PodPhase.RUNNING, ready=True, node="n", deletion=3.0))
    assert bench.listener.take() == [(Target(KEY), True)]


def test_pods_of_a_closed_attempt_are_urgent_only_when_the_last_one_ends(bench: Bench) -> None:
    bench.open()
    for uid in "ab":
        bench.store.upsert_pod(ours(uid, 5, ready=True, node="n"))
    bench.set_status(JobStatus(attempt=1))
    bench.store.delete_pod("a", None)
    assert bench.listener.take() == [(Target(KEY), False)]
    bench.store.delete_pod("b", None)
    assert bench.listener.take() == [(Target(KEY), True)]


def test_a_finishing_jobs_pods_may_end_quietly(bench: Bench) -> None:
    bench.open()
    for uid in "ab":
        bench.store.upsert_pod(ours(uid, 5, ready=True, node="n"))
    finishing = Finishing(Phase.SUCCEEDED, Reason.ALL_COMPLETED)
    bench.set_status(replace(bench.job.status, finishing=finishing))
    bench.store.delete_pod("a", None)
    assert bench.listener.take() == [(Target(KEY), False)]


def test_a_node_that_changes_wakes_the_jobs_on_it_and_a_heartbeat_nobody(bench: Bench) -> None:
    bench.open(nodes=("n1", "n2", "n3", "n4"))
    node = NodeView("n2", "u2", {})
    bench.store.upsert_node(node)
    bench.listener.take()
    bench.store.upsert_node(NodeView("n2", "u2", {}))
    assert bench.listener.take() == []
    bench.store.upsert_node(replace(node, ready=NodeReady.UNKNOWN))
    assert bench.listener.take() == [(Target(KEY), True)]
    bench.store.upsert_node(NodeView("n9", "u9", {}))
    assert bench.listener.take() == []
    bench.store.delete_node("n2")
    assert bench.listener.take() == [(Target(KEY), True)]


def test_the_answer_to_a_claims_create_undoes_nothing_that_a_watch_told_before_it(bench: Bench) -> None:
    store = bench.store
    key, answered = Key("default", "c"), ClaimView("default", "c", "uid-c")
    store.claim_answered(answered)
    assert store.claims[key] == answered
    for told in (replace(answered, access_modes=("ReadWriteMany",)), replace(answered, phase="Bound", volume="v")):
        store.upsert_claim(told)
        store.claim_answered(answered)
        assert store.claims[key] == told
    again = replace(answered, uid="uid-d")
    store.claim_answered(again)
    assert store.claims[key] == again, "another claim of that name"


def test_every_silent_node_of_the_cluster_is_told_with_its_time(bench: Bench) -> None:
    def told() -> tuple[dict[str, float], int]:
        snapshot = bench.begin().snapshot
        return dict(snapshot.silent), snapshot.node_count

    nodes = [NodeView(name, f"uid-{name}", {}) for name in ("x1", "x2", "x3")]
    for node in nodes:
        bench.store.upsert_node(node)
    quiet, before = told()
    assert quiet == {}
    for node in nodes[:2]:
        bench.store.upsert_node(replace(node, ready=NodeReady.UNKNOWN, silent_since=7.0))
    assert told() == ({"x1": 7.0, "x2": 7.0}, before)
    bench.store.upsert_node(nodes[0])
    bench.store.delete_node("x2")
    assert told() == ({}, before - 1)
    bench.store.upsert_node(replace(nodes[0], ready=NodeReady.UNKNOWN, silent_since=9.0))
    bench.store.unseen = frozenset({"nodes"})
    assert told() == ({}, 0)


def test_quotas_are_told_which_promised_pods_exist(bench: Bench) -> None:
    bench.open(nodes=("n1", "n1", "n2", ""))

    def promised() -> list[tuple[str, str, bool]]:
        return [(r.namespace, r.node, r.created) for r in cluster_snapshot(bench.store).reservations]

    assert promised() == [("default", node, False) for node in ("n1", "n1", "n2", "")]
    for rank in (0, 1, 3):
        bench.pod(rank)
    assert promised() == [("default", "n1", True), ("default", "n1", True), ("default", "n2", False)]
    bench.listener.capacity = 0
    bench.pod(2)
    assert promised() == [("default", node, True) for node in ("n1", "n1", "n2")]
    assert bench.listener.capacity == 1, "from here on quotas count them all"
    bench.set_status(replace(bench.job.status, gang_created=True))
    assert len(promised()) == 3


@pytest.mark.parametrize("named", ["", "high"])
def test_quotas_are_told_which_class_promised_pods_are_of(bench: Bench, named: str) -> None:
    """As the attempt opened: a spec that is edited later, or beyond reading, changes no pod."""

    def edit(**fields: Any) -> None:
        raw = bench.api.objects[(str(TRAINING_JOBS), "gpt")]
        meta = {**raw["metadata"], "generation": raw["metadata"]["generation"] + 1}
        bench.api.put(TRAINING_JOBS, {**raw, "metadata": meta, "spec": {**raw["spec"], **fields}})
        bench.sync()

    def told() -> set[str | None]:
        return {r.priority_class for r in cluster_snapshot(bench.store).reservations}

    edit(scheduling={"priorityClassName": named} if named else {})
    bench.open()
    assert told() == {named}
    edit(roles="unreadable")
    assert bench.job.spec is None
    assert told() == {named}


def test_a_record_reserves_its_ranks_until_they_are_bound(bench: Bench) -> None:
    bench.open(nodes=("n1", "n1", "n2", "n2"))
    assert Counter(r.node for r in cluster_snapshot(bench.store).reservations) == {"n1": 2, "n2": 2}
    bench.store.upsert_pod(ours("a", 5, rank=1, node="n1"))
    assert Counter(r.node for r in cluster_snapshot(bench.store).reservations) == {"n1": 1, "n2": 2}
    bench.listener.capacity = 0
    bench.set_status(JobStatus(attempt=1))
    assert cluster_snapshot(bench.store).reservations == ()
    assert bench.listener.capacity > 0


def test_a_record_reserves_the_ports_of_its_unbound_ranks(bench: Bench) -> None:
    draft = bench.draft(0, ("n1", "n2", "n3", "n4"))
    role = replace(draft.roles[0], host_ports=(29500,), coordinator_ports=(29501,))
    raw = bench.api.put(CONFIG_MAPS, render_record(bench.job, replace(draft, roles=(role,)), LaunchSettings()))
    bench.store.upsert_record(child_view(raw), record_view(raw))
    bench.store.upsert_pod(ours("a", 5, rank=1, node="n2", host_ports=(29500,)))
    cluster = cluster_snapshot(bench.store)
    reserved = [(r.node, r.host_ports) for r in cluster.reservations]
    assert reserved == [("n1", (29500, 29501)), ("n3", (29500,)), ("n4", (29500,))]
    assert cluster.host_ports == {"n2": {29500}}


def test_pods_whose_job_is_absent_are_planned_by_their_owner(bench: Bench) -> None:
    bench.store.upsert_pod(ours("a", 5, job_uid="job-0", node="n"))
    orphans = Target(KEY, "job-0")
    assert {t for t, _ in bench.listener.take()} == {orphans, Target(KEY)}
    assert orphans in bench.store.targets()
    snapshot = job_snapshot(bench.store, orphans)
    assert snapshot is not None
    assert (snapshot.job, snapshot.uid, len(snapshot.pods)) == (None, "job-0", 1)
    assert len(bench.begin().snapshot.strangers) == 1
    bench.store.delete_pod("a", None)
    assert job_snapshot(bench.store, orphans) is None


def test_a_job_that_vanishes_leaves_its_pods_to_be_confirmed(bench: Bench) -> None:
    bench.open()
    bench.store.upsert_pod(ours("a", 5))
    bench.listener.take()
    bench.store.delete_job("job-1")
    assert (Target(KEY, "job-1"), True) in bench.listener.take()
    assert job_snapshot(bench.store, Target(KEY)) is None


def test_a_list_replaces_what_was_known_but_not_what_is_newer(bench: Bench) -> None:
    sink = pod_sink(bench.store)
    bench.store.upsert_pod(ours("old", 5))
    bench.store.upsert_pod(ours("new", 50))
    sink.replace(PODS, None, [ours("seen", 20)], unreadable=frozenset(), resource_version="30")
    assert set(bench.store.table.pods) == {"new", "seen"}
    sink.replace(PODS, "elsewhere", [], unreadable=frozenset(), resource_version="90")
    assert set(bench.store.table.pods) == {"new", "seen"}


def test_a_terminating_namespace_is_told_to_its_jobs(bench: Bench) -> None:
    bench.store.upsert_namespace(NamespaceView("default", terminating=True))
    assert bench.listener.take() == [(Target(KEY), True)]
    assert bench.begin().snapshot.namespace_terminating


def test_a_refusal_in_other_words_waits_and_one_to_another_effect_does_not(bench: Bench) -> None:
    memory = bench.store.memory
    first = Refusal(KEY, "job-1", Reason.QUOTA_EXCEEDED, "3 of 4 left", until=NOW)
    assert memory.refuse(first)
    assert not memory.refuse(replace(first, message="2 of 4 left"))
    assert memory.refuse(replace(first, until=NOW + 5)), "it would tell of another time"
    assert memory.refuse(replace(first, until=NOW + 5, clear_kept=True)), "something is to be done about it"
    bench.api.clock.at += 30
    assert memory.refuse(replace(first, message="1 of 4 left", until=NOW + 5, clear_kept=True))


def test_facts_last_only_while_they_are_told_without_a_break(bench: Bench) -> None:
    memory, clock = bench.store.memory, bench.api.clock
    memory.remember_facts("job-1", frozenset({"x", "y"}))
    clock.at += 10
    memory.remember_facts("job-1", frozenset({"x"}))
    clock.at += 5
    assert memory.seen("job-1") == {"x": 15}
    memory.remember_facts("job-1", frozenset({"x", "y"}))
    assert memory.seen("job-1") == {"x": 15, "y": 0}


@pytest.mark.parametrize("error", [ValueError, AttributeError, RecursionError])
async def test_a_list_is_taken_over_but_for_what_cannot_be_read(error: type[Exception]) -> None:
    store, api = Store(Listener(), Clock()), FakeApi()
    for name in ("good", "bad"):
        api.put(PODS, {"metadata": {"namespace": "a", "name": name, "uid": f"uid-{name}"}})

    def read(one: dict[str, Any]) -> PodView:
        if one["metadata"]["name"] == "bad":
            raise error
        return PodView("a", "good", "uid-good", 5)

    await take_over(cast(Client, api), pod_sink(store), read, PODS, None)
    assert set(store.table.pods) == {"uid-good"}
