"""A real control plane with fake kubelets, one world per test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.world import World
from support.worlds import judged_world
from support.yard import Cluster, shared_api


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    return shared_api()


@pytest.fixture
async def world(cluster: Cluster, tmp_path: Path) -> AsyncIterator[World]:
    """A world whose whole history must keep the invariants."""
    async with judged_world(cluster, tmp_path) as made:
        yield made
