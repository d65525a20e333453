"""Do the unusual but legal manifests, and every example, really run: admitted, placed, started and completed?

Each world applies a share of them at once, as a busy cluster would meet them, and serves them with one operator.
"""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from apiserver.crd.case_files import load
from support.world import World
from support.yard import ROOT
from trainyard.kube.resources import PODS

Object = dict[str, Any]
GOOD = load("good")
SHARES = 4
EXAMPLES = ROOT / "manifests/examples"
RACK = "topology.trainyard.dev/rack"


def localized(documents: list[Object], namespace: str) -> list[Object]:
    """The same documents for this namespace: what is cluster-scoped and not shared gets a name of its own."""
    volumes = {d["metadata"]["name"] for d in documents if d["kind"] == "PersistentVolume"}

    def rename(value: Any) -> Any:
        if isinstance(value, list):
            return [rename(item) for item in value]
        if not isinstance(value, dict):
            return value
        return {
            key: f"{namespace}-{inner}" if key == "volumeName" and inner in volumes else rename(inner)
            for key, inner in value.items()
        }

    out = [rename(copy.deepcopy(document)) for document in documents]
    for document in out:
        document["metadata"].pop("namespace", None)
        if document["kind"] == "PersistentVolume":
            document["metadata"]["name"] = f"{namespace}-{document['metadata']['name']}"
            if "claimRef" in document["spec"]:
                document["spec"]["claimRef"]["namespace"] = namespace
    return out


async def apply(world: World, documents: list[Object]) -> list[str]:
    """As a user does it, strictly; the names of the jobs."""
    local = localized(documents, world.namespace)
    world.volumes += [d["metadata"]["name"] for d in local if d["kind"] == "PersistentVolume"]
    await asyncio.to_thread(world.kubectl, "apply", "--validate=strict", "-f", "-", documents=local)
    return [d["metadata"]["name"] for d in local if d["kind"] == "TrainingJob"]


async def all_run_and_succeed(world: World, names: list[str]) -> None:
    """Every job runs in its first attempt, ends when its trainers end, and is not touched again."""
    waiting = set(names)

    def running() -> bool:
        waiting.difference_update([name for name in waiting if world.phase(name) == "Running"])
        return not waiting

    await world.until(running, f"each of {sorted(names)} to have run", 90)
    await world.seen(PODS)
    for name in names:
        assert world.status(name)["attempt"] == 0
        await world.finish_all(name)
    await world.until(lambda: all(world.phase(name) == "Succeeded" for name in names), "all to succeed", 90)
    assert [world.status(name)["episodes"] for name in names if world.status(name).get("episodes")] == []


@pytest.mark.parametrize("share", range(SHARES))
async def test_the_unusual_runs(world: World, share: int) -> None:
    await world.add_nodes(4, labels={RACK: "r1"})
    await world.operator()
    documents = [document for case in GOOD[share::SHARES] for document in case.documents]
    names = await apply(world, documents)
    assert len(set(names)) == len(GOOD[share::SHARES])
    await all_run_and_succeed(world, names)


def read(*paths: Path) -> list[Object]:
    return [document for path in paths for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))]


async def test_every_example_runs(world: World) -> None:
    await world.add_nodes(16, prefix="gpu", labels={RACK: "r1"})
    await world.add_nodes(4, prefix="more", labels={RACK: "r2"})
    await world.add_shared_volume("checkpoints")  # named by an example, made by an administrator
    await world.operator()
    files = sorted(EXAMPLES.rglob("*.yaml"))
    names = await apply(world, read(*files))
    assert len(names) >= 7
    await all_run_and_succeed(world, names)
    pretrain = world.get("ConfigMap", world.status("pretrain")["attemptRecord"]["name"])
    assert pretrain is not None, "the largest example was placed by a record"
