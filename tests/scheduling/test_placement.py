"""Where does a gang go? Best fit over topology domains, fewest nodes within, ranks in the order of the topology."""

from __future__ import annotations

from scheduling.builders import BLOCK, decide, grant, granted, make_cluster, make_gang, node, refusal
from trainyard.api.reasons import Reason
from trainyard.model.cluster import SchedulingPolicy


def racks_of(nodes: tuple[str, ...]) -> set[str]:
    return {name.rsplit("-", 1)[0] for name in nodes}


def test_smallest_domain_that_holds_the_gang() -> None:
    cluster = make_cluster().racks(3, nodes=4).used("b1-r2-n1", gpus=8)
    assert grant(cluster, make_gang("a", required_level="rack").workers(3)).nodes == (
        "b1-r2-n2",
        "b1-r2-n3",
        "b1-r2-n4",
    )


def test_without_a_wish_the_narrowest_level_that_fits() -> None:
    cluster = make_cluster().racks(2, nodes=2, blocks=2)
    assert len(set(grant(cluster, make_gang("a").workers(2, gpus=4)).nodes)) == 1
    assert racks_of(grant(cluster, make_gang("a").workers(2)).nodes) == {"b1-r1"}
    assert racks_of(grant(cluster, make_gang("a").workers(3)).nodes) == {"b1-r1", "b1-r2"}
    assert len(grant(cluster, make_gang("a").workers(7)).nodes) == 7


def test_preferred_level_is_tried_first_then_wider() -> None:
    cluster = make_cluster().racks(2, nodes=4, blocks=1)
    cluster = cluster.used("b1-r1-n1", gpus=7).used("b1-r1-n2", gpus=7).used("b1-r1-n3", gpus=7)
    near = grant(cluster, make_gang("a", preferred_level="rack").workers(8, gpus=1))
    assert racks_of(near.nodes) == {"b1-r1"}
    wide = grant(cluster, make_gang("a", preferred_level="rack").workers(5))
    assert racks_of(wide.nodes) == {"b1-r1", "b1-r2"}


def test_wider_gangs_use_the_fewest_racks_and_the_tightest_for_the_rest() -> None:
    cluster = make_cluster().racks(3, nodes=4).used("b1-r1-n1", gpus=8).used("b1-r1-n2", gpus=8)
    nodes = grant(cluster, make_gang("a", preferred_level="block").workers(5)).nodes
    assert sorted(name[:5] for name in nodes) == ["b1-r1", "b1-r2", "b1-r2", "b1-r2", "b1-r2"]


def test_fewest_nodes_and_best_fit_among_them() -> None:
    cluster = make_cluster().racks(1, nodes=4).used("b1-r1-n1", gpus=6).used("b1-r1-n3", gpus=4)
    assert grant(cluster, make_gang("a").workers(1, gpus=2)).nodes == ("b1-r1-n1",)
    assert grant(cluster, make_gang("a").workers(2, gpus=2)).nodes == ("b1-r1-n3", "b1-r1-n3")
    ten = grant(cluster, make_gang("a").workers(10, gpus=1)).nodes
    assert ten == ("b1-r1-n1",) * 2 + ("b1-r1-n2",) * 8


def test_ranks_follow_block_rack_host_in_natural_order() -> None:
    cluster = make_cluster().racks(1, nodes=12)
    assert grant(cluster, make_gang("a").workers(12)).nodes == tuple(f"b1-r1-n{i}" for i in range(1, 13))


def test_racks_of_one_name_in_two_blocks_are_two_racks() -> None:
    cluster = make_cluster().racks(1, nodes=2, blocks=2)
    told = refusal(cluster, make_gang("a", required_level="rack").workers(3))
    assert told.reason is Reason.UNSATISFIABLE_RESOURCE
    assert "in one rack; with nothing else running the best rack (r1) would have room for 2 of 3 pods" in told.message


def test_nodes_without_the_label_never_count_as_one_rack() -> None:
    cluster = make_cluster().nodes(node("n1"), node("n2"), node("n3", rack="r1"), node("n4", labels={BLOCK: "b1"}))
    assert grant(cluster, make_gang("a", required_level="rack").workers(1)).nodes == ("n3",)
    assert refusal(cluster, make_gang("a", required_level="rack").workers(2)).reason is Reason.UNSATISFIABLE_RESOURCE
    assert len(set(grant(cluster, make_gang("a").workers(4)).nodes)) == 4


def test_topology_may_have_no_levels() -> None:
    policy = SchedulingPolicy(levels=())
    assert len(grant(make_cluster().racks(2, nodes=2), make_gang("a").workers(4), policy).nodes) == 4


def test_several_roles_share_the_domain_and_are_numbered_by_role() -> None:
    cluster = make_cluster().racks(2, nodes=2).change("b1-r1-n1", unschedulable=True)
    gang = make_gang("a", required_level="rack").role("launcher", 1, cpu="8").workers(2)
    nodes = grant(cluster, gang).nodes
    assert nodes[1:] == ("b1-r2-n1", "b1-r2-n2")
    assert racks_of(nodes) == {"b1-r2"}


def test_pods_without_accelerators_leave_free_accelerators_alone() -> None:
    cluster = make_cluster().racks(1, nodes=3).used("b1-r1-n2", gpus=8, cpu=8000)
    assert grant(cluster, make_gang("a").role("ps", 1).workers(2)).nodes == ("b1-r1-n2", "b1-r1-n1", "b1-r1-n3")


def test_hard_role_goes_first_and_the_other_order_is_tried_too() -> None:
    tight = make_cluster().nodes(node("a", gpus=8, cpu="16"), node("b", gpus=4, cpu="64"))
    both = make_gang("j").role("server", 1, cpu="16").workers(1, gpus=4, cpu="16")
    assert grant(tight, both).nodes in {("a", "b"), ("b", "a"), ("b", "b")}
    # The accelerator role first takes `b`, the better fit, and leaves no node for the server; the other order works.
    awkward = make_cluster().nodes(node("a", gpus=8, cpu="16"), node("b", gpus=4, cpu="32"))
    assert grant(awkward, make_gang("j").role("server", 1, cpu="32").workers(1, gpus=4, cpu="16")).nodes == ("b", "a")


def test_roles_that_fit_alone_but_not_together() -> None:
    cluster = make_cluster().nodes(node("a", cpu="96"), node("b", cpu="96")).used("b", cpu=80000)
    told = refusal(cluster, make_gang("j").workers(1, gpus=8, cpu="90").role("server", 1, cpu="90"))
    assert told.reason is Reason.INSUFFICIENT_CAPACITY
    assert "each role alone but not for all of them together" in told.message


def test_every_counted_resource_is_respected() -> None:
    cluster = make_cluster().nodes(node("a", pods=5), node("b")).used("a", pods=4).used("b", cpu=90000)
    assert grant(cluster, make_gang("j").workers(1, gpus=1, cpu="8")).nodes == ("a",)
    assert refusal(cluster, make_gang("j").workers(2, gpus=1, cpu="8")).reason is Reason.INSUFFICIENT_CAPACITY


def test_reservations_and_earlier_grants_count_as_used() -> None:
    cluster = make_cluster().racks(1, nodes=3).reserved("b1-r1-n1", 8).reserved("gone", 8)
    decision = decide(cluster, make_gang("a").workers(1), make_gang("b").workers(1), make_gang("c").workers(1))
    assert granted(decision) == ["a", "b"]
    assert {n for g in decision.grants for n in g.nodes} == {"b1-r1-n2", "b1-r1-n3"}


def test_overcommitted_node_has_no_room() -> None:
    cluster = make_cluster().racks(1, nodes=1).used("b1-r1-n1", gpus=9).used("unknown", gpus=1)
    assert refusal(cluster, make_gang("a").workers(1, gpus=1)).reason is Reason.INSUFFICIENT_CAPACITY


def test_grant_carries_what_the_worker_commits() -> None:
    gang = make_gang("a", attempt=3, spec_hash="abc").workers(2)
    given = grant(make_cluster().racks(1, nodes=2), gang)
    assert (given.key, given.uid, given.attempt, given.spec_hash) == (gang.request.key, "uid-a", 3, "abc")
