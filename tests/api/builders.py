"""Specs for the tests of this folder, as the API server would store them."""

from __future__ import annotations

from typing import Any

from trainyard.api.types import JobSpec
from trainyard.api.validation import parse_job_spec


def container(name: str = "trainer", **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "trainyard.dev/busybox:1", **fields}


def gpu_limit(count: int | str, resource: str = "nvidia.com/gpu") -> dict[str, Any]:
    return {"limits": {resource: count}}


def role(name: str = "worker", *containers: dict[str, Any], pod: dict[str, Any] | None = None, **fields: Any) -> Any:
    return {
        "name": name,
        "template": {"spec": {"containers": list(containers) or [container()], **(pod or {})}},
        **fields,
    }


def spec(*roles: Any, **fields: Any) -> dict[str, Any]:
    return {"roles": list(roles) or [role()], **fields}


def parsed(*roles: Any, **fields: Any) -> JobSpec:
    return parse_job_spec(spec(*roles, **fields))
