"""Real nodes with real kubelets, the operator installed from `manifests/install.yaml`, one world per test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.world import World
from support.worlds import judged_world
from support.yard import ROOT, Cluster, ensure_cluster, shared

HOME = "trainyard-system"


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    found = ensure_cluster(shared("nodes"), "--nodes", "3")
    for image in ("torch", "operator"):
        found.yard("load-image", image)
    found.kubectl("apply", "-f", str(ROOT / "manifests" / "install.yaml"))
    # The tag is always the same: a fresh pod is what takes a freshly built image.
    found.kubectl("-n", HOME, "rollout", "restart", "deployment/trainyard-operator")
    found.kubectl("-n", HOME, "rollout", "status", "deployment/trainyard-operator", "--timeout=110s")
    return found


@pytest.fixture
async def world(cluster: Cluster, tmp_path: Path) -> AsyncIterator[World]:
    """A namespace of the shared cluster; its whole history must keep the invariants."""
    async with judged_world(cluster, tmp_path) as made:
        yield made
