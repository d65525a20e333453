"""Do the install manifest's rights suffice for whole lives of jobs, and is every right to write really used?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from support.manifests import job, role
from support.operator import OperatorProcess
from support.world import TEST_LABEL, World
from support.yard import ROOT

HOME = "trainyard-system"


@pytest.fixture
def installed(world: World) -> list[dict[str, Any]]:
    """The manifest without what runs the operator: here it is a process of the test."""
    documents = list(yaml.safe_load_all((ROOT / "manifests/install.yaml").read_text(encoding="utf-8")))
    wanted = [d for d in documents if d["kind"] not in ("Deployment", "CustomResourceDefinition")]
    world.cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump_all(wanted))
    world.cluster.kubectl(
        "-n", HOME, "delete", "lease", "trainyard-operator", "--ignore-not-found"
    )  # of an earlier run
    return documents


@pytest.fixture
def as_operator(world: World, installed: list[dict[str, Any]], tmp_path: Path) -> str:
    """A kubeconfig with the service account's token and nothing else."""
    token = world.cluster.kubectl("-n", HOME, "create", "token", "trainyard-operator").stdout.strip()
    config = json.loads(world.cluster.kubectl("config", "view", "--minify", "--raw", "-o", "json").stdout)
    config["users"][0]["user"] = {"token": token}
    path = tmp_path / "operator.kubeconfig"
    path.write_text(json.dumps(config))
    return str(path)


async def start_operator(world: World, kubeconfig: str) -> OperatorProcess:
    flags = {"namespaces": world.namespace, "lease-namespace": HOME, "owned-nodes": f"{TEST_LABEL}={world.namespace}"}
    process = OperatorProcess(kubeconfig, world.folder / "operator.log", **flags)
    world.operators.append(process)
    await process.start()
    return process


async def requests_by_code(operator: OperatorProcess) -> dict[tuple[str, str, str], float]:
    """(verb, resource, code) → how often."""
    url = f"http://127.0.0.1:{operator.metrics_port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        text = await answer.text()
    (family,) = [f for f in text_string_to_metric_families(text) if f.name == "trainyard_api_requests"]
    return {(s.labels["verb"], s.labels["resource"], s.labels["code"]): s.value for s in family.samples}


def granted_writes(documents: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """(verb, resource) of everything that the operator's roles let it change."""
    roles = [
        d for d in documents if d["kind"] in ("ClusterRole", "Role") and d["metadata"]["name"] == "trainyard-operator"
    ]
    return {
        (verb, f"{plural}{f'.{group}' if group else ''}" if "/" not in plural else plural.replace("/", f".{group}/"))
        for document in roles
        for rule in document["rules"]
        for group in rule["apiGroups"]
        for plural in rule["resources"]
        for verb in set(rule["verbs"]) - {"get", "list", "watch"}
    }


async def fail_once(world: World, name: str, attempt: int) -> None:
    """Let the first rank of this attempt fail, once all run."""
    await world.until(lambda: world.phase(name) == "Running" and world.status(name)["attempt"] == attempt, "all to run")
    await world.annotate(world.pods(name, attempt)[0]["metadata"]["name"], exit_code="1")
    await world.until(lambda: world.status(name)["attempt"] == attempt + 1, "the attempt to move")


async def live_whole_lives(world: World) -> None:
    """Started, failed twice, suspended, resumed, finished, deleted by its time to live; another waits on its claim."""
    claim = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    await world.apply(job("claims", checkpoint={"volume": {"claimTemplate": claim}}))
    await world.apply(job("lives", role(replicas=2, gpus=8), ttlSecondsAfterFinished=1))
    await fail_once(world, "lives", 0)
    await fail_once(world, "lives", 1)
    await world.until_phase("lives", "Running")
    await world.patch_job("lives", {"suspend": True})
    await world.until_phase("lives", "Suspended")
    await world.patch_job("lives", {"suspend": False})
    await world.until_phase("lives", "Running")
    await world.finish_all("lives")
    await world.until(lambda: world.job("lives") == {}, "the job to be deleted after its time to live")


async def test_whole_lives_need_these_rights_and_no_others(
    world: World, installed: list[dict[str, Any]], as_operator: str
) -> None:
    await world.add_nodes(2)
    operator = await start_operator(world, as_operator)
    await live_whole_lives(world)
    told = await requests_by_code(operator)
    assert [request for request in told if request[2] in ("401", "403")] == []
    used = {(verb, resource) for verb, resource, _ in told}
    assert granted_writes(installed) - used == set(), "a right that nothing needed"
    assert await operator.stop() == 0
