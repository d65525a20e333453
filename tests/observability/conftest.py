"""A real control plane with fake kubelets for the tests in which a real Prometheus looks on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from apiserver.conftest import cluster
from support.proxy import Wire
from support.world import World
from support.worlds import judged_world
from support.yard import Cluster

__all__ = ["cluster"]


@pytest.fixture
async def world(cluster: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A world of its own; a parameter names its namespace where people will look at it."""
    async with judged_world(cluster, tmp_path, getattr(request, "param", None)) as made:
        yield made


@pytest.fixture
async def wire(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Wire]:
    async with Wire(cluster, tmp_path) as wire:
        yield wire
