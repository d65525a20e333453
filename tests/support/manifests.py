"""TrainingJobs as tests write them: short, with what a test cares about in sight."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
BUSYBOX = "trainyard.dev/busybox:1"


def role(
    name: str = "worker",
    replicas: int = 2,
    *,
    gpus: int | None = None,
    command: list[str] | None = None,
    image: str = BUSYBOX,
    annotations: dict[str, str] | None = None,
    pod: Object | None = None,
    container: Object | None = None,
    **fields: Any,
) -> Object:
    """A role whose trainer sleeps for ever unless told otherwise. `pod` and `container` are laid over the template."""
    trainer = {"name": "trainer", "image": image, "imagePullPolicy": "IfNotPresent"}
    trainer["command"] = command or ["sleep", "1000000"]  # type: ignore[assignment]
    template: Object = {"spec": {"containers": [{**trainer, **(container or {})}], **(pod or {})}}
    if annotations:
        template["metadata"] = {"annotations": annotations}
    out: Object = {"name": name, "replicas": replicas, "template": template, **fields}
    if gpus is not None:
        out["gpus"] = gpus
    return out


def job(name: str, *roles: Object, annotations: dict[str, str] | None = None, **spec: Any) -> Object:
    """A TrainingJob of the given roles (one of two workers by default); other spec fields by their JSON names."""
    body: Object = {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name},
        "spec": {"framework": "custom", "roles": list(roles) or [role()], **spec},
    }
    if annotations:
        body["metadata"]["annotations"] = annotations
    return body
