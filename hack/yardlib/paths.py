"""Where everything lies: sources in the checkout, what is built and what runs in a cache outside it."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CLUSTER_SOURCES = REPOSITORY / "hack" / "cluster"


def cache_root() -> Path:
    """The folder for binaries, images and the state of clusters."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "trainyard"


def runtime_root() -> Path:
    """The folder for sockets and locks: one per user and machine, with a short name, since socket paths are bounded."""
    return Path("/run/trainyard") if os.geteuid() == 0 else Path(f"/tmp/trainyard-{os.geteuid()}")


def cluster_dir(name: str) -> Path:
    """The state of one cluster: certificates, data, logs, process ids."""
    return cache_root() / "clusters" / name
