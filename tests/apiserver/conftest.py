"""A real control plane with fake kubelets, one world per test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

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
async def world(cluster: Cluster, tmp_path: Path) -> AsyncIterator[World]:
    """A world whose whole history must keep the invariants."""
    async with Client(from_kubeconfig(cluster.kubeconfig, None)) as client:
        made = World(cluster, client, f"t-{uuid4().hex[:8]}", tmp_path)
        await made.open()
        try:
            yield made
            assert made.history.violations() == [], made.describe()
        finally:
            await made.close()
