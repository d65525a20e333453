"""Does a namespace's quota admit the whole gang, counting what the round has already granted?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduling.builders import (
    GPU,
    NOW,
    RACK,
    Cluster,
    Gang,
    decide,
    delegated,
    grant,
    granted,
    make_cluster,
    make_gang,
    node,
    refusal,
    refused,
)
from trainyard.api.reasons import Reason
from trainyard.model.cluster import Reservation
from trainyard.model.views import ClassTerm

YARD = make_cluster().racks(2, nodes=4)


@pytest.mark.parametrize(
    ("key", "hard", "used", "words"),
    [
        ("pods", 5, 2, "needs 4 of pods, and ResourceQuota q has 3 of 5 left"),
        ("count/pods", 3, 0, "more than the quota allows even when nothing else runs"),
        ("requests.cpu", 20000, 5000, "needs 16 of requests.cpu, and ResourceQuota q has 15 of 20 left"),
        ("cpu", 15000, 0, "needs 16 of cpu"),
        (f"requests.{GPU}", 32, 8, f"needs 32 of requests.{GPU}, and ResourceQuota q has 24 of 32 left"),
        ("requests.memory", 1 << 30, 2 << 30, "needs 4Gi of requests.memory, and ResourceQuota q has 0 of 1Gi left"),
    ],
)
def test_whole_gang_against_every_key(key: str, hard: int, used: int, words: str) -> None:
    gang = make_gang("a").role("worker", 4, gpus=8, cpu="4", memory="1Gi")
    told = refusal(YARD.quota("q", {key: hard}, {key: used}), gang)
    assert told.reason is Reason.QUOTA_EXCEEDED
    assert words in told.message
    assert "kubectl describe quota q -n team" in told.message


@pytest.mark.parametrize("key", ["limits.cpu", "requests.storage", "count/configmaps", "services", "requests.memory"])
def test_keys_that_the_gang_does_not_touch_are_ignored(key: str) -> None:
    assert len(grant(YARD.quota("q", {key: 0}), make_gang("a").workers(4)).nodes) == 4


def test_ended_pods_that_a_job_keeps_to_be_read_make_room_for_its_gang() -> None:
    """Only `count/pods` counts them; only where they are what is in the way are they given up."""
    full = YARD.quota("q", {"count/pods": 4}, {"count/pods": 1})
    told = refusal(full, make_gang("a", kept_to_be_read=1).workers(4))
    assert told.clear_kept and "kept to be read count as well" in told.message
    assert not refusal(full, make_gang("a").workers(4)).clear_kept, "it is somebody else's"
    fuller = YARD.quota("q", {"count/pods": 4}, {"count/pods": 2})
    assert not refusal(fuller, make_gang("a", kept_to_be_read=1).workers(4)).clear_kept, "that would not do"
    both = full.quota("gpus", {f"requests.{GPU}": 32}, {f"requests.{GPU}": 8})
    assert not refusal(both, make_gang("a", kept_to_be_read=1).workers(4)).clear_kept, "more than that is in the way"
    other = YARD.quota("q", {"pods": 4}, {"pods": 1})
    assert not refusal(other, make_gang("a", kept_to_be_read=1).workers(4)).clear_kept


def test_exactly_enough_is_enough() -> None:
    cluster = YARD.quota("q", {"pods": 6, "cpu": 16000}, {"pods": 2}).quota("r", {f"requests.{GPU}": 32})
    assert len(grant(cluster, make_gang("a").workers(4)).nodes) == 4


def test_second_quota_counts_too() -> None:
    cluster = YARD.quota("q", {"pods": 100}).quota("tight", {"pods": 3})
    assert "ResourceQuota tight" in refusal(cluster, make_gang("a").workers(4)).message


def test_grants_of_the_round_are_counted() -> None:
    cluster = YARD.quota("q", {"pods": 5})
    decision = decide(cluster, make_gang("a").workers(3), make_gang("b").workers(3), make_gang("c").workers(2))
    assert granted(decision) == ["a", "c"]
    assert refused(decision) == {"b": "QuotaExceeded"}
    assert "has 2 of 5 left" in decision.refusals[0].message


def test_delegated_gangs_are_checked_and_counted() -> None:
    cluster = YARD.quota("q", {"pods": 5})
    assert granted(decide(cluster, delegated("a").workers(3), make_gang("b").workers(3))) == ["a"]


def test_other_namespaces_are_not_concerned() -> None:
    stranger = make_gang("a").workers(2)
    elsewhere = stranger.having(key=stranger.request.key._replace(namespace="else"))
    assert len(grant(YARD.quota("q", {"pods": 0}), elsewhere).nodes) == 2


def waiting_and_small(**fields: object) -> tuple[Gang, Gang]:
    """A large job that waits for room, and a small one behind it that needs none of its nodes but the same quota."""
    large = make_gang("large", age=600).workers(8)
    return large, make_gang("small", age=5, **fields).role("cpu", 2)


def test_job_that_waits_for_room_keeps_its_share_of_the_quota() -> None:
    cluster = YARD.used("b1-r1-n1", gpus=8).nodes(node("cpu", gpus=0)).quota("q", {"pods": 9, "services": 1})
    large, small = waiting_and_small()
    decision = decide(cluster, large, small)
    assert refused(decision) == {"large": "InsufficientCapacity", "small": "BehindOtherJob"}
    assert "take quota that a job ahead in the namespace needs: team/large" in decision.refusals[1].message
    assert granted(decide(cluster, *waiting_and_small(duration_bound=60.0))) == ["small"]
    roomy = cluster.quota("q2", {"pods": 10})
    assert granted(decide(roomy, *waiting_and_small())) == []
    ample = YARD.used("b1-r1-n1", gpus=8).nodes(node("cpu", gpus=0)).quota("q", {"pods": 10})
    assert granted(decide(ample, *waiting_and_small())) == ["small"]


def test_a_restarting_gangs_share_of_the_quota_is_held_as_its_nodes_are() -> None:
    """Its failed pods have given theirs back, and its own request only holds: a small job would take it for good."""
    cluster = YARD.nodes(node("spare")).quota("q", {"pods": 8}, {"pods": 2})
    hold = make_gang("large", age=600, attempt=1, held_until=NOW + 100, not_before=NOW + 100)
    large = hold.workers(8).kept(*(f"b1-r{r}-n{n}" for r in (1, 2) for n in (1, 2, 3, 4)))
    small = make_gang("small", age=5).workers(1)
    assert refused(decide(cluster, large, small)) == {"large": "Backoff", "small": "BehindOtherJob"}
    asks = large.having(not_before=0.0)
    assert refused(decide(cluster, asks, small)) == {"large": "QuotaExceeded", "small": "BehindOtherJob"}
    assert granted(decide(cluster, asks.having(held_until=0.0), small)) == ["small"], "a hold is over in two minutes"


def test_a_job_that_waits_for_quota_alone_keeps_no_nodes_from_other_namespaces() -> None:
    cluster = YARD.used("b1-r1-n1", gpus=8).quota("q", {"pods": 8})
    large = make_gang("large", age=600, required_level="rack").workers(4).on(**{RACK: "r1"})
    behind = make_gang("behind", age=100).workers(5)
    other = make_gang("other", age=5).workers(1)
    other = other.having(key=other.request.key._replace(namespace="else"))
    decision = decide(cluster, large, behind, other)
    assert refused(decision) == {"large": "InsufficientCapacity", "behind": "BehindOtherJob"}
    assert decision.refusals[1].message.startswith("There is quota, but starting now would take quota")
    assert decision.grants[0].nodes[0].startswith("b1-r2")


def test_pods_are_counted_once_even_where_a_request_names_them() -> None:
    gang = make_gang("a").workers(4).roles_having(resources=(("cpu", 4000), (GPU, 8), ("pods", 1)))
    assert len(grant(YARD.quota("q", {"pods": 4}), gang).nodes) == 4
    assert refusal(YARD.quota("q", {"pods": 3}), gang).reason is Reason.QUOTA_EXCEEDED


HIGH = ClassTerm("In", ("high",))


@pytest.mark.parametrize(("named", "usual", "bound"), [("high", "", True), ("", "", False), ("", "high", True)])
def test_a_quota_of_a_priority_class_binds_its_jobs(named: str, usual: str, bound: bool) -> None:
    cluster = YARD.priority("high", 0).quota("q", {"pods": 3}, {}, HIGH)
    cluster = cluster.priority(usual, 0, is_default=True) if usual else cluster
    decision = decide(cluster, make_gang("a", priority_class=named).workers(4))
    assert refused(decision) == ({"a": "QuotaExceeded"} if bound else {})


def test_only_jobs_of_the_class_take_a_share_of_its_quota() -> None:
    cluster = YARD.priority("high", 0).quota("q", {"pods": 5}, {}, HIGH)
    ordinary, first, second = (
        make_gang(name, priority_class=named).workers(2) for name, named in (("a", ""), ("b", "high"), ("c", "high"))
    )
    assert granted(decide(cluster, ordinary, first, second)) == ["a", "b", "c"]
    third = make_gang("d", priority_class="high").workers(2)
    assert refused(decide(cluster, ordinary, first, second, third)) == {"d": "QuotaExceeded"}
    promised = Reservation("uid-other", "", (("pods", 1),), "team", priority_class="high")

    def with_promises(named: str | None) -> Cluster:
        promises = (replace(promised, priority_class=named),) * 2
        return Cluster(replace(cluster.snapshot, reservations=promises))

    assert granted(decide(with_promises(""), first, second)) == ["b", "c"]
    assert refused(decide(with_promises("high"), first, second)) == {"c": "QuotaExceeded"}
    assert granted(decide(with_promises(None), first, second)) == ["b", "c"], "nobody knows the class"


def test_what_a_dry_run_told_of_the_class_goes_before_what_the_job_names() -> None:
    """A webhook may give another, and so may a default that cannot be read."""
    cluster = YARD.priority("high", 0).quota("q", {"pods": 3}, {}, HIGH)
    gang = make_gang("a").workers(4)
    assert refused(decide(cluster, gang.having(pod_class="high"))) == {"a": "QuotaExceeded"}
    assert granted(decide(cluster, gang.having(priority_class="high", pod_class="low"))) == ["a"]
    none = YARD.quota("q", {"pods": 3}, {}, ClassTerm("DoesNotExist"))
    assert refused(decide(none, gang)) == {"a": "QuotaExceeded"}
    blind = Cluster(replace(none.snapshot, unseen=frozenset({"priorityclasses"})))
    assert granted(decide(blind, gang)) == ["a"], "it may be given one: that is left to the API server"
    assert refused(decide(blind, gang.having(pod_class=""))) == {"a": "QuotaExceeded"}


@pytest.mark.parametrize(
    ("scope", "bound"),
    [
        ("NotTerminating", "plain bare"),
        ("Terminating", "brief"),
        ("NotBestEffort", "plain brief"),
        ("BestEffort", "bare"),
    ],
)
def test_scopes_choose_among_kinds_of_pods(scope: str, bound: str) -> None:
    cluster = YARD.quota("q", {"pods": 1})
    (quota,) = cluster.snapshot.quotas["team"]
    cluster = Cluster(replace(cluster.snapshot, quotas={"team": (replace(quota, scopes=frozenset({scope})),)}))
    plain = make_gang("plain").role("worker", 2, gpus=1, cpu="1")
    gangs = {
        "plain": plain,
        "bare": make_gang("bare").role("worker", 2, gpus=1).roles_having(resources=((GPU, 1),)),
        "brief": make_gang("brief").role("worker", 2, gpus=1, cpu="1").roles_having(terminating=True),
    }
    told = {name for name, gang in gangs.items() if refused(decide(cluster, gang)) == {name: "QuotaExceeded"}}
    assert told == set(bound.split())


def test_a_waiting_job_keeps_its_share_of_quotas_that_bind_it() -> None:
    cluster = YARD.priority("high", 0).used("b1-r1-n1", gpus=8).nodes(node("cpu", gpus=0))
    cluster = cluster.quota("q", {"pods": 9}, {}, HIGH)
    large, small = waiting_and_small(priority_class="high")
    urgent = large.having(priority_class="high")
    assert refused(decide(cluster, urgent, small)) == {"large": "InsufficientCapacity", "small": "BehindOtherJob"}
    assert granted(decide(cluster, large, small)) == ["small"], "it waits for no share of this one"


def test_pods_that_are_promised_and_not_created_yet_count() -> None:
    gang, cluster = make_gang("a").workers(2), YARD.quota("q", {"pods": 4, f"requests.{GPU}": 40})
    promised = Reservation("uid-other", "b1-r1-n1", ((GPU, 8), ("pods", 1)), "team")

    def with_promises(*reservations: Reservation) -> Cluster:
        return Cluster(replace(cluster.snapshot, reservations=reservations))

    assert granted(decide(with_promises(promised, promised), gang)) == ["a"]
    waits = refusal(with_promises(promised, promised, replace(promised, node="")), gang)
    assert waits.reason is Reason.QUOTA_EXCEEDED and "has 1 of 4 left" in waits.message
    created, elsewhere = replace(promised, node="", created=True), replace(promised, node="", namespace="else")
    assert granted(decide(with_promises(promised, promised, created, elsewhere), gang)) == ["a"]
