"""When is a silent node believed dead, and when is the control plane believed deaf?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from builders import JobBuilder, make_job, make_node
from builders.pods import unknown
from planning.support import PATIENT, at_rest, last_episode, running_job
from trainyard.api.reasons import Cause, ConditionType, Phase, Reason
from trainyard.model.instants import format_instant
from trainyard.model.plan import DeletePods, Plan, WriteStatus
from trainyard.model.status import parse_status, render_status
from trainyard.model.views import NodeReady
from trainyard.planning import plan
from trainyard.planning.silence import AFTERMATH, MOMENT, RIPPLE, TOGETHER
from trainyard.planning.situation import SHAKEN

PATIENCE = PATIENT.outage_seconds


def in_a_cluster_of(nodes: int, **failure_policy: object) -> JobBuilder:
    """Four ranks run on n0 to n3; the others are m0, m1, m2 ..."""
    job = running_job(**failure_policy)  # type: ignore[arg-type]
    return beside(job, nodes - job.size)


def beside(job: JobBuilder, count: int) -> JobBuilder:
    """So many other nodes are in its cluster."""
    job.other_nodes = {name: make_node(name) for name in others(count)}
    return job


def fall_silent(job: JobBuilder, *names: str) -> JobBuilder:
    for name in names:
        home = job.nodes if name in job.nodes else job.other_nodes
        home[name] = unknown(home[name], job.now)
    return job


def others(count: int) -> Iterable[str]:
    return (f"m{i}" for i in range(count))


def others_return(job: JobBuilder) -> JobBuilder:
    job.other_nodes = {name: make_node(name) for name in job.other_nodes}
    return job


def looked(job: JobBuilder) -> Plan:
    """One pass, its status written."""
    found = plan(job.snapshot(), job.now, PATIENT)
    job.noted(found.facts)
    for step in found.steps:
        if isinstance(step, WriteStatus):
            job.status = parse_status(render_status(step.status))
    return found


def lives(job: JobBuilder) -> bool:
    """The attempt stays open over two passes, the second of which writes nothing, and another is due."""
    looked(job)
    found = looked(job)
    assert not job.status.open or found.steps == ()
    return job.status.open and found.requeue_at is not None


def told(job: JobBuilder) -> str:
    """What the job says of its silent nodes."""
    running = job.status.condition(ConditionType.RUNNING)
    assert running is not None and running.status is True and running.reason is Reason.NODES_SILENT
    assert job.status.phase is Phase.RUNNING
    return running.message


def test_a_node_that_falls_silent_alone_is_believed_dead_after_a_moment() -> None:
    job = fall_silent(in_a_cluster_of(100), "n2")
    assert lives(job)
    assert job.status.reason is Reason.ALL_RANKS_RUNNING, "a moment is not worth a write"
    assert lives(job.passed(MOMENT - 1))
    assert not lives(job.passed(1))
    episode = last_episode(job)
    assert (episode.cause, episode.reason, episode.node) == (Cause.DISRUPTION, Reason.NODE_UNREACHABLE, "n2")


def test_a_rack_that_falls_silent_is_believed_dead_once_the_silence_no_longer_spreads() -> None:
    job = fall_silent(in_a_cluster_of(100), "n2")
    assert lives(job)
    fall_silent(job.passed(2), "n3", *others(6))
    assert lives(job.passed(2))
    assert lives(job.passed(RIPPLE - 1))
    assert job.status.reason is Reason.ALL_RANKS_RUNNING
    assert not lives(job.passed(1))


def test_the_last_of_several_has_the_time_of_several() -> None:
    job = fall_silent(in_a_cluster_of(100), "n2", "m1")
    assert lives(job)
    job.passed(2).other_nodes["m1"] = make_node("m1")
    assert lives(job)
    assert lives(job.passed(RIPPLE - 1))
    assert not lives(job.passed(1))


def test_one_that_returns_while_another_falls_silent_is_a_silence_that_moves() -> None:
    job = fall_silent(in_a_cluster_of(100), "n2", "m1")
    assert lives(job)
    job.passed(RIPPLE - 1).other_nodes["m1"] = make_node("m1")
    assert lives(fall_silent(job, "m2"))
    assert lives(job.passed(RIPPLE - 1))
    assert not lives(job.passed(1))


@pytest.mark.parametrize("before", [TOGETHER, 86_400.0])
def test_nodes_that_were_silent_before_say_nothing(before: float) -> None:
    job = fall_silent(in_a_cluster_of(100), *others(80)).passed(before)
    assert lives(fall_silent(job, "n1"))
    assert not lives(job.passed(MOMENT))


def test_while_a_silence_spreads_nobody_is_given_up_but_not_for_ever() -> None:
    job = in_a_cluster_of(10_000)
    began = job.now
    fall_silent(job, "n0")
    while True:
        fall_silent(job, *(f"m{i}" for i in range(5 * int(job.now - began), 5 * int(job.now - began) + 5)))
        if not lives(job):
            break
        job.passed(5)
    assert job.now - began == PATIENCE


def test_where_most_nodes_are_silent_the_gang_is_left_alone_and_says_until_when() -> None:
    job = in_a_cluster_of(100)
    begun = job.now
    fall_silent(job, "n1", *others(60))
    looked(job)
    assert format_instant(begun + PATIENCE) in told(job)
    for _ in range(29):
        assert lives(job.passed(10)), "and writes nothing more"
    assert not lives(job.passed(10))
    assert last_episode(job).reason is Reason.NODE_UNREACHABLE


def test_an_outage_that_ends_leaves_no_trace() -> None:
    job = fall_silent(in_a_cluster_of(10), *(f"n{i}" for i in range(4)), *others(6))
    assert lives(job)
    others_return(job)
    for name in ("n0", "n1", "n2", "n3"):
        job.passed(20).node_ready(name)
        looked(job)
    looked(job)
    assert (job.status.attempt, job.status.reason) == (0, Reason.ALL_RANKS_RUNNING)
    assert job.status.restarts.total == 0 and not job.status.episodes


def test_at_the_end_of_an_outage_the_last_nodes_have_time_to_come_back() -> None:
    job = fall_silent(in_a_cluster_of(10), "n1", *others(6))
    assert lives(job)
    others_return(job.passed(60))
    assert lives(job)
    told(job)
    assert lives(job.passed(AFTERMATH - 1))
    assert not lives(job.passed(1)), "it is dead"


def test_a_new_leader_gives_nobody_up_at_first_sight() -> None:
    """Nor does it compare its clock with the one by which the nodes fell silent."""
    job = fall_silent(in_a_cluster_of(10), "n1", *others(6)).passed(2 * PATIENCE)
    assert lives(job)
    assert format_instant(job.now + PATIENCE) in told(job)
    assert lives(job.passed(PATIENCE - 1))
    assert not lives(job.passed(1))


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ("failed", Reason.APPLICATION_FAILURE),
        ("deleted", Reason.POD_DELETED),
        ("evicted", Reason.EVICTED),
        ("gone", Reason.POD_DELETED),
    ],
)
def test_whatever_else_happens_to_a_rank_ends_the_doubt_and_is_told(event: str, reason: Reason) -> None:
    job = fall_silent(in_a_cluster_of(10), "n1", *others(6))
    assert lives(job)
    getattr(job, event)(0)
    found = looked(job)
    assert not any(isinstance(step, DeletePods) for step in found.steps)
    episode = last_episode(job)
    assert (episode.rank, episode.reason, episode.pod) == (0, reason, job.pod_name(0, attempt=0))


@pytest.mark.parametrize("later", [0.0, 1.0, SHAKEN - 1])
def test_what_fails_when_its_node_is_back_is_not_charged(later: float) -> None:
    """A node that was switched off and on: it is Ready before its kubelet tells that the containers are dead."""
    job = fall_silent(in_a_cluster_of(10, maxRestarts=0), "n1", *others(6))
    assert lives(job)
    others_return(job.passed(50)).node_ready("n1")
    looked(job)
    if later:
        assert lives(job.passed(later))
    job.failed(1, code=255)
    looked(job)
    assert last_episode(job).reason is Reason.APPLICATION_FAILURE
    looked(job)
    episode = last_episode(job)
    assert (episode.cause, episode.settled, episode.charged) == (Cause.DISRUPTION, True, False)
    assert "fallen silent shortly before" in episode.message and job.status.restarts.disruption == 1


def test_what_fails_in_another_attempt_is_charged() -> None:
    job = fall_silent(in_a_cluster_of(100, maxRestarts=0), "n1")
    looked(job)
    looked(job.passed(MOMENT))
    assert last_episode(job).reason is Reason.NODE_UNREACHABLE
    job.swept().probed().opened(None, "n0", "n2", "n3", "n4").running()
    looked(job)
    looked(job.passed(1).failed(0))
    looked(job)
    assert last_episode(job).attempt == 1 and not last_episode(job).settled


def test_the_node_of_the_first_to_fail_is_not_blamed_for_anothers_silence() -> None:
    job = fall_silent(in_a_cluster_of(10), "n1", *others(6))
    assert lives(job)
    others_return(job).node_ready("n1")
    looked(job)
    looked(job.failed(3))
    looked(job)
    episode = last_episode(job)
    assert (episode.cause, episode.node) == (Cause.DISRUPTION, "") and "on n3" in episode.message


def test_what_fails_long_after_is_charged() -> None:
    job = fall_silent(in_a_cluster_of(10), "n1", *others(6))
    assert lives(job)
    others_return(job).node_ready("n1")
    looked(job)
    looked(job.passed(SHAKEN))
    looked(job.passed(1))
    looked(job.failed(1))
    looked(job)
    assert not last_episode(job).settled and not job.status.open


def test_a_gang_that_none_of_the_silent_nodes_belongs_to_is_not_concerned() -> None:
    job = fall_silent(in_a_cluster_of(10), *others(6))
    found = looked(job)
    assert found.steps == () and found.requeue_at is None


# Ranks beside which no other attempt could open


def test_a_gang_that_fell_silent_whole_is_left_alone_since_none_could_open_beside_it() -> None:
    job = running_job(2)
    beside(job, 50)
    looked(fall_silent(job, "n0"))
    assert lives(fall_silent(job, "n1"))
    assert "kubectl delete node n0" in told(job)
    assert lives(job.passed(PATIENCE - 1))
    assert not lives(job.passed(1))


def test_when_it_is_heard_of_again_its_last_nodes_have_time_to_come_back() -> None:
    job = running_job(2)
    beside(job, 50)
    assert lives(fall_silent(job, "n0", "n1"))
    job.passed(60).node_ready("n0")
    assert lives(job)
    assert "n1" in told(job) and "n0" not in told(job)
    assert lives(job.passed(AFTERMATH - 1))
    assert not lives(job.passed(1))


def test_it_is_given_up_at_once_where_its_node_is_said_to_be_off() -> None:
    job = fall_silent(running_job(1), "n0")
    assert lives(job.passed(10))
    looked(job.node_gone("n0"))
    assert not job.status.open and last_episode(job).reason is Reason.NODE_LOST


@pytest.mark.parametrize(("action", "waits"), [("Wait", True), ("Proceed", False)])
def test_the_owners_word_counts(action: str, waits: bool) -> None:
    job = running_job(2, deadNode={"action": action})
    beside(job, 50)
    fall_silent(job, "n0") if waits else fall_silent(job, "n0", "n1")
    assert lives(job)
    assert lives(job.passed(RIPPLE)) is waits


def test_each_world_is_judged_by_itself() -> None:
    job = make_job().workers(2).role("eval", 1, framework="jax").opened().running()
    at_rest(job)
    beside(job, 50)
    assert lives(fall_silent(job, "n2"))
    told(job)
    job.node_ready("n2")
    looked(job.passed(2 * SHAKEN))
    looked(job)
    assert lives(fall_silent(job, "n1"))
    assert not lives(job.passed(MOMENT))


def test_a_starting_gang_that_is_bound_says_so_too() -> None:
    job = at_rest(make_job().workers(4).opened().created_gang().bound().started(0, 1))
    looked(fall_silent(job, "n0", "n1", "n2"))
    assert (job.status.phase, job.status.reason) == (Phase.STARTING, Reason.NODES_SILENT)


@pytest.mark.parametrize("unbound", [0, 3])
def test_one_that_is_not_bound_whole_is_given_up_at_once(unbound: int) -> None:
    bound = [rank for rank in range(4) if rank != unbound]
    job = at_rest(make_job().workers(4).opened().created_gang().bound(*bound))
    looked(fall_silent(job, "n0", "n1", "n2"))
    assert not job.status.open and last_episode(job).reason is Reason.NODE_UNREACHABLE


def test_a_start_that_is_late_for_its_silent_nodes_bars_none_of_them() -> None:
    job = at_rest(make_job().workers(4).spec(scheduling={"startDeadlineSeconds": 60}).opened().created_gang().bound())
    looked(fall_silent(job, "n0", "n1", "n2"))
    looked(job.passed(119))
    looked(job.passed(1))
    assert last_episode(job).reason is Reason.NOT_READY_NODES


def test_a_start_that_is_late_since_its_nodes_were_silent_bars_none_of_them_either() -> None:
    job = at_rest(make_job().workers(4).spec(scheduling={"startDeadlineSeconds": 60}).opened().created_gang().bound())
    looked(fall_silent(job, "n1", "n2", "n3"))
    for name in ("n1", "n2", "n3"):
        job.node_ready(name)
    looked(job.passed(119))
    looked(job.passed(1))
    assert last_episode(job).reason is Reason.NOT_READY_NODES


def test_a_server_whose_pod_is_gone_since_it_has_served_makes_no_difference() -> None:
    job = make_job().workers(3).role("ps", 1, completes=False).opened().running()
    beside(job, 6)
    at_rest(at_rest(job).succeeded(0))
    at_rest(job.succeeded(3).gone(3))
    assert lives(fall_silent(job, "n1", *others(6)))
    assert "n3" not in told(job)


def test_delegated_gangs_are_judged_by_where_their_pods_are() -> None:
    job = make_job().workers(4).spec(scheduling={"placement": "Delegated"}).opened().running()
    at_rest(job)
    home = job.pods[job.pod_name(1)].node
    beside(job, 6)
    fall_silent(job, home, *others(6))
    assert lives(job)
    told(job)


def test_patience_can_be_switched_off() -> None:
    job = fall_silent(in_a_cluster_of(10), "n1", *others(6))
    hasty = replace(PATIENT, outage_seconds=0.0)
    (step,) = plan(job.snapshot(), job.now, hasty).steps
    assert isinstance(step, WriteStatus) and not step.status.open


def test_a_node_that_was_never_told_ready_is_no_exception() -> None:
    job = in_a_cluster_of(100)
    job.nodes["n1"] = replace(job.nodes["n1"], ready=NodeReady.UNKNOWN)
    assert lives(job)
    assert not lives(job.passed(MOMENT))
