"""The hash that tells whether a changed spec shapes its attempts differently. Pure and stable across builds.

Defaults are left out before hashing, so that a field added later with a default changes no old hash.
"""

import hashlib
import json
from typing import Any

from trainyard.api.types import JobSpec

ATTEMPT_FIELDS = ("framework", "accelerator", "rdma", "roles", "scheduling", "rendezvous", "checkpoint")
"""Fields that shape an attempt. They change only while the job is suspended; all other fields touch no running pod."""

ANY_ORDER = frozenset(
    (
        "accessModes",
        "bindMountOptions",
        "claims",
        "env",
        "evictionResponders",
        "hostAliases",
        "imagePullSecrets",
        "ports",
        "resourceClaims",
        "schedulingGates",
        "topologySpreadConstraints",
        "volumeDevices",
        "volumeMounts",
        "volumes",
    )
)
"""Fields that hold lists with keys, or sets. Those of roles and containers are missing: their order counts, and rules
compare it (`rules_update`). That of `env` counts for variables that refer to others; the next attempt has a new one."""


def attempt_fields_hash(spec: JobSpec) -> str:
    """Sixteen hex digits over the attempt fields; equal for equal attempts."""
    fields = spec.model_dump(mode="json", by_alias=True, include=set(ATTEMPT_FIELDS), exclude_defaults=True)
    return hashlib.sha256(_canonical(_in_order(fields)).encode()).hexdigest()[:16]


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _in_order(value: Any, field: str = "") -> Any:
    """Lists that are equal in any order get one order: the API server lets a running job's be sorted anew, since no
    rule can tell the difference, and nothing has changed by that."""
    if isinstance(value, dict):
        return {key: _in_order(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        items = [_in_order(item) for item in value]
        return sorted(items, key=_canonical) if field in ANY_ORDER else items
    return value
