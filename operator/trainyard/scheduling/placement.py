"""Where a gang goes: which domain, which nodes in it, which rank on which node.

A fresh gang goes into the domain that it leaves fullest, at the level it asks for: exactly there if the level is
required, there first and then wider if it is preferred, and at the narrowest level that holds it if it asks for none.
Judges room alone: order, quotas and claims are decided before; what an earlier attempt leaves behind is `keeping`'s
part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from trainyard.model.cluster import RoleRequest
from trainyard.scheduling.packing import Members, Packer, Share
from trainyard.scheduling.shape import GangShape

Ranks = dict[int, int]
"""Rank → node."""


def lay_out(roles: tuple[RoleRequest, ...], found: list[Share], kept: Mapping[int, int] | None = None) -> Ranks:
    """Give the nodes to the ranks: kept ones stay, the others follow the order of the topology, role by role, but for a
    first one that not every node will do for."""
    ranks: Ranks = dict(kept or {})
    for role, share in zip(roles, found, strict=True):
        nodes = [i for i in sorted(share.counts) for _ in range(share.counts[i])]
        if share.coordinator >= 0:
            nodes.remove(share.coordinator)
            nodes.insert(0, share.coordinator)
        open_ranks = (r for r in range(role.first_rank, role.first_rank + role.replicas) if r not in ranks)
        ranks.update(dict(zip(list(open_ranks), nodes, strict=True)))
    return ranks


def place(packer: Packer, shape: GangShape, members: Members) -> list[Share] | None:
    """A place for the whole gang, or none."""
    live = packer.live(shape, members)
    if any(packer.room(role, nodes) < role.replicas for role, nodes in zip(shape.roles, live, strict=True)):
        return None
    for domain in _domains(packer, shape, live):
        found = packer.gang(shape, domain)
        if found is not None:
            return found
    return None


def feasible(packer: Packer, shape: GangShape, members: Members) -> bool:
    """Whether there is a place; for a single role counting is enough, and no best one need be found."""
    if len(shape.roles) > 1 or shape.one_node:
        return place(packer, shape, members) is not None
    if shape.required >= 0:
        return bool(fitting(packer, shape, members, shape.required))
    return packer.room(shape.roles[0], members[0]) >= shape.roles[0].replicas


def _domains(packer: Packer, shape: GangShape, members: Members) -> Iterator[Members]:
    """The domains to try, best first."""
    depth = len(packer.topology.levels)
    if shape.one_node:
        yield from _single_nodes(packer, shape, members)
        return
    if shape.required >= 0:
        yield from _fullest_first(packer, shape, members, shape.required)
        return
    for level in range(shape.preferred if shape.preferred >= 0 else depth - 1, -1, -1):
        yield from _fullest_first(packer, shape, members, level)
    yield members


def _single_nodes(packer: Packer, shape: GangShape, members: Members) -> Iterator[Members]:
    common = set(members[0]).intersection(*members[1:])
    if shape.required >= 0:
        named, domains = packer.topology.domain_names[shape.required], packer.topology.domains[shape.required]
        common = {i for i in common if named[domains[i]]}
    weights = packer.ledger.weights(shape.roles[0].column)
    for i in sorted(common, key=lambda i: (weights[packer.view[i]], i)):
        yield tuple((i,) for _ in shape.roles)


def fitting(packer: Packer, shape: GangShape, members: Members, level: int) -> set[int]:
    """Domains of a level that have room for every role taken alone."""
    topology, view = packer.topology, packer.view
    names, domains = topology.domain_names[level], topology.domains[level]
    fits: set[int] | None = None
    for role, nodes in zip(shape.roles, members, strict=True):
        slots = packer.ledger.slots(role.need, role.cap)
        if topology.largest[level] * max(slots, default=0) < role.replicas:
            return set()
        sums: dict[int, int] = {}
        for i in nodes:
            sums[domains[i]] = sums.get(domains[i], 0) + slots[view[i]]
        room = {d for d, total in sums.items() if total >= role.replicas and names[d]}
        fits = room if fits is None else fits & room
    return fits or set()


def _fullest_first(packer: Packer, shape: GangShape, members: Members, level: int) -> Iterator[Members]:
    """The domains of a level that may hold the gang, those first that it leaves fullest."""
    fits = fitting(packer, shape, members, level)
    if fits:
        parts = [packer.topology.split(nodes, level) for nodes in members]
        for d in sorted(fits, key=_fullness(packer, shape, members, level, fits)):
            yield tuple(part[d] for part in parts)


@dataclass(frozen=True, slots=True)
class _Fullness:
    """Sort key: what stays free in the domain, then in the wider domains around it, then the fixed order."""

    sums: tuple[dict[int, int], ...]
    around: dict[int, tuple[int, ...]]

    def __call__(self, domain: int) -> tuple[int, ...]:
        return (*(s[d] for s, d in zip(self.sums, self.around[domain], strict=True)), domain)


def _fullness(packer: Packer, shape: GangShape, members: Members, level: int, fits: set[int]) -> _Fullness:
    topology, view = packer.topology, packer.view
    weights = packer.ledger.weights(shape.roles[0].column)
    levels = range(level, -1, -1)
    sums: list[dict[int, int]] = []
    for at in levels:
        total: dict[int, int] = {}
        domains = topology.domains[at]
        for i in members[0]:
            total[domains[i]] = total.get(domains[i], 0) + weights[view[i]]
        sums.append(total)
    own = topology.domains[level]
    around = {own[i]: tuple(topology.domains[at][i] for at in levels) for i in members[0] if own[i] in fits}
    return _Fullness(tuple(sums), around)
