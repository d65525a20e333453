"""Is what a pod asks of a node read as Kubernetes reads it?"""

from typing import Any

import pytest

from trainyard.model.podspec import (
    container_requests,
    host_ports,
    node_terms,
    pinned_node,
    pod_resources,
    selector_terms,
    tolerations,
)
from trainyard.model.views import Requirement, Toleration

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def cpu(amount: int, **more: Any) -> dict[str, Any]:
    return {"name": "c", "resources": {"requests": {"cpu": f"{amount}m"}}, **more}


@pytest.mark.parametrize(
    "running, inits, total",
    [
        ([100], [], 100),
        ([100, 50], [], 150),
        ([100], [("", 300)], 300),
        ([100], [("", 30)], 100),
        ([100], [("Always", 300)], 400),
        ([100], [("Always", 50), ("", 90)], 150),
        ([100], [("Always", 50), ("", 200)], 250),
        ([100], [("", 200), ("Always", 50)], 200),
        ([100], [("Always", 50), ("", 60), ("Always", 70)], 220),
    ],
)
def test_init_containers_and_sidecars(running: list[int], inits: list[tuple[str, int]], total: int) -> None:
    spec = {
        "containers": [cpu(amount) for amount in running],
        "initContainers": [cpu(amount, **({"restartPolicy": p} if p else {})) for p, amount in inits],
    }
    assert pod_resources(spec) == (("cpu", total),)


def test_values_of_the_pod_win_and_overhead_comes_on_top() -> None:
    spec = {
        "containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "nvidia.com/gpu": "2"}}}],
        "resources": {"requests": {"cpu": "5"}},
        "overhead": {"cpu": "100m", "memory": "1Ki"},
    }
    assert pod_resources(spec) == (("cpu", 5100), ("memory", 1024), ("nvidia.com/gpu", 2))


def test_a_limit_counts_as_the_request_where_there_is_none() -> None:
    container = {"resources": {"limits": {"cpu": 2, "memory": "1Ki"}, "requests": {"cpu": "1"}}}
    assert container_requests(container) == (("cpu", 1000), ("memory", 1024))
    assert container_requests({"resources": {"limits": {"a/b": 1}}}) == (("a/b", 1),)
    assert container_requests({"resources": {"requests": {}}}) == ()
    assert container_requests({}) == ()
    assert pod_resources({"containers": []}) == ()


def test_terms() -> None:
    expression = {"key": "gpu", "operator": "In", "values": ["h100"]}
    field = {"key": "metadata.name", "operator": "NotIn", "values": ["n1"]}
    terms = [{"matchExpressions": [expression], "matchFields": [field]}, {}, {"matchExpressions": [expression]}]
    gpu, name = Requirement("gpu", "In", ("h100",)), Requirement("metadata.name", "NotIn", ("n1",), True)
    affinity = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}}
    assert node_terms(affinity) == ((gpu, name), (gpu,))


@pytest.mark.parametrize("affinity", [None, {}, {"nodeAffinity": None}, {"podAffinity": {}, "nodeAffinity": {}}])
def test_no_affinity_is_no_restriction(affinity: Any) -> None:
    assert node_terms(affinity) == ()


def test_terms_that_say_nothing_match_nothing() -> None:
    terms = selector_terms({"nodeSelectorTerms": [{}, {"matchExpressions": []}]})
    assert len(terms) == 1
    assert terms[0][0].values == ()
    assert pinned_node(terms) == ""


@pytest.mark.parametrize("nodes, pinned", [(["a"], "a"), (["a", "a"], "a"), (["a", "b"], ""), (["a", ""], "")])
def test_pinned_only_if_every_term_names_the_same_node(nodes: list[str], pinned: str) -> None:
    name = [(Requirement("metadata.name", "In", (node,), True),) for node in nodes if node]
    free = [(Requirement("gpu", "Exists"),) for node in nodes if not node]
    assert pinned_node((*name, *free)) == pinned


def test_tolerations() -> None:
    raw: list[dict[str, Any]] = [
        {"operator": "Exists"},
        {"key": "gpu", "value": "a", "effect": "NoSchedule", "tolerationSeconds": 3},
    ]
    assert tolerations(raw) == (Toleration(operator="Exists"), Toleration("gpu", "Equal", "a", "NoSchedule"))
    assert tolerations(None) == ()


def test_host_ports() -> None:
    ports = [{"containerPort": 80}, {"containerPort": 81, "hostPort": 9000}, {"containerPort": 82, "hostPort": 0}]
    spec: dict[str, Any] = {"containers": [{"ports": ports}], "initContainers": [{"ports": [{"hostPort": 7}]}]}
    assert host_ports(spec) == (7, 9000)
    assert host_ports({**spec, "hostNetwork": True}) == (7, 80, 82, 9000)
    assert host_ports({"containers": [{}]}) == ()
