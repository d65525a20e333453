"""What stops a job before room is looked for, and what does it say?"""

from __future__ import annotations

from typing import Any

import pytest

from scheduling.builders import (
    NOW,
    POLICY,
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
from trainyard.model.views import Requirement

YARD = make_cluster().racks(1, nodes=4)


def ckpt(name: str = "job", claim: str = "ckpt", directory: str = "", **fields: object) -> Gang:
    return make_gang(name, claim=claim, directory=directory, **fields).workers(2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cluster", "gang", "reason", "words"),
    [
        (
            YARD.terminating(),
            make_gang("a").workers(1),
            Reason.NAMESPACE_TERMINATING,
            "team is being deleted",
        ),
        (
            YARD.priority("high", 1),
            make_gang("a", priority_class="hgih").workers(1),
            Reason.UNKNOWN_PRIORITY_CLASS,
            "PriorityClass hgih does not exist",
        ),
        (
            YARD,
            make_gang("a", required_level="pod").workers(1),
            Reason.NO_SUCH_TOPOLOGY_LEVEL,
            "required is pod, but the operator's settings know no such level; levels that nodes carry: block",
        ),
        (
            YARD,
            make_gang("a", preferred_level="rak").workers(1),
            Reason.NO_SUCH_TOPOLOGY_LEVEL,
            "preferred is rak, but the operator's settings know no such level",
        ),
        (
            make_cluster().nodes(node("n1")),
            make_gang("a", required_level="rack").workers(1),
            Reason.NO_SUCH_TOPOLOGY_LEVEL,
            f"no node carries the label {RACK}; levels that nodes carry: host",
        ),
        (YARD, ckpt(), Reason.CLAIM_NOT_FOUND, "kubectl get pvc -n team"),
        (YARD.claim("ckpt", deleting=True), ckpt(), Reason.CLAIM_TERMINATING, "ckpt is being deleted"),
        (
            YARD.claim("ckpt", deleting=True),
            ckpt(claim_created=True),
            Reason.CLAIM_TERMINATING,
            "kubectl get pvc ckpt -n team",
        ),
        (YARD.claim("ckpt", phase="Pending", volume=""), ckpt(), Reason.CLAIM_PENDING, "ckpt is Pending"),
        (YARD.claim("ckpt", phase="Lost"), ckpt(), Reason.CLAIM_PENDING, "ckpt is Lost"),
        (
            YARD.claim("ckpt", "ReadWriteOncePod"),
            ckpt(),
            Reason.CLAIM_ACCESS_MODE,
            "has 2: use a ReadWriteMany",
        ),
        (
            YARD.claim("ckpt").directory("other", "ckpt", "gpt"),
            ckpt(directory="gpt"),
            Reason.DIRECTORY_IN_USE,
            "Directory gpt of claim ckpt belongs to job other",
        ),
    ],
)
def test_gate(cluster: Cluster, gang: Gang, reason: Reason, words: str) -> None:
    told = refusal(cluster, gang)
    assert told.reason is reason
    assert words in told.message


@pytest.mark.parametrize(
    ("cluster", "gang"),
    [
        (YARD, ckpt(claim_created=True)),
        (YARD.claim("ckpt"), ckpt()),
        (YARD.claim("ckpt", phase="Pending", volume="", wait_for_consumer=True), ckpt()),
        (YARD.claim("ckpt", "ReadWriteOncePod"), make_gang("a", claim="ckpt").workers(1)),
        (YARD.claim("ckpt", "ReadWriteOnce", "ReadWriteMany"), ckpt()),
        (YARD.claim("ckpt").directory("job", "ckpt", "gpt"), ckpt(directory="gpt")),
        (YARD.claim("ckpt").directory("other", "ckpt", "bert"), ckpt(directory="gpt")),
        (YARD.claim("ckpt").directory("other", "else", "gpt"), ckpt(directory="gpt")),
        (YARD, make_gang("a", preferred_level="rack").workers(2)),
        (YARD.priority("high", 1), make_gang("a", priority_class="high").workers(1)),
    ],
)
def test_open_gate(cluster: Cluster, gang: Gang) -> None:
    assert len(grant(cluster, gang).nodes) == gang.request.size


def test_backoff_tells_until_when() -> None:
    told = refusal(YARD, make_gang("a", not_before=NOW + 90, attempt=3).workers(1))
    assert (told.reason, told.until) == (Reason.BACKOFF, NOW + 90)
    assert "attempt (3) may open at 1970-01-12T13:48:10Z" in told.message


def test_backoff_that_is_over_stops_nobody() -> None:
    assert grant(YARD, make_gang("a", not_before=NOW).workers(1)).at == NOW


def test_second_job_for_a_directory_waits_even_in_the_same_round() -> None:
    decision = decide(YARD.claim("ckpt"), ckpt("first", directory="d", age=9), ckpt("second", directory="d", age=5))
    assert granted(decision) == ["first"]
    assert refused(decision) == {"second": "DirectoryInUse"}
    assert "belongs to job first" in decision.refusals[0].message


def test_job_that_waits_for_room_keeps_its_directory_against_those_behind() -> None:
    cluster = YARD.claim("ckpt").used("b1-r1-n1", gpus=8)
    large = make_gang("large", age=9, claim="ckpt", directory="d").workers(4)
    decision = decide(cluster, large, ckpt("small", age=5, directory="d", duration_bound=60.0))
    assert refused(decision) == {"large": "InsufficientCapacity", "small": "DirectoryInUse"}


def test_a_job_between_two_attempts_keeps_its_directory_even_against_a_higher_priority() -> None:
    cluster = YARD.claim("ckpt").priority("high", 9).directory("begun", "ckpt", "d", in_use=False, since=NOW - 60)
    begun = ckpt("begun", age=5, directory="d", attempt=1, not_before=NOW + 30)
    eager = ckpt("eager", age=99, directory="d", priority_class="high")
    decision = decide(cluster, begun, eager)
    assert refused(decision) == {"begun": "Backoff", "eager": "DirectoryInUse"}
    assert "belongs to job begun, which has begun" in decision.refusals[0].message
    later = decide(cluster, begun, eager, now=NOW + 30)
    assert granted(later) == ["begun"] and refused(later) == {"eager": "DirectoryInUse"}


@pytest.mark.parametrize(
    ("one", "two", "first"),
    [
        ({"in_use": True, "since": NOW - 5}, {"in_use": False, "since": NOW - 60}, "one"),
        ({"in_use": False, "since": NOW - 5}, {"in_use": False, "since": NOW - 60}, "two"),
        ({"in_use": True, "since": NOW - 5}, {"in_use": True, "since": NOW - 60}, "two"),
        ({"in_use": False, "since": NOW - 5}, {"in_use": False, "since": NOW - 5}, "one"),
    ],
)
def test_of_two_jobs_that_began_with_one_directory_one_waits_for_the_other(
    one: dict[str, Any], two: dict[str, Any], first: str
) -> None:
    cluster = YARD.claim("ckpt").directory("one", "ckpt", "d", **one).directory("two", "ckpt", "d", **two)
    second = "two" if first == "one" else "one"
    gangs = [ckpt(name, age=age, directory="d", attempt=1) for name, age in ((first, 5), (second, 99))]
    decision = decide(cluster, *gangs)
    assert granted(decision) == [first] and refused(decision) == {second: "DirectoryInUse"}
    assert f"belongs to job {first}" in decision.refusals[0].message


def test_a_directory_that_only_leftover_pods_hold_names_these() -> None:
    cluster = YARD.claim("ckpt").directory("old", "ckpt", "d", ending=True)
    told = refusal(cluster, ckpt("new", directory="d")).message
    assert "job old, which is over there but has pods left" in told
    assert told.endswith("kubectl get pods -o wide -n team -l trainyard.dev/job-uid=uid-old")


def test_single_node_claim_puts_the_gang_on_one_node() -> None:
    cluster = YARD.claim("ckpt", "ReadWriteOnce").used("b1-r1-n1", gpus=6)
    gang = make_gang("a", claim="ckpt").workers(3, gpus=2).role("ps", 1)
    assert set(grant(cluster, gang).nodes) == {"b1-r1-n2"}
    assert set(grant(cluster, gang.having(required_level="rack")).nodes) == {"b1-r1-n2"}


def test_single_node_claim_with_a_gang_too_large_for_any_node() -> None:
    told = refusal(YARD.claim("ckpt", "ReadWriteOnce"), ckpt())
    assert told.reason is Reason.CLAIM_ACCESS_MODE
    assert "2 pods of 8 nvidia.com/gpu on one node" in told.message
    assert "Claim ckpt is ReadWriteOnce" in told.message


def test_of_two_gangs_alike_each_is_told_of_its_own_claim() -> None:
    cluster = YARD.claim("one", "ReadWriteOnce").claim("two", "ReadWriteOnce")
    decision = decide(cluster, *(make_gang(f"j-{name}", claim=name).workers(2) for name in ("one", "two")))
    for name, told in zip(("one", "two"), decision.refusals, strict=True):
        assert f"Claim {name} is ReadWriteOnce" in told.message


def test_single_node_claim_waits_while_no_node_has_room() -> None:
    cluster = make_cluster().racks(1, nodes=2).claim("ckpt", "ReadWriteOnce")
    cluster = cluster.used("b1-r1-n1", gpus=6).used("b1-r1-n2", gpus=2)
    told = refusal(cluster, make_gang("a", claim="ckpt").workers(4, gpus=2))
    assert told.reason is Reason.INSUFFICIENT_CAPACITY
    assert "the best node (b1-r1-n2) has room for 3 of 4 pods" in told.message


def test_bound_volume_says_which_nodes_may_be_used() -> None:
    here = ((Requirement("kubernetes.io/hostname", "In", ("b1-r1-n3",)),),)
    cluster = YARD.claim("ckpt", volume_nodes=here)
    assert grant(cluster, make_gang("a", claim="ckpt").workers(1)).nodes == ("b1-r1-n3",)
    nowhere = ((Requirement("kubernetes.io/hostname", "In", ("gone",)),),)
    told = refusal(YARD.claim("ckpt", volume_nodes=nowhere), ckpt())
    assert told.reason is Reason.NO_SUITABLE_NODE
    assert "nodes of its volume" in told.message


def test_delegated_job_passes_the_same_gates_but_needs_no_carried_level() -> None:
    cluster = make_cluster()
    assert grant(cluster, delegated("a", required_level="rack").workers(2)).nodes == ("", "")
    assert refusal(cluster, delegated("a", required_level="rak").workers(2)).reason is Reason.NO_SUCH_TOPOLOGY_LEVEL
    assert POLICY.levels[1][0] == "rack"
