"""What a framework is told of one pod's place; plain facts, so that each framework's file stays a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainyard.launch.worlds import Seat

EnvValue = str | Mapping[str, Any]
"""A variable's value, or its raw `valueFrom`."""

HOSTS_KEY = "hosts"
"""Key of the hosts ConfigMap: one range of addresses a role."""
LIST_KEY = "list"
"""Key of the hosts ConfigMap: the custom world's addresses, one a line, in the order of world ranks."""
CLUSTER_KEY = "tf_cluster"
"""Key of the hosts ConfigMap: the `cluster` of TF_CONFIG."""


@dataclass(frozen=True, slots=True)
class Place:
    seat: Seat
    job: str
    job_uid: str
    namespace: str
    attempt: int
    restarts: int
    size: int
    """Pods of the gang."""
    coordinator: str
    """Address of the world's rank 0."""
    coordinator_port: int
    run_id: str
    """Names this attempt among all jobs and attempts."""
    hosts_map: str
    """Name of the hosts ConfigMap."""
    hosts_file: str
    checkpoint_dir: str
    """Empty without a checkpoint volume."""
