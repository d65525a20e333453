"""Where the worlds of tests come from: one for a test, and at its end its whole history is judged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from support.invariants import violations
from support.world import World
from support.yard import Cluster
from trainyard.kube.client import Client
from trainyard.kube.credentials import from_kubeconfig
from trainyard.kube.resources import PODS, TRAINING_JOBS


@asynccontextmanager
async def judged_world(
    cluster: Cluster, folder: Path, namespace: str | None = None, *, opened: bool = True
) -> AsyncIterator[World]:
    """A world in a namespace of its own. A test that passed must have kept the invariants all along."""
    async with Client(from_kubeconfig(cluster.kubeconfig, None)) as client:
        made = World(cluster, client, namespace or f"t-{uuid4().hex[:8]}", folder)
        try:
            if opened:
                await made.open()
            yield made
            await made.seen(PODS)
            await made.seen(TRAINING_JOBS)  # after them: what a pod met with may be its job's doing
            found = violations(made.history)
            assert not found, "\n".join([*found, made.describe()])
        finally:
            await made.close()
