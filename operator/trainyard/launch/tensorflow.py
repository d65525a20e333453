"""tensorflow: `TF_CONFIG`, its task types being the names of the roles.

The cluster's list of addresses would make a gang's pods grow with its square, so it stands once, in the hosts
ConfigMap, and the kubelet puts it into the variable. A role named `evaluator` is told its task but is no part of the
cluster.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from trainyard.launch.place import CLUSTER_KEY, EnvValue, Place

EVALUATOR = "evaluator"
_CLUSTER = "TRAINYARD_TF_CLUSTER"


def variables(place: Place) -> dict[str, EnvValue]:
    task = json.dumps({"type": place.seat.role.name, "index": place.seat.index})
    return {
        _CLUSTER: {"configMapKeyRef": {"name": place.hosts_map, "key": CLUSTER_KEY}},
        "TF_CONFIG": f'{{"cluster": $({_CLUSTER}), "task": {task}}}',
    }


def cluster(addresses: Iterable[tuple[str, str]]) -> str:
    """The `cluster` of TF_CONFIG from (role, address with port) in the order of world ranks."""
    tasks: dict[str, list[str]] = {}
    for role, host in addresses:
        if role != EVALUATOR:
            tasks.setdefault(role, []).append(host)
    return json.dumps(tasks, separators=(",", ":"))
