"""Gangs that somebody else places: which gates hold for them, and when does a rolled back one start again?"""

from __future__ import annotations

import pytest

from scheduling.builders import GPU, NOW, decide, delegated, grant, granted, make_cluster, make_gang, refusal, refused
from trainyard.api.reasons import Reason
from trainyard.api.types import Placement
from trainyard.model.cluster import SchedulingPolicy

EMPTY = make_cluster()


def test_granted_without_nodes_even_where_there_are_none() -> None:
    given = grant(EMPTY, delegated("a").workers(3))
    assert (given.nodes, given.placement) == (("", "", ""), Placement.DELEGATED)


def test_gates_hold() -> None:
    assert refusal(EMPTY, delegated("a", not_before=NOW + 5).workers(1)).reason is Reason.BACKOFF
    assert refusal(EMPTY.terminating(), delegated("a").workers(1)).reason is Reason.NAMESPACE_TERMINATING
    assert refusal(EMPTY, delegated("a", claim="c").workers(1)).reason is Reason.CLAIM_NOT_FOUND
    assert refusal(EMPTY, delegated("a", priority_class="x").workers(1)).reason is Reason.UNKNOWN_PRIORITY_CLASS


def test_rolled_back_gang_waits_while_another_is_binding() -> None:
    told = refusal(EMPTY.binding("other"), delegated("a", rolled_back=True).workers(2))
    assert told.reason is Reason.OTHER_GANG_BINDING
    assert "the gang of team/other is not wholly bound" in told.message
    assert "kubectl get tj other -n team" in told.message
    assert granted(decide(EMPTY.binding("a"), delegated("a", rolled_back=True).workers(2))) == ["a"]
    assert granted(decide(EMPTY.binding("other"), delegated("a").workers(2))) == ["a"]


def test_of_two_rolled_back_gangs_one_starts() -> None:
    first, second = delegated("a", rolled_back=True).workers(2), delegated("b", rolled_back=True).workers(2)
    decision = decide(EMPTY, first, second)
    assert granted(decision) == ["a"]
    assert refused(decision) == {"b": "OtherGangBinding"}


def test_builtin_gang_is_not_concerned_by_delegated_ones() -> None:
    cluster = make_cluster().racks(1, nodes=2).binding("other")
    assert granted(decide(cluster, make_gang("a", rolled_back=True).workers(2))) == ["a"]


def test_accelerators_that_nodes_do_not_show_are_placed_by_others() -> None:
    policy = SchedulingPolicy(device_backed=frozenset({GPU}))
    given = grant(make_cluster().racks(1, nodes=1), make_gang("a").workers(3), policy)
    assert (given.nodes, given.placement) == (("", "", ""), Placement.DELEGATED)


def test_devices_that_are_claimed_are_placed_by_others() -> None:
    gang = make_gang("a").role("worker", 2, claims_devices=True).role("cpu", 1)
    assert grant(make_cluster().racks(1, nodes=1), gang).placement is Placement.DELEGATED


def test_delegated_job_behind_a_waiting_one_for_quota_marks_no_nodes() -> None:
    cluster = make_cluster().racks(1, nodes=2).used("b1-r1-n1", gpus=8).quota("q", {"pods": 3})
    large = make_gang("large", age=600).workers(2)
    other = make_gang("other", age=1).having(key=large.request.key._replace(namespace="else", name="other"))
    decision = decide(cluster, large, delegated("d", age=5).workers(2), other.role("cpu", 1, gpus=0))
    assert refused(decision) == {"large": "InsufficientCapacity", "d": "BehindOtherJob", "other": "BehindOtherJob"}
    assert "team/large" in decision.refusals[2].message


@pytest.mark.parametrize("kind", ["nodes", "pods"])
def test_where_room_cannot_be_judged_every_gang_is_left_to_others(kind: str) -> None:
    cluster = make_cluster().racks(1, nodes=1).unseen(kind)
    given = grant(cluster, make_gang("a", required_level="rack").workers(9))
    assert (given.nodes, given.placement) == (("",) * 9, Placement.DELEGATED)


@pytest.mark.parametrize("kind", ["persistentvolumes", "namespaces", "resourcequotas"])
def test_room_can_be_judged_without_the_rest(kind: str) -> None:
    given = grant(make_cluster().racks(1, nodes=1).unseen(kind), make_gang("a").workers(1))
    assert (given.nodes, given.placement) == (("b1-r1-n1",), Placement.BUILTIN)


def test_what_cannot_be_read_is_no_obstacle() -> None:
    cluster = make_cluster().racks(1, nodes=1).claim("c", phase="Pending", volume="")
    unknown = make_gang("a", priority_class="x").workers(1)
    pending = make_gang("b", claim="c").workers(1)
    assert refusal(cluster, unknown).reason is Reason.UNKNOWN_PRIORITY_CLASS
    assert refusal(cluster, pending).reason is Reason.CLAIM_PENDING
    assert granted(decide(cluster.unseen("priorityclasses"), unknown)) == ["a"]
    assert granted(decide(cluster.unseen("storageclasses"), pending)) == ["b"]
