"""Does a role inherit what the reference says it inherits?"""

from __future__ import annotations

import pytest

from api.builders import container, gpu_limit, parsed, role
from trainyard.api.effective import effective_roles, total_gpus, total_pods, trainer_container, trainer_index
from trainyard.api.types import Framework, IpcLock

AMD = "amd.com/gpu"
RDMA = {"resource": "rdma/hca"}


def test_ranks_follow_the_order_of_the_roles() -> None:
    roles = effective_roles(parsed(role("ps", replicas=2), role("worker", replicas=3), role("eval")))
    assert [(r.name, r.offset) for r in roles] == [("ps", 0), ("worker", 2), ("eval", 5)]
    assert roles[1].rank(2) == 4


@pytest.mark.parametrize(
    ("names", "index"),
    [(["trainer"], 0), (["log", "trainer"], 1), (["main", "log"], 0)],
    ids=["only", "second", "none"],
)
def test_the_trainer_is_the_one_of_that_name_else_the_first(names: list[str], index: int) -> None:
    template = role("worker", *(container(n) for n in names))["template"]
    assert trainer_index(template) == index
    assert trainer_container(template)["name"] == names[index]


def test_gpus_as_declared_else_the_trainers_limit_else_none() -> None:
    declared, adopted, none = effective_roles(
        parsed(
            role("a", gpus=8),
            role("b", container("log"), container(resources=gpu_limit("4"))),
            role("c", container(resources=gpu_limit(2, AMD))),
        )
    )
    assert (declared.gpus, adopted.gpus, none.gpus) == (8, 4, 0)


def test_gpus_are_read_from_the_roles_own_accelerator() -> None:
    (only,) = effective_roles(parsed(role("a", container(resources=gpu_limit(2, AMD)), accelerator={"resource": AMD})))
    assert only.gpus == 2


def test_a_roles_accelerator_is_laid_over_the_jobs_field_by_field() -> None:
    job = {"resource": AMD, "nodeSelector": {"a": "b"}, "tolerations": [{"key": "k"}]}
    plain, own = effective_roles(
        parsed(role("a"), role("b", accelerator={"nodeSelector": {"c": "d"}}), accelerator=job)
    )
    assert plain.accelerator.node_selector == {"a": "b"}
    assert own.accelerator.node_selector == {"c": "d"}
    assert own.accelerator.resource == AMD
    assert own.accelerator.tolerations == plain.accelerator.tolerations


def test_tolerations_stay_whole_when_a_role_has_its_own() -> None:
    (only,) = effective_roles(parsed(role("a", accelerator={"tolerations": [{"key": "mine"}]})))
    assert only.accelerator.tolerations is not None
    assert only.accelerator.tolerations[0].key == "mine"


@pytest.mark.parametrize(
    ("framework", "gpus", "processes"),
    [("torch", 8, 8), ("torch", 0, 1), ("custom", 4, 4), ("jax", 8, 1), ("tensorflow", 8, 1)],
)
def test_processes_per_pod_left_out(framework: str, gpus: int, processes: int) -> None:
    (only,) = effective_roles(parsed(role(gpus=gpus), framework=framework))
    assert only.processes_per_pod == processes


def test_processes_per_pod_declared() -> None:
    (only,) = effective_roles(parsed(role(gpus=8, processesPerPod=2)))
    assert only.processes_per_pod == 2


def test_framework_is_the_jobs_unless_the_role_says_otherwise() -> None:
    roles = effective_roles(parsed(role("a"), role("b", framework="custom"), framework="jax"))
    assert [r.framework for r in roles] == [Framework.JAX, Framework.CUSTOM]


def test_rdma_goes_to_roles_with_gpus_only() -> None:
    workers, loader = effective_roles(parsed(role("a", gpus=1), role("b"), rdma=RDMA))
    assert workers.rdma is not None
    assert workers.rdma.per_pod == 1
    assert loader.rdma is None


def test_a_roles_rdma_is_laid_over_the_jobs_and_zero_means_none() -> None:
    one, two, none = effective_roles(
        parsed(
            role("a", gpus=1, rdma={"ipcLock": "Never"}),
            role("b", gpus=1, rdma={"resource": "rdma/other", "perPod": 4}),
            role("c", gpus=1, rdma={"perPod": 0}),
            rdma={**RDMA, "perPod": 2},
        )
    )
    assert one.rdma is not None
    assert (one.rdma.resource, one.rdma.per_pod, one.rdma.ipc_lock) == ("rdma/hca", 2, IpcLock.NEVER)
    assert two.rdma is not None
    assert (two.rdma.resource, two.rdma.per_pod, two.rdma.ipc_lock) == ("rdma/other", 4, IpcLock.ADD)
    assert none.rdma is None


def test_a_role_may_have_rdma_where_its_job_has_none() -> None:
    one, other = effective_roles(parsed(role("a", gpus=1, rdma=RDMA), role("b", gpus=1)))
    assert one.rdma is not None
    assert other.rdma is None


def test_totals() -> None:
    spec = parsed(role("a", replicas=16, gpus=8), role("b", replicas=2))
    assert (total_pods(spec), total_gpus(spec)) == (18, 128)
