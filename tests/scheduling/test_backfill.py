"""Who may pass a job that waits for room, and what is the one that may not told?"""

from __future__ import annotations

import pytest

from scheduling.builders import NOW, decide, granted, make_cluster, make_gang, node, refused
from trainyard.model.cluster import Avoided, SchedulingPolicy

FULL = make_cluster().racks(1, nodes=4).used("b1-r1-n1", gpus=8)
"""Three of four nodes are free."""
LARGE = make_gang("large", age=600).workers(4)


def test_small_job_of_unknown_length_waits_behind() -> None:
    decision = decide(FULL, LARGE, make_gang("small", age=5).workers(1))
    assert refused(decision) == {"large": "InsufficientCapacity", "small": "BehindOtherJob"}
    told = decision.refusals[1].message
    assert "team/large (ahead by age, waits for 4 pods of 8 nvidia.com/gpu)" in told
    assert "set activeDeadlineSeconds so that this job is sure to have ended by 1970-01-12T14:36:40Z" in told
    assert "kubectl get tj large -n team" in told


@pytest.mark.parametrize(("seconds", "passes"), [(3000.0, True), (3001.0, False), (1.0, True)])
def test_job_that_is_sure_to_end_in_time_passes(seconds: float, passes: bool) -> None:
    small = make_gang("small", age=5, duration_bound=seconds).workers(1)
    assert granted(decide(FULL, LARGE, small)) == (["small"] if passes else [])


def test_bound_runs_from_creation_so_that_many_passers_do_not_add_up() -> None:
    small = make_gang("small", age=5, duration_bound=600.0).workers(1)
    assert granted(decide(FULL, LARGE.having(queued=NOW - 3000), small)) == ["small"]
    old = decide(FULL, LARGE.having(queued=NOW - 3001), small)
    assert granted(old) == []
    ancient = decide(FULL, LARGE.having(queued=NOW - 9999), small)
    assert "What to do: wait for it, or raise scheduling.priorityClassName" in ancient.refusals[1].message


def test_a_job_that_passed_and_restarts_is_judged_by_when_it_ends() -> None:
    small = make_gang("small", age=1900, duration_bound=1800.0, ends_by=NOW + 1600).workers(1)
    ahead = LARGE.having(queued=NOW - 1950)
    assert granted(decide(FULL, ahead, small)) == ["small"], "NOW + 1650 is when J has waited for the bound"
    assert granted(decide(FULL, ahead, small.having(ends_by=NOW + 1700))) == []
    assert granted(decide(FULL, ahead, small.having(ends_by=None))) == []


def test_bound_is_a_setting() -> None:
    policy = SchedulingPolicy(backfill_bound=0.0)
    small = make_gang("small", age=5, duration_bound=1.0).workers(1)
    assert granted(decide(FULL, LARGE, small, policy=policy)) == []


def test_nodes_that_the_waiting_job_cannot_use_are_free_to_take() -> None:
    cluster = FULL.nodes(node("cpu-1", gpus=0), node("small-1", gpus=4), node("other", labels={"pool": "x"}))
    ahead = LARGE.workers(0).having(roles=LARGE.request.roles).on(**{"topology.trainyard.dev/rack": "r1"})
    decision = decide(
        cluster,
        ahead,
        make_gang("cpu", age=5).role("ps", 1),
        make_gang("half", age=4).workers(1, gpus=4),
        make_gang("whole", age=3).workers(1),
        make_gang("more", age=2).workers(1),
    )
    assert {g.key.name: g.nodes for g in decision.grants} == {
        "cpu": ("cpu-1",),
        "half": ("small-1",),
        "whole": ("other",),
    }
    assert refused(decision)["more"] == "BehindOtherJob"


def test_racks_too_small_for_the_waiting_job_are_free_to_take() -> None:
    cluster = FULL.nodes(*(node(f"s{i}", rack="r2", block="b1") for i in range(3)))
    decision = decide(cluster, LARGE.having(required_level="rack"), make_gang("small", age=5).workers(3))
    assert decision.grants[0].nodes == ("s0", "s1", "s2")


def test_priority_is_named_where_it_decides() -> None:
    cluster = FULL.priority("high", 9)
    ahead = make_gang("large", age=1, priority_class="high").workers(4)
    decision = decide(cluster, ahead, make_gang("small", age=900).workers(1))
    assert "team/large (ahead by priority" in decision.refusals[1].message


def test_job_that_waits_behind_another_is_not_passed_either() -> None:
    cluster = make_cluster().racks(1, nodes=4).used("b1-r1-n1", gpus=8).nodes(node("x", labels={"pool": "x"}))
    second = make_gang("second", age=500).workers(2)
    third = make_gang("third", age=5).workers(1).on(pool="x")
    selected = LARGE.on(**{"topology.trainyard.dev/rack": "r1"})
    decision = decide(cluster, selected, second, third)
    assert refused(decision) == {
        "large": "InsufficientCapacity",
        "second": "BehindOtherJob",
        "third": "BehindOtherJob",
    }
    assert "team/second" in decision.refusals[2].message


@pytest.mark.parametrize(
    "stuck",
    [
        make_gang("stuck", age=600).workers(5),
        make_gang("stuck", age=600).workers(1, gpus=9),
        make_gang("stuck", age=600).workers(1).on(pool="none"),
        make_gang("stuck", age=600, not_before=NOW + 9).workers(4),
        make_gang("stuck", age=600, claim="missing").workers(4),
    ],
)
def test_job_that_could_not_start_anyway_holds_nobody_up(stuck: object) -> None:
    decision = decide(FULL, stuck, make_gang("small", age=5).workers(1))  # type: ignore[arg-type]
    assert granted(decision) == ["small"]


def test_job_that_waits_for_broken_nodes_holds_nobody_up() -> None:
    cluster = FULL.change("b1-r1-n4", unschedulable=True)
    decision = decide(cluster, LARGE, make_gang("small", age=5).workers(1))
    assert refused(decision) == {"large": "NotReadyNodes"}
    assert granted(decision) == ["small"]


def test_avoided_nodes_still_count_as_useful_since_they_come_back() -> None:
    avoiding = make_gang("large", age=600, avoid=Avoided(frozenset({"b1-r1-n2"}))).workers(4)
    cluster = make_cluster().racks(1, nodes=4)
    assert granted(decide(cluster, avoiding, make_gang("small", age=5).workers(1))) == []


def test_strictest_of_two_waiting_jobs_counts() -> None:
    cluster = FULL.priority("high", 9)
    young_high = make_gang("first", age=10, priority_class="high").workers(4)
    small = make_gang("small", age=5, duration_bound=3200.0).workers(1)
    decision = decide(cluster, young_high, LARGE, small)
    assert refused(decision)["small"] == "BehindOtherJob"
    assert "team/first" in decision.refusals[2].message
    assert "ended by 1970-01-12T14:36:40Z" in decision.refusals[2].message
    assert granted(decide(cluster, young_high, small)) == ["small"]


def test_passing_job_uses_only_the_nodes_it_may() -> None:
    cluster = FULL.nodes(node("free", labels={"pool": "x"}))
    bound_to_rack = LARGE.on(**{"topology.trainyard.dev/rack": "r1"})
    decision = decide(cluster, bound_to_rack, make_gang("two", age=5).workers(2, gpus=4))
    assert decision.grants[0].nodes == ("free", "free")


def test_job_that_needs_what_daemons_use_on_every_node_can_never_start_and_holds_nobody_up() -> None:
    cluster = make_cluster().racks(1, nodes=2).resident("b1-r1-n1", cpu=500).resident("b1-r1-n2", cpu=200)
    whole = make_gang("whole").workers(1, cpu="96")
    decision = decide(cluster, whole, make_gang("small", age=5).workers(1))
    assert refused(decision) == {"whole": "UnsatisfiableResource"} and granted(decision) == ["small"]
    assert "where the largest has 95.8" in decision.refusals[0].message
    assert granted(decide(cluster, make_gang("fits").workers(1, cpu="95.8"))) == ["fits"]
