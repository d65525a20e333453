"""The next attempt of a gang that ran before: healthy ranks stay on their nodes, only lost ones get new places.

Images are warm and local caches full where a rank ran. New places are sought as near to the kept ranks as there is
room, and a required topology binds kept and new ranks together. Where the whole does not fit around the kept ranks
the answer is "no", and the gang is placed afresh.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from trainyard.model.cluster import GangRequest
from trainyard.scheduling.packing import Members, Packer, Ports, free_of_ports
from trainyard.scheduling.placement import Ranks, lay_out
from trainyard.scheduling.shape import GangShape, RoleShape
from trainyard.scheduling.topology import Topology


@dataclass(frozen=True, slots=True)
class Kept:
    """The ranks that can stay, and the rest of the gang as a shape of its own."""

    ranks: Ranks
    rest: GangShape
    members: Members
    ports: Ports
    """Those that the kept ranks take."""


def keep(packer: Packer, shape: GangShape, members: Members, request: GangRequest) -> Ranks | None:
    """All ranks, every healthy one where it was; None where none can stay or the whole does not fit around them."""
    packer = Packer(packer.topology, packer.ledger, list(packer.view), packer.taken)
    kept = _stay(packer, shape, members, request)
    if not kept.ranks:
        return None
    packer = Packer(packer.topology, packer.ledger, packer.view, packer.taken, kept.ports)
    for domain in _near(packer.topology, shape, kept):
        found = packer.gang(kept.rest, domain)
        if found is not None:
            return lay_out(request.roles, found, kept.ranks)
    return None


def _stay(packer: Packer, shape: GangShape, members: Members, request: GangRequest) -> Kept:
    """Put the ranks back one by one into the packer's view; whoever finds its node unfit or full counts as lost."""
    ledger, view, index = packer.ledger, packer.view, packer.topology.index
    ranks: Ranks = {}
    rest: list[RoleShape] = []
    ports: dict[int, frozenset[int]] = {}
    used: list[set[int]] = []
    for role, part, nodes in zip(request.roles, shape.roles, members, strict=True):
        fit = set(nodes)
        at_home = set[int]()
        staying = 0
        for rank in range(role.first_rank, role.first_rank + role.replicas):
            i = index.get(request.keep.get(rank, ""), -1)
            asks = role.ports_of(rank - role.first_rank)
            clash = (part.cap and i in at_home) or _taken(i, asks, ports) or _taken(i, asks, packer.taken)
            if i not in fit or clash or not ledger.slots(part.need, part.cap)[view[i]]:
                continue
            ledger.enter(view, i, part.need)
            if asks:
                ports[i] = ports.get(i, frozenset()).union(asks)
            at_home.add(i)
            ranks[rank] = i
            staying += 1
        alone = () if role.first_rank in ranks else part.coordinator_ports
        rest.append(replace(part, replicas=part.replicas - staying, coordinator_ports=alone))
        used.append(at_home)
    return Kept(ranks, replace(shape, roles=tuple(rest)), _remaining(shape, members, used, ports), ports)


def _taken(node: int, ports: Sequence[int], used: Ports) -> bool:
    return not used.get(node, frozenset()).isdisjoint(ports)


def _remaining(shape: GangShape, members: Members, used: list[set[int]], ports: Ports) -> Members:
    """Nodes that may still take a lost rank of each role."""
    parts: list[Sequence[int]] = []
    for part, nodes, at_home in zip(shape.roles, members, used, strict=True):
        rest = free_of_ports(nodes, part.ports, ports)
        parts.append([i for i in rest if i not in at_home] if part.cap else rest)
    return tuple(parts)


def _near(topology: Topology, shape: GangShape, kept: Kept) -> Iterator[Members]:
    """Nodes for the lost ranks: the narrowest domain around the kept ones first, never wider than is required."""
    homes = set(kept.ranks.values())
    if shape.required >= 0 and not _shared(topology, shape.required, homes):
        return
    if shape.one_node:
        if len(homes) == 1:
            yield tuple([i for i in nodes if i in homes] for nodes in kept.members)
        return
    for level in range(len(topology.levels) - 1, max(shape.required, 0) - 1, -1):
        if _shared(topology, level, homes):
            domains = topology.domains[level]
            own = domains[next(iter(homes))]
            yield tuple([i for i in nodes if domains[i] == own] for nodes in kept.members)
    if shape.required < 0:
        yield kept.members


def _shared(topology: Topology, level: int, homes: set[int]) -> bool:
    """They all stand in one domain of that level."""
    around = {topology.domains[level][i] for i in homes}
    return len(around) == 1 and bool(topology.domain_names[level][around.pop()])
