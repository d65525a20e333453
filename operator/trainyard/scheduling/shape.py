"""What of a request matters for placing it, without its name: jobs of one shape share the answers of one round."""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.model.cluster import GangRequest, RoleRequest
from trainyard.model.views import NodeTerms
from trainyard.scheduling.filters import Suit
from trainyard.scheduling.ledger import Ledger, Vector
from trainyard.scheduling.topology import Topology


@dataclass(frozen=True, slots=True)
class RoleShape:
    """`replicas` pods that each need `need`."""

    replicas: int
    need: Vector
    column: int
    """The resource by which nodes are compared: the accelerator, else cpu, else whatever is asked for."""
    cap: int
    """Most pods of the role on one node; 0: as many as fit."""
    ports: tuple[int, ...]
    coordinator_ports: tuple[int, ...]
    """Taken by one of the pods, the first, alone."""
    suit: Suit


@dataclass(frozen=True, slots=True)
class GangShape:
    roles: tuple[RoleShape, ...]
    required: int = -1
    """Level within one domain of which the whole gang must stand; -1: none."""
    preferred: int = -1
    one_node: bool = False
    """All pods on one node: their claim can be mounted on one only."""


def shape_of(
    request: GangRequest, ledger: Ledger, topology: Topology, volume_terms: NodeTerms, one_node: bool
) -> GangShape:
    return GangShape(
        roles=tuple(_role(r, ledger, volume_terms) for r in request.roles),
        required=topology.level_of(request.required_level),
        preferred=topology.level_of(request.preferred_level),
        one_node=one_node,
    )


def _role(role: RoleRequest, ledger: Ledger, volume_terms: NodeTerms) -> RoleShape:
    columns = ledger.columns
    column = next((columns.index(name) for name in (role.accelerator, "cpu") if name in columns), 0)
    return RoleShape(
        replicas=role.replicas,
        need=ledger.need(role.resources),
        column=column,
        cap=1 if role.spread_hosts or role.host_ports else 0,
        ports=role.host_ports,
        coordinator_ports=role.coordinator_ports,
        suit=Suit(role.node_selector, role.terms, volume_terms, role.tolerations),
    )
