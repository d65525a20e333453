"""The API-server suite's cluster and worlds, and the chart as its own Helm renders it."""

from __future__ import annotations

from apiserver.conftest import cluster, world

__all__ = ["cluster", "world"]
