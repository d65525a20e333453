"""What an administrator may decide about the children's manifests."""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.launch.pod_security import PodSecurity


@dataclass(frozen=True, slots=True)
class LaunchSettings:
    """The operator's settings, as far as manifests depend on them."""

    inherit_labels: tuple[str, ...] = ()
    """Keys of the job's labels that its children get too."""
    inherit_annotations: tuple[str, ...] = ()
    """Keys of the job's annotations that its children get too."""
    levels: tuple[tuple[str, str], ...] = (
        ("block", "topology.trainyard.dev/block"),
        ("rack", "topology.trainyard.dev/rack"),
        ("host", "kubernetes.io/hostname"),
    )
    """Topology levels with their node labels; the scheduler's own list."""
    owned_nodes: tuple[tuple[str, str], ...] = ()
    """Labels of the nodes that Builtin gangs may use, said to the cluster's scheduler where it has to place one."""
    host_ports: tuple[int, int] = (20000, 28999)
    """First and last port derived for pods in their node's network: clear of node ports and ephemeral ones."""
    pod_security: PodSecurity = PodSecurity.NAMESPACE
    """The most that a job's pods may ask for."""
