"""Does each framework's trainer find what its users expect, and does the user's own value win?"""

import json
from typing import Any

import pytest

from launch.builders import SETTINGS, UID, env_of, make_job, make_record, role
from trainyard.api.names import uid5
from trainyard.launch import render_hosts, render_pod
from trainyard.model.views import JobView

SHORT = uid5(UID)


def host(role: str, index: int) -> str:
    return f"gpt-{SHORT}-a2-{role}-{index}.gpt-{SHORT}"


def env(job: JobView, rank: int = 0) -> dict[str, Any]:
    return env_of(render_pod(job, make_record(job), rank, SETTINGS))


def tf_config(job: JobView, rank: int) -> dict[str, Any]:
    """TF_CONFIG as the container sees it, once the kubelet has put the cluster into it."""
    variables = env(job, rank)
    source = variables["TRAINYARD_TF_CLUSTER"]["configMapKeyRef"]
    hosts = render_hosts(job, make_record(job), SETTINGS)
    assert source["name"] == hosts["metadata"]["name"]
    config = variables["TF_CONFIG"].replace("$(TRAINYARD_TF_CLUSTER)", hosts["data"][source["key"]])
    loaded: dict[str, Any] = json.loads(config)
    return loaded


def test_common() -> None:
    job = make_job(role("a", 2), role("b", 3, gpus=4, framework="jax"), status={"restarts": {"total": 7}})
    variables = env(job, 3)
    assert {k: v for k, v in variables.items() if k.startswith("TRAINYARD_")} == {
        "TRAINYARD_JOB": "gpt",
        "TRAINYARD_JOB_UID": UID,
        "TRAINYARD_NAMESPACE": "research",
        "TRAINYARD_ATTEMPT": "2",
        "TRAINYARD_RESTARTS": "7",
        "TRAINYARD_ROLE": "b",
        "TRAINYARD_INDEX": "1",
        "TRAINYARD_RANK": "3",
        "TRAINYARD_SIZE": "5",
        "TRAINYARD_WORLD": "jax",
        "TRAINYARD_WORLD_RANK": "1",
        "TRAINYARD_WORLD_SIZE": "3",
        "TRAINYARD_PROCESSES": "1",
        "TRAINYARD_FIRST_PROCESS": "1",
        "TRAINYARD_WORLD_PROCESSES": "3",
        "TRAINYARD_COORDINATOR": host("b", 0),
        "TRAINYARD_COORDINATOR_PORT": "29500",
        "TRAINYARD_HOSTS_FILE": "/etc/trainyard/hosts/hosts",
    }
    assert variables["PYTHONUNBUFFERED"] == "1"


def test_torchrun() -> None:
    job = make_job(role("worker", 2, gpus=8), rendezvous={"port": 12345})
    variables = env(job, 1)
    assert {k: v for k, v in variables.items() if k.startswith("PET_")} == {
        "PET_NNODES": "2",
        "PET_NPROC_PER_NODE": "8",
        "PET_NODE_RANK": "1",
        "PET_MASTER_ADDR": host("worker", 0),
        "PET_MASTER_PORT": "12345",
        "PET_RDZV_BACKEND": "static",
        "PET_RDZV_ENDPOINT": f"{host('worker', 0)}:12345",
        "PET_RDZV_ID": f"{UID}-2",
    }
    assert (variables["NNODES"], variables["NODE_RANK"], variables["NPROC_PER_NODE"]) == ("2", "1", "8")
    assert not {"RANK", "WORLD_SIZE", "LOCAL_RANK"} & variables.keys()


def test_plain_torch_scripts_with_one_process_a_pod() -> None:
    variables = env(make_job(role("worker", 2), role("eval", 1)), 2)
    expected = {
        "MASTER_ADDR": host("worker", 0),
        "MASTER_PORT": "29500",
        "RANK": "2",
        "WORLD_SIZE": "3",
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
    }
    assert {key: variables[key] for key in expected} == expected


def test_roles_of_one_framework_share_a_world_whatever_their_processes() -> None:
    job = make_job(role("a", 2, gpus=4), role("b", 1, framework="custom"), role("c", 2, processesPerPod=2))
    first = [(env(job, r)["TRAINYARD_FIRST_PROCESS"], env(job, r)["PET_NPROC_PER_NODE"]) for r in (0, 1, 3, 4)]
    assert first == [("0", "4"), ("4", "4"), ("8", "2"), ("10", "2")]
    assert env(job, 4)["PET_NODE_RANK"] == "3"
    assert "RANK" not in env(job, 3)


@pytest.mark.parametrize("name", ["PET_MASTER_ADDR", "PET_MASTER_PORT"])
def test_the_endpoint_goes_when_the_user_sets_the_master(name: str) -> None:
    variables = env(make_job(role(container={"env": [{"name": name, "value": "1"}]})))
    assert variables[name] == "1"
    assert "PET_RDZV_ENDPOINT" not in variables


def test_the_users_values_win_and_may_refer_to_ours() -> None:
    own = [{"name": "MASTER_PORT", "value": "1"}, {"name": "MINE", "value": "$(TRAINYARD_RANK)"}]
    own.append({"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}})  # type: ignore[dict-item]
    pod = render_pod(job := make_job(role(container={"env": own})), make_record(job), 0, SETTINGS)
    assert pod["spec"]["containers"][0]["env"][-3:] == own
    assert env_of(pod)["PET_MASTER_PORT"] == "29500"


def test_jax() -> None:
    variables = env(make_job(role("worker", 4, gpus=8), framework="jax"), 3)
    assert {k: v for k, v in variables.items() if k.startswith("JAX_")} == {
        "JAX_COORDINATOR_ADDRESS": f"{host('worker', 0)}:29500",
        "JAX_NUM_PROCESSES": "4",
        "JAX_PROCESS_ID": "3",
    }
    assert "PET_NNODES" not in variables


def test_jax_with_several_processes_a_pod_leaves_the_id_to_them() -> None:
    variables = env(make_job(role("worker", 4, processesPerPod=2), framework="jax"), 3)
    assert variables["JAX_NUM_PROCESSES"] == "8"
    assert "JAX_PROCESS_ID" not in variables
    assert variables["TRAINYARD_FIRST_PROCESS"] == "6"


def test_tensorflow() -> None:
    job = make_job(
        role("chief", 1),
        role("worker", 2),
        role("ps", 1, completes=False),
        role("evaluator", 1),
        framework="tensorflow",
    )
    cluster = {
        "chief": [f"{host('chief', 0)}:29500"],
        "worker": [f"{host('worker', 0)}:29500", f"{host('worker', 1)}:29500"],
        "ps": [f"{host('ps', 0)}:29500"],
    }
    assert tf_config(job, 2) == {"cluster": cluster, "task": {"type": "worker", "index": 1}}
    assert tf_config(job, 4) == {"cluster": cluster, "task": {"type": "evaluator", "index": 0}}


def test_tensorflow_in_the_nodes_network_tells_each_role_its_port() -> None:
    job = make_job(role("worker", 1, pod={"hostNetwork": True}), role("ps", 1), framework="tensorflow")
    cluster = tf_config(job, 0)["cluster"]
    assert cluster["ps"][0].endswith(":29500")
    low, high = SETTINGS.host_ports
    assert low <= int(cluster["worker"][0].rpartition(":")[2]) <= high


def test_custom_reads_a_full_list() -> None:
    job = make_job(role("a", 1, framework="torch"), role("b", 2), framework="custom")
    variables = env(job, 1)
    assert variables["TRAINYARD_HOSTS_FILE"] == "/etc/trainyard/hosts/list"
    assert not any(name.startswith(("PET_", "JAX_", "TF_")) for name in variables)
    assert env(job, 0)["TRAINYARD_HOSTS_FILE"] == "/etc/trainyard/hosts/hosts"
