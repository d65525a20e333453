"""Does a restarted gang stay where it was, and are the nodes it left held for it?"""

from __future__ import annotations

from scheduling.builders import NOW, RACK, decide, grant, granted, make_cluster, make_gang, node, refused
from trainyard.model.cluster import Avoided

YARD = make_cluster().racks(2, nodes=4)


def test_healthy_ranks_stay_and_the_lost_one_moves() -> None:
    cluster = YARD.change("b1-r1-n2", unschedulable=True)
    gang = make_gang("a", attempt=1).workers(3).kept("b1-r1-n3", "b1-r1-n2", "b1-r1-n1")
    assert grant(cluster, gang).nodes == ("b1-r1-n3", "b1-r1-n4", "b1-r1-n1")


def test_blamed_node_counts_as_lost() -> None:
    gang = make_gang("a", avoid=Avoided(frozenset({"b1-r1-n1"}))).workers(2).kept("b1-r1-n1", "b1-r1-n2")
    assert grant(YARD, gang).nodes == ("b1-r1-n3", "b1-r1-n2")


def test_everything_healthy_nothing_moves() -> None:
    nodes = ("b1-r2-n4", "b1-r1-n1", "b1-r2-n2")
    assert grant(YARD, make_gang("a").workers(3).kept(*nodes)).nodes == nodes


def test_replacement_is_sought_near_first_then_anywhere() -> None:
    near = YARD.used("b1-r1-n3", gpus=8)
    gang = make_gang("a").workers(3).kept("b1-r1-n1", "b1-r1-n2", "")
    assert grant(near, gang).nodes[2] == "b1-r1-n4"
    assert grant(near.used("b1-r1-n4", gpus=8), gang).nodes == ("b1-r1-n1", "b1-r1-n2", "b1-r2-n1")


def test_required_topology_beats_staying() -> None:
    gang = make_gang("a", required_level="rack").workers(3).kept("b1-r1-n1", "b1-r1-n2", "")
    assert grant(YARD, gang).nodes == ("b1-r1-n1", "b1-r1-n2", "b1-r1-n3")
    full = YARD.used("b1-r1-n3", gpus=8).used("b1-r1-n4", gpus=8)
    assert grant(full, gang).nodes == ("b1-r2-n1", "b1-r2-n2", "b1-r2-n3")
    split = make_gang("a", required_level="rack").workers(2).kept("b1-r1-n1", "b1-r2-n1")
    assert len({name[:5] for name in grant(YARD, split).nodes}) == 1


def test_kept_node_that_has_lost_its_label_does_not_satisfy_a_required_level() -> None:
    cluster = make_cluster().nodes(node("bare"), node("racked", rack="r1"))
    assert grant(cluster, make_gang("a", required_level="rack").workers(1).kept("bare")).nodes == ("racked",)


def test_nothing_left_to_keep_is_a_fresh_start() -> None:
    gang = make_gang("a").workers(2).kept("gone-1", "gone-2")
    assert grant(YARD, gang).nodes == ("b1-r1-n1", "b1-r1-n2")


def test_kept_nodes_that_fill_up_are_lost() -> None:
    cluster = YARD.used("b1-r1-n1", gpus=4)
    gang = make_gang("a").workers(2, gpus=4).kept("b1-r1-n1", "b1-r1-n1")
    assert grant(cluster, gang).nodes == ("b1-r1-n1", "b1-r1-n2")


def test_roles_with_ports_or_spread_stay_one_to_a_node() -> None:
    ported = make_gang("a").workers(2, gpus=1, host_ports=(29500,)).kept("b1-r1-n1", "b1-r1-n1")
    assert len(set(grant(YARD, ported).nodes)) == 2
    two_roles = make_gang("a").workers(1, gpus=1, host_ports=(1,)).role("ps", 1, host_ports=(1,))
    assert grant(YARD, two_roles.kept("b1-r1-n1", "b1-r1-n1")).nodes == ("b1-r1-n1", "b1-r1-n2")


def test_a_coordinator_whose_port_is_taken_at_home_moves_alone() -> None:
    gang = make_gang("a").workers(4, gpus=4, coordinator_ports=(29500,))
    home = ("b1-r1-n1", "b1-r1-n1", "b1-r1-n2", "b1-r1-n2")
    assert grant(YARD, gang.kept(*home)).nodes == home
    after = grant(YARD.ports("b1-r1-n1", 29500), gang.kept(*home)).nodes
    assert after[0] not in home and after[1:] == home[1:]
    worlds = make_gang("a").workers(1, gpus=4, coordinator_ports=(29500,)).role("jax", 1, 4, coordinator_ports=(29500,))
    assert grant(YARD, worlds.kept("b1-r1-n1", "")).nodes == ("b1-r1-n1", "b1-r1-n2"), "its sister has the port"


def test_single_node_claim_keeps_or_moves_as_one() -> None:
    cluster = YARD.claim("ckpt", "ReadWriteOnce")
    gang = make_gang("a", claim="ckpt").workers(2, gpus=2)
    assert grant(cluster, gang.kept("b1-r2-n3", "")).nodes == ("b1-r2-n3", "b1-r2-n3")
    assert len(set(grant(cluster, gang.kept("b1-r2-n3", "b1-r2-n4")).nodes)) == 1
    assert set(grant(cluster.used("b1-r2-n3", gpus=6), gang.kept("b1-r2-n3", "")).nodes) == {"b1-r1-n1"}


def test_ranks_beyond_a_smaller_gang_are_forgotten() -> None:
    gang = make_gang("a").workers(1).kept("b1-r2-n1", "b1-r2-n2", "b1-r2-n3")
    assert grant(YARD, gang).nodes == ("b1-r2-n1",)


def test_left_nodes_are_held_against_jobs_behind() -> None:
    cluster = make_cluster().racks(1, nodes=2)
    restarting = make_gang("old", age=900, not_before=NOW + 30, held_until=NOW + 100).workers(2)
    restarting = restarting.kept("b1-r1-n1", "")
    decision = decide(cluster, restarting, make_gang("young", age=5).workers(2))
    assert refused(decision) == {"old": "Backoff", "young": "BehindOtherJob"}
    told = decision.refusals[1]
    assert "only on nodes held for team/old" in told.message
    assert "the hold ends at 1970-01-12T13:48:20Z" in told.message
    assert told.until == NOW + 100
    assert granted(decide(cluster, restarting, make_gang("young", age=5).workers(1))) == ["young"]


def test_jobs_ahead_may_take_held_nodes() -> None:
    cluster = make_cluster().racks(1, nodes=2).priority("high", 9)
    restarting = make_gang("old", age=900, not_before=NOW + 30, held_until=NOW + 100).workers(2)
    restarting = restarting.kept("b1-r1-n1", "b1-r1-n2")
    urgent = make_gang("urgent", age=1, priority_class="high").workers(2)
    assert granted(decide(cluster, restarting, urgent)) == ["urgent"]


def test_hold_ends() -> None:
    cluster = make_cluster().racks(1, nodes=1)
    restarting = make_gang("old", age=900, not_before=NOW + 30, held_until=NOW).workers(1).kept("b1-r1-n1")
    assert granted(decide(cluster, restarting, make_gang("young", age=5).workers(1))) == ["young"]


def test_only_the_room_of_the_kept_ranks_is_held() -> None:
    cluster = make_cluster().racks(1, nodes=1)
    restarting = make_gang("old", age=900, not_before=NOW + 30, held_until=NOW + 100).workers(1, gpus=4)
    restarting = restarting.kept("b1-r1-n1")
    assert granted(decide(cluster, restarting, make_gang("young", age=5).workers(1, gpus=4))) == ["young"]
    gone = restarting.kept("gone")
    assert granted(decide(cluster, gone, make_gang("young", age=5).workers(1, gpus=8))) == ["young"]


def test_jobs_that_restart_together_do_not_displace_each_other_where_there_is_room_elsewhere() -> None:
    cluster = YARD.change("b1-r1-n2", unschedulable=True)
    older = make_gang("older", age=900, held_until=NOW + 60).workers(2).kept("b1-r1-n1", "")
    younger = make_gang("younger", age=800, held_until=NOW + 60).workers(2).kept("b1-r1-n3", "b1-r1-n4")
    decision = decide(cluster, older, younger)
    assert [g.nodes for g in decision.grants] == [("b1-r1-n1", "b1-r2-n1"), ("b1-r1-n3", "b1-r1-n4")]
    near = decide(cluster, older.having(preferred_level="rack"), younger)
    assert [g.nodes for g in near.grants] == [("b1-r1-n1", "b1-r1-n3"), ("b1-r2-n1", "b1-r1-n4")]
    fresh = decide(cluster, make_gang("ahead", age=999).workers(2), younger)
    assert fresh.grants[0].nodes == ("b1-r2-n1", "b1-r2-n2")
    after = decide(cluster, older, younger, make_gang("new", age=1).workers(1).on(**{RACK: "r1"}))
    assert refused(after)["new"] == "InsufficientCapacity"


def test_a_rank_stays_though_another_job_would_go_back_there_too() -> None:
    """Both stood there before, and both fit."""
    held = {"attempt": 1, "held_until": NOW + 100}
    one = make_gang("one", age=9, **held).workers(2, gpus=4).kept("b1-r1-n1", "b1-r1-n2")
    two = make_gang("two", age=8, **held).workers(2, gpus=4).kept("b1-r1-n2", "b1-r1-n3")
    decision = decide(YARD, one, two)
    assert [g.nodes for g in decision.grants] == [("b1-r1-n1", "b1-r1-n2"), ("b1-r1-n2", "b1-r1-n3")]
