"""Who comes first? Priority, then age, then name; and exactly one of two that fit only alone."""

from __future__ import annotations

import itertools

from scheduling.builders import decide, granted, make_cluster, make_gang, refused


def test_older_job_goes_first() -> None:
    cluster = make_cluster().racks(1, nodes=2)
    decision = decide(cluster, make_gang("young", age=10).workers(2), make_gang("old", age=20).workers(2))
    assert granted(decision) == ["old"]
    assert refused(decision) == {"young": "InsufficientCapacity"}


def test_priority_beats_age() -> None:
    cluster = make_cluster().racks(1, nodes=2).priority("high", 100)
    urgent = make_gang("urgent", age=1, priority_class="high").workers(2)
    assert granted(decide(cluster, make_gang("old", age=900).workers(2), urgent)) == ["urgent"]


def test_default_class_counts_for_jobs_that_name_none() -> None:
    cluster = make_cluster().racks(1, nodes=2).priority("usual", 50, is_default=True).priority("low", 10)
    low = make_gang("low", age=900, priority_class="low").workers(2)
    assert granted(decide(cluster, low, make_gang("usual", age=1).workers(2))) == ["usual"]


def test_of_several_default_classes_the_lowest_counts() -> None:
    """As the API server's admission has it; two of them come from a race of those who made them."""
    cluster = make_cluster().racks(1, nodes=2).priority("usual", 50, is_default=True).priority("low", 10)
    cluster = cluster.priority("other", 5, is_default=True)
    low = make_gang("low", age=1, priority_class="low").workers(2)
    assert granted(decide(cluster, low, make_gang("usual", age=900).workers(2))) == ["low"]


def test_equal_jobs_are_ordered_by_name_whatever_the_order_of_arrival() -> None:
    cluster = make_cluster().racks(1, nodes=2)
    gangs = [make_gang(name).workers(1) for name in ("c", "a", "b")]
    decisions = {repr(decide(cluster, *order)) for order in itertools.permutations(gangs)}
    assert len(decisions) == 1
    assert granted(decide(cluster, *gangs)) == ["a", "b"]


def test_two_gangs_that_fit_only_alone_exactly_one_is_granted() -> None:
    cluster = make_cluster().racks(1, nodes=4)
    decision = decide(cluster, make_gang("a").workers(3), make_gang("b").workers(3))
    assert granted(decision) == ["a"]
    assert refused(decision) == {"b": "InsufficientCapacity"}
    assert "room for 1 of 3 pods" in decision.refusals[0].message


def test_no_requests_no_outcome() -> None:
    decision = decide(make_cluster().racks(1, nodes=1))
    assert (decision.grants, decision.refusals) == ((), ())
