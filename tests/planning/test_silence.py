"""When is a silent node believed dead, and when is the control plane believed deaf?"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from builders import JobBuilder, make_job, make_node
from builders.pods import unknown
from planning.support import PATIENT, at_rest, last_episode, running_job
from trainyard.api.reasons import Cause, ConditionType, Phase, Reason
from trainyard.model.instants import format_instant
from trainyard.model.plan import Plan, WriteStatus
from trainyard.model.status import parse_status, render_status
from trainyard.planning import plan
from trainyard.planning.silence import MOMENT, RIPPLE


def in_a_cluster_of(nodes: int) -> JobBuilder:
    """Four ranks run on n0 to n3; the others are m0, m1, m2 ..."""
    job = running_job()
    job.other_nodes = {f"m{i}": make_node(f"m{i}") for i in range(nodes - job.size)}
    return job


def fall_silent(job: JobBuilder, *names: str) -> JobBuilder:
    for name in names:
        home = job.nodes if name in job.nodes else job.other_nodes
        home[name] = unknown(home[name], job.now)
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
    """The attempt stays open over two passes, and another is due."""
    looked(job)
    found = looked(job)
    assert not job.status.open or found.steps == ()
    return job.status.open and found.requeue_at is not None


def others(count: int) -> Iterable[str]:
    return (f"m{i}" for i in range(count))


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
    assert lives(job)
    assert lives(job.passed(RIPPLE - 1))
    assert not lives(job.passed(1))


def test_nodes_that_were_silent_long_before_say_nothing() -> None:
    job = fall_silent(in_a_cluster_of(100), *others(80)).passed(PATIENT.outage_seconds)
    assert lives(fall_silent(job, "n1"))
    assert not lives(job.passed(MOMENT))


def test_while_a_silence_spreads_nobody_is_given_up() -> None:
    job = in_a_cluster_of(1000)
    for wave in range(10):
        fall_silent(job, f"n{wave % 4}", *(f"m{i}" for i in range(20 * wave, 20 * wave + 20)))
        assert lives(job)
        job.passed(RIPPLE - 1)
    assert job.status.reason is Reason.NODES_SILENT
    looked(job.passed(1))
    assert not job.status.open


def test_where_most_nodes_are_silent_the_gang_is_left_alone_and_says_until_when() -> None:
    job = in_a_cluster_of(100)
    begun = job.now
    fall_silent(job, "n1", *others(60))
    looked(job)
    running = job.status.condition(ConditionType.RUNNING)
    assert running is not None and running.status is True and running.reason is Reason.NODES_SILENT
    assert format_instant(begun + PATIENT.outage_seconds) in running.message
    for _ in range(29):
        assert lives(job.passed(10))
    assert job.status.phase is Phase.RUNNING
    assert not lives(job.passed(10))
    assert last_episode(job).reason is Reason.NODE_UNREACHABLE


def test_an_outage_that_ends_leaves_no_trace() -> None:
    job = fall_silent(in_a_cluster_of(10), *(f"n{i}" for i in range(4)), *others(6))
    assert lives(job)
    for name in ("n0", "n1", "n2", "n3"):
        job.passed(20).node_ready(name)
    looked(job)
    assert (job.status.attempt, job.status.reason) == (0, Reason.ALL_RANKS_RUNNING)
    assert job.status.restarts.total == 0 and not job.status.episodes


def test_a_node_that_stays_silent_when_the_others_are_back_is_dead() -> None:
    job = fall_silent(in_a_cluster_of(10), "n1", *others(6))
    assert lives(job)
    job.other_nodes = {name: make_node(name) for name in job.other_nodes}
    assert lives(job.passed(60)), "one more moment: the outage has only just ended"
    assert not lives(job.passed(MOMENT))


@pytest.mark.parametrize("event", ["failed", "deleted", "evicted", "gone"])
def test_whatever_else_happens_to_a_rank_ends_the_doubt(event: str) -> None:
    job = fall_silent(in_a_cluster_of(10), "n1", *others(6))
    assert lives(job)
    getattr(job, event)(0)
    assert not lives(job)


def test_a_gang_that_none_of_the_silent_nodes_belongs_to_is_not_concerned() -> None:
    job = fall_silent(in_a_cluster_of(10), *others(6))
    found = looked(job)
    assert found.steps == () and found.requeue_at is None


def test_too_few_nodes_to_tell_are_believed_dead_after_one_more_look() -> None:
    job = running_job(2)
    assert lives(fall_silent(job, "n0", "n1"))
    assert not lives(job.passed(RIPPLE))


def test_a_starting_gang_says_so_too() -> None:
    job = at_rest(make_job().workers(4).opened().created_gang().bound().started(0, 1))
    looked(fall_silent(job, "n0", "n1", "n2"))
    assert (job.status.phase, job.status.reason) == (Phase.STARTING, Reason.NODES_SILENT)
