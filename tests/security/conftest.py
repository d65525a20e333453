"""The API-server suite's cluster and worlds; and a cluster of this process's own, for what shows in all namespaces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apiserver.conftest import cluster, world
from support.yard import Cluster, apply_crds, ensure_cluster, own, run_yard

__all__ = ["cluster", "world"]


@pytest.fixture(scope="session")
def private() -> Iterator[Cluster]:
    """With an audit log. One operator may serve all namespaces; no policy or role of others stands beside ours."""
    name = own("security")
    found = ensure_cluster(name, "--nodes", "0", "--fake-nodes", "1", "--profile", "fast-timers", "--audit")
    apply_crds(found)
    yield found
    run_yard("down", "--name", name)
