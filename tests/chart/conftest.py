"""A cluster of the chart's own: real nodes for the operator, played ones for large gangs, and nothing installed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chart.release import HOME, Release
from support.world import World
from support.worlds import judged_world
from support.yard import Cluster, ensure_cluster, shared
from yardlib import build

CRD = "trainingjobs.trainyard.dev"


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    build.ensure(("helm",))
    found = ensure_cluster(shared("chart"), "--nodes", "2", "--fake-nodes", "1")
    found.yard("load-image", "operator")
    return found


def swept(cluster: Cluster) -> None:
    """Nothing of an earlier test, or of one that was cut off, is left; a kind that is kept on purpose included."""
    everything = "crd,validatingadmissionpolicy,validatingadmissionpolicybinding,clusterrole,clusterrolebinding"
    everything += ",priorityclass,flowschema,prioritylevelconfiguration"
    cluster.kubectl("delete", everything, "-l", "app.kubernetes.io/part-of=trainyard", "--ignore-not-found")
    cluster.kubectl("delete", "namespace", HOME, "--ignore-not-found", "--timeout=60s")


@pytest.fixture
async def world(cluster: Cluster, tmp_path: Path) -> AsyncIterator[World]:
    """A namespace, opened by `opened` once the kind is there; its whole history must keep the invariants."""
    async with judged_world(cluster, tmp_path, opened=False) as made:
        yield made


@pytest.fixture
async def release(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Release]:
    swept(cluster)
    made = Release(cluster, tmp_path)
    yield made
    await made.uninstall()
    swept(cluster)
