"""The API-server suite's cluster and worlds; and a cluster of this process's own, for what shows in all namespaces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apiserver.conftest import cluster, world
from support.yard import Cluster, own, run_yard, simulated_cluster

__all__ = ["cluster", "world"]


@pytest.fixture(scope="session")
def private() -> Iterator[Cluster]:
    """With an audit log. One operator may serve all namespaces; no policy or role of others stands beside ours."""
    name = own("security")
    yield simulated_cluster(name, "--audit")
    run_yard("down", "--name", name)
