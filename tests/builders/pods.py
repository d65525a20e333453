"""Views of pods and nodes, and what a kubelet or a person does to a pod, as pure functions from view to view."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from trainyard.model.views import Instant, NodeReady, NodeView, PodPhase, PodView, TrainerState


def make_node(name: str, **changes: Any) -> NodeView:
    """A node that is Ready and free of taints."""
    return replace(NodeView(name, uid=f"uid-{name}", labels={"kubernetes.io/hostname": name}), **changes)


def make_pod(name: str, **changes: Any) -> PodView:
    """A pod as just created: pending, on no node."""
    pod = PodView(namespace="research", name=name, uid=f"uid-{name}", resource_version=1)
    return replace(pod, **changes)


def bound(pod: PodView, node: str, version: int) -> PodView:
    return replace(pod, node=node, unschedulable="", resource_version=version)


def started(pod: PodView, version: int) -> PodView:
    return replace(
        pod, phase=PodPhase.RUNNING, ready=True, trainer=TrainerState(started=True), resource_version=version
    )


def exited(pod: PodView, code: int, version: int, *, reason: str = "", message: str = "") -> PodView:
    """Its trainer has ended and the kubelet has told so."""
    why = reason or ("Completed" if code == 0 else "Error")
    return replace(
        pod,
        phase=PodPhase.SUCCEEDED if code == 0 else PodPhase.FAILED,
        ready=False,
        trainer=TrainerState(started=True, exit_code=code, reason=why, message=message),
        resource_version=version,
        failed_version=pod.failed_version or version,
    )


def refused(pod: PodView, reason: str, message: str, version: int) -> PodView:
    """The kubelet would not admit it."""
    return replace(
        pod,
        phase=PodPhase.FAILED,
        reason=reason,
        message=message,
        resource_version=version,
        failed_version=pod.failed_version or version,
    )


def ending(pod: PodView, now: Instant, grace: int, version: int) -> PodView:
    """Somebody asked for its deletion; a grace can only be shortened."""
    if pod.deletion is not None and pod.deletion_grace <= grace:
        return pod
    return replace(pod, deletion=now + grace, deletion_grace=grace, ready=False, resource_version=version)


def disrupted(pod: PodView, reason: str, version: int) -> PodView:
    return replace(pod, disruption=reason, resource_version=version)


def unknown(node: NodeView, since: Instant) -> NodeView:
    return replace(node, ready=NodeReady.UNKNOWN, silent_since=since)
