"""Timers and client limits of a cluster, by profile. The default changes nothing: those are Kubernetes' own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """What differs from Kubernetes' defaults."""

    api_server: tuple[str, ...] = ()
    controller_manager: tuple[str, ...] = ()
    scheduler_qps: int | None = None
    node_lease_seconds: int = 40


PROFILES = {
    "default": Profile(),
    # A dead node is seen in seconds, its pods are evicted in seconds: for tests of what comes after.
    "fast-timers": Profile(
        api_server=("--default-not-ready-toleration-seconds=5", "--default-unreachable-toleration-seconds=5"),
        controller_manager=("--node-monitor-period=1s", "--node-monitor-grace-period=10s"),
        node_lease_seconds=8,
    ),
    # Client limits out of the way, so that a measurement shows what the servers can do.
    "bench": Profile(
        controller_manager=("--kube-api-qps=1000", "--kube-api-burst=2000"),
        scheduler_qps=5000,
    ),
}
