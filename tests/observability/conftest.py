"""A real control plane with fake kubelets for the tests in which a real Prometheus looks on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from support.proxy import Wire
from support.world import World
from support.yard import Cluster, apply_crds, ensure_cluster, shared
from trainyard.kube.client import Client
from trainyard.kube.credentials import from_kubeconfig


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    found = ensure_cluster(shared("api"), "--nodes", "0", "--fake-nodes", "1", "--profile", "fast-timers", "--audit")
    apply_crds(found)
    return found


@pytest.fixture
async def world(cluster: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A world of its own; a parameter names its namespace where people will look at it."""
    name = getattr(request, "param", f"t-{uuid4().hex[:8]}")
    async with Client(from_kubeconfig(cluster.kubeconfig, None)) as client:
        made = World(cluster, client, name, tmp_path)
        await made.open()
        try:
            yield made
            assert made.history.violations() == [], made.describe()
        finally:
            await made.close()


@pytest.fixture
async def wire(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Wire]:
    async with Wire(cluster, tmp_path) as wire:
        yield wire
