"""Which nodes may hold a pod? Labels, affinity, taints, cordons, readiness, owned nodes."""

from __future__ import annotations

import pytest

from scheduling.builders import NOW, decide, grant, granted, make_cluster, make_gang, node, refusal, refused
from trainyard.api.reasons import Reason
from trainyard.model.cluster import Avoided, SchedulingPolicy
from trainyard.model.instants import format_instant
from trainyard.model.views import NodeReady, NodeTerms, Requirement, Taint, Toleration
from trainyard.scheduling.filters import requirement_holds, terms_hold, tolerates

ZONED = node("n1", labels={"zone": "a", "gen": "9", "word": "x"})
GPU_TAINT = Taint("nvidia.com/gpu", "present", "NoSchedule")


@pytest.mark.parametrize(
    ("requirement", "holds"),
    [
        (Requirement("zone", "In", ("a", "b")), True),
        (Requirement("zone", "In", ("b",)), False),
        (Requirement("none", "In", ("a",)), False),
        (Requirement("zone", "NotIn", ("a",)), False),
        (Requirement("zone", "NotIn", ("b",)), True),
        (Requirement("none", "NotIn", ("a",)), True),
        (Requirement("zone", "Exists"), True),
        (Requirement("none", "Exists"), False),
        (Requirement("zone", "DoesNotExist"), False),
        (Requirement("none", "DoesNotExist"), True),
        (Requirement("gen", "Gt", ("8",)), True),
        (Requirement("gen", "Gt", ("9",)), False),
        (Requirement("gen", "Lt", ("10",)), True),
        (Requirement("gen", "Lt", ("9",)), False),
        (Requirement("word", "Gt", ("1",)), False),
        (Requirement("none", "Lt", ("1",)), False),
        (Requirement("gen", "Gt", ("1", "2")), False),
        (Requirement("zone", "Like", ("a",)), False),
        (Requirement("metadata.name", "In", ("n1",), on_field=True), True),
        (Requirement("metadata.name", "NotIn", ("n1",), on_field=True), False),
    ],
)
def test_requirement(requirement: Requirement, holds: bool) -> None:
    assert requirement_holds(requirement, ZONED) is holds


@pytest.mark.parametrize(
    ("terms", "hold"),
    [
        ((), True),
        (((Requirement("zone", "Exists"), Requirement("gen", "Gt", ("8",))),), True),
        (((Requirement("zone", "Exists"), Requirement("gen", "Gt", ("9",))),), False),
        (((Requirement("zone", "In", ("b",)),), (Requirement("zone", "In", ("a",)),)), True),
        (((),), False),
    ],
)
def test_terms_are_alternatives_of_requirements(terms: NodeTerms, hold: bool) -> None:
    assert terms_hold(terms, ZONED) is hold


@pytest.mark.parametrize(
    ("toleration", "does"),
    [
        (Toleration("nvidia.com/gpu", "Exists"), True),
        (Toleration("nvidia.com/gpu", "Equal", "present"), True),
        (Toleration("nvidia.com/gpu", "", "present"), True),
        (Toleration("nvidia.com/gpu", "Equal", "absent"), False),
        (Toleration("", "Exists"), True),
        (Toleration("", "Equal", "present"), False),
        (Toleration("other", "Exists"), False),
        (Toleration("nvidia.com/gpu", "Exists", "", "NoSchedule"), True),
        (Toleration("nvidia.com/gpu", "Exists", "", "NoExecute"), False),
    ],
)
def test_toleration(toleration: Toleration, does: bool) -> None:
    assert tolerates(toleration, GPU_TAINT) is does


def test_only_healthy_untainted_nodes_are_chosen() -> None:
    cluster = make_cluster().nodes(
        node("cordoned", unschedulable=True),
        node("deleting", deleting=True),
        node("fine"),
        node("gone", ready=NodeReady.UNKNOWN),
        node("ill", ready=NodeReady.FALSE),
        node("soft", taints=(Taint("x", "", "PreferNoSchedule"),)),
        node("tainted", taints=(GPU_TAINT,)),
    )
    assert set(grant(cluster, make_gang("a").workers(2)).nodes) == {"fine", "soft"}
    told = refusal(cluster, make_gang("a").workers(3))
    assert told.reason is Reason.NOT_READY_NODES
    assert "1 node tainted, 3 nodes not ready, 1 node cordoned" in told.message
    assert "the cluster would have room for 2 of 3 pods" in told.message


def test_tolerated_taint_is_no_obstacle() -> None:
    cluster = make_cluster().nodes(node("n1", taints=(GPU_TAINT,)))
    tolerant = make_gang("a").workers(1, tolerations=(Toleration("nvidia.com/gpu", "Exists"),))
    assert grant(cluster, tolerant).nodes == ("n1",)
    told = refusal(cluster, make_gang("a").workers(1))
    assert told.reason is Reason.NO_SUITABLE_NODE
    assert "1 node tainted" in told.message
    assert "add a toleration" in told.message


def test_selector_and_affinity() -> None:
    cluster = make_cluster().nodes(node("a", labels={"pool": "x"}), node("b", labels={"pool": "y"}), node("c"))
    assert grant(cluster, make_gang("j").workers(1).on(pool="y")).nodes == ("b",)
    other = ((Requirement("pool", "DoesNotExist"),),)
    assert grant(cluster, make_gang("j").workers(1, terms=other)).nodes == ("c",)
    told = refusal(cluster, make_gang("j").workers(1).on(pool="z"))
    assert told.reason is Reason.NO_SUITABLE_NODE
    assert "none of the 3 nodes matches its node selector pool=z" in told.message


def test_nodes_of_others_are_not_touched() -> None:
    policy = SchedulingPolicy(owned_nodes=(("team", "ml"),))
    cluster = make_cluster().nodes(node("a"), node("b", labels={"team": "ml"}))
    assert grant(cluster, make_gang("j").workers(1), policy).nodes == ("b",)
    assert refusal(cluster, make_gang("j").workers(2), policy).reason is Reason.UNSATISFIABLE_RESOURCE


def test_no_nodes_at_all() -> None:
    told = refusal(make_cluster(), make_gang("j").workers(1))
    assert told.reason is Reason.NO_SUITABLE_NODE
    assert "there is no node to place it on" in told.message


def test_blamed_nodes_are_avoided_and_counted() -> None:
    cluster = make_cluster().racks(1, nodes=2)
    gang = make_gang("a", avoid=Avoided(frozenset({"b1-r1-n1", "unknown"}), until=NOW + 60))
    assert grant(cluster, gang.workers(1)).nodes == ("b1-r1-n2",)
    told = refusal(cluster, gang.workers(2))
    assert told.reason is Reason.INSUFFICIENT_CAPACITY
    when = format_instant(NOW + 60)
    assert f"room for 1 of 2 pods now (1 node avoided after failed starts, until {when} at the latest)" in told.message


def test_a_node_that_was_only_taken_away_is_used_again_where_there_is_no_other() -> None:
    cluster, lost = make_cluster().racks(1, nodes=3), frozenset({"b1-r1-n1"})
    gang = make_gang("a", avoid=Avoided(away=lost))
    assert grant(cluster, gang.workers(2)).nodes == ("b1-r1-n2", "b1-r1-n3")
    assert set(grant(cluster, gang.workers(3)).nodes) == {"b1-r1-n1", "b1-r1-n2", "b1-r1-n3"}
    silent = cluster.change("b1-r1-n1", ready=NodeReady.UNKNOWN)
    told = refusal(silent, gang.workers(3))
    assert told.reason is Reason.NOT_READY_NODES and "avoided" not in told.message


def test_where_a_start_failed_is_no_last_resort() -> None:
    cluster = make_cluster().racks(1, nodes=3)
    gang = make_gang("a", avoid=Avoided(failed=frozenset({"b1-r1-n2"}), away=frozenset({"b1-r1-n1"})))
    assert "b1-r1-n2" not in grant(cluster, gang.workers(2)).nodes
    assert "room for 2 of 3 pods now (1 node avoided after failed starts" in refusal(cluster, gang.workers(3)).message


def test_promised_host_ports_are_taken_too() -> None:
    cluster = make_cluster().racks(1, nodes=2).reserved("b1-r1-n1", gpus=1, ports=(29500, 29501))
    gang = make_gang("a").workers(1, gpus=1, host_ports=(29500,))
    assert grant(cluster, gang).nodes == ("b1-r1-n2",)
    both = cluster.reserved("b1-r1-n2", gpus=1, ports=(29500,))
    assert refusal(both, gang).reason is Reason.INSUFFICIENT_CAPACITY
    assert granted(decide(both, make_gang("a").workers(1, gpus=1, host_ports=(29502,)))) == ["a"]


def test_host_ports_are_taken_once_per_node() -> None:
    cluster = make_cluster().racks(1, nodes=3).ports("b1-r1-n1", 29500)
    gang = make_gang("a").workers(2, gpus=1, host_ports=(29500,))
    assert grant(cluster, gang).nodes == ("b1-r1-n2", "b1-r1-n3")
    both = gang.role("ps", 1, host_ports=(29500,))
    assert refusal(cluster, both).reason is Reason.INSUFFICIENT_CAPACITY
    assert sorted(grant(cluster.nodes(node("n4")), both).nodes) == ["b1-r1-n2", "b1-r1-n3", "n4"]
    decision = decide(cluster, gang, make_gang("b", age=1).workers(1, gpus=1, host_ports=(29500,)))
    assert [len(g.nodes) for g in decision.grants] == [2]
    assert "room for 0 of 1 pod now" in decision.refusals[0].message


def test_a_port_of_the_coordinator_alone_keeps_no_pods_apart() -> None:
    cluster = make_cluster().racks(1, nodes=2)
    gang = make_gang("a").workers(4, gpus=4, coordinator_ports=(29500,))
    assert grant(cluster, gang).nodes == ("b1-r1-n1",) * 2 + ("b1-r1-n2",) * 2


def test_the_coordinator_stands_where_its_port_is_free_and_the_others_anywhere() -> None:
    cluster = make_cluster().racks(1, nodes=2).ports("b1-r1-n1", 29500)
    gang = make_gang("a").workers(4, gpus=4, coordinator_ports=(29500,))
    assert grant(cluster, gang).nodes == ("b1-r1-n2", "b1-r1-n1", "b1-r1-n1", "b1-r1-n2")
    told = refusal(cluster.ports("b1-r1-n2", 29500), gang)
    assert told.reason is Reason.INSUFFICIENT_CAPACITY
    assert "room for all of them, but no node where the coordinator's port (29500) is free now" in told.message
    cramped = cluster.ports("b1-r1-n2", 29500).nodes(node("n3", gpus=4))
    assert grant(cramped, gang).nodes == ("n3", "b1-r1-n1", "b1-r1-n1", "b1-r1-n2"), (
        "one moves, though two nodes would do"
    )


def test_two_coordinators_with_one_port_stand_apart_and_jobs_behind_see_it_taken() -> None:
    cluster = make_cluster().racks(1, nodes=2)
    worlds = make_gang("a").workers(2, gpus=1, coordinator_ports=(29500,))
    worlds = worlds.role("jax", 2, gpus=1, coordinator_ports=(29500,))
    nodes = grant(cluster, worlds).nodes
    assert nodes[0] != nodes[2]
    behind = make_gang("b", age=1).workers(1, gpus=1, coordinator_ports=(29500,))
    decision = decide(cluster, worlds, behind)
    assert refused(decision) == {"b": "InsufficientCapacity"}


def test_spread_roles_stand_one_to_a_node() -> None:
    cluster = make_cluster().racks(1, nodes=3)
    assert len(set(grant(cluster, make_gang("a").workers(3, gpus=1, spread_hosts=True)).nodes)) == 3


def test_who_waits_for_room_is_told_of_pods_of_others_on_the_nodes_that_suit_it() -> None:
    policy = SchedulingPolicy(owned_nodes=(("team", "ml"),))
    nodes = [node(f"n{i}", labels={"team": "ml"}) for i in range(3)]
    cluster = make_cluster().nodes(*nodes, node("theirs")).used("n1", gpus=8).used("n2", gpus=8)
    gang = make_gang("a").workers(3)
    told = refusal(cluster.foreign(theirs=1, n0=0, n1=2, n2=1), gang, policy)
    assert told.reason is Reason.INSUFFICIENT_CAPACITY
    assert "; on 2 nodes pods of others use accelerators, first n1." in told.message
    assert "of others" not in refusal(cluster.foreign(theirs=1), gang, policy).message
