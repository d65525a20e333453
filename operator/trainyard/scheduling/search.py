"""Looks for a place and remembers the answers of one round: jobs of one shape ask the same questions many times.

An answer holds for one version of the ledger, one view of it and one set of closed nodes. Enters nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from trainyard.model.cluster import GangRequest
from trainyard.model.views import Key, NodeTerms
from trainyard.scheduling.backfill import Marks, marks, unmarked
from trainyard.scheduling.filters import Suited
from trainyard.scheduling.gates import needs_one_node
from trainyard.scheduling.keeping import keep
from trainyard.scheduling.ledger import View
from trainyard.scheduling.packing import Members, Packer, Share, free_of_ports
from trainyard.scheduling.placement import Ranks, feasible, fitting, lay_out, place
from trainyard.scheduling.round import Round
from trainyard.scheduling.shape import GangShape, shape_of


class Room(StrEnum):
    """Which room is looked at."""

    OPEN = "open"
    """Free, less what is held for jobs ahead."""
    FREE = "free"
    EMPTY = "empty"
    """As if nothing ran."""


class Nodes(StrEnum):
    """Which nodes are looked at."""

    USABLE = "usable"
    """Healthy and suitable, not avoided by the job."""
    HEALTHY = "healthy"
    MATCHING = "matching"
    """Whatever their health."""


class Search:
    """The searches of one round."""

    def __init__(self, round_: Round) -> None:
        """Start with no answers."""
        self.round = round_
        self._found: dict[object, list[Share] | None] = {}
        self._members: dict[object, Members] = {}
        self._could_hold: dict[tuple[GangShape, Nodes], bool] = {}
        self._useful: dict[GangShape, Marks] = {}

    def shape(self, request: GangRequest) -> GangShape:
        return shape_of(
            request,
            self.round.ledger,
            self.round.topology,
            self._volume_terms(request),
            needs_one_node(self.round, request),
        )

    def _volume_terms(self, request: GangRequest) -> NodeTerms:
        claim = self.round.cluster.claims.get(Key(request.key.namespace, request.claim)) if request.claim else None
        volume = self.round.cluster.volumes.get(claim.volume) if claim else None
        return volume.nodes if volume else ()

    def suited(self, shape: GangShape) -> list[Suited]:
        """By role: the nodes that suit it."""
        return [self.round.filters.suited(role.suit) for role in shape.roles]

    def view(self, room: Room) -> View:
        ledger = self.round.ledger
        return {Room.OPEN: ledger.open, Room.FREE: ledger.free, Room.EMPTY: ledger.empty}[room]

    def packer(self, room: Room) -> Packer:
        ledger = self.round.ledger
        return Packer(self.round.topology, ledger, self.view(room), {} if room is Room.EMPTY else ledger.ports)

    def members(
        self, shape: GangShape, nodes: Nodes, avoid: frozenset[str] = frozenset(), closed: Marks = 0
    ) -> Members:
        """By role: the nodes that may be looked at, ports left aside."""
        key = (tuple(role.suit for role in shape.roles), nodes, avoid, closed)
        if key not in self._members:
            index = self.round.topology.index
            avoided = {index[name] for name in avoid if name in index} if nodes is Nodes.USABLE else set[int]()
            self._members[key] = tuple(
                unmarked(_without(s.matching if nodes is Nodes.MATCHING else s.usable, avoided), closed)
                for s in self.suited(shape)
            )
        return self._members[key]

    def find(self, request: GangRequest, shape: GangShape, room: Room, closed: Marks = 0) -> Ranks | None:
        """A place on usable nodes: with the healthy ranks kept if that can be, else afresh."""
        ranks = self.kept(request, shape, room, closed)
        if ranks is not None:
            return ranks
        found = self.fresh(shape, room, request.avoid.nodes, closed)
        return None if found is None else lay_out(request.roles, found)

    def kept(self, request: GangRequest, shape: GangShape, room: Room, closed: Marks = 0) -> Ranks | None:
        """A place around the ranks that can stay; none for a gang that keeps nothing."""
        if not request.keep:
            return None
        members = self.with_ports(shape, self.members(shape, Nodes.USABLE, request.avoid.nodes, closed))
        return keep(self.packer(room), shape, members, request)

    def fresh(self, shape: GangShape, room: Room, avoid: frozenset[str], closed: Marks = 0) -> list[Share] | None:
        """A place for a gang that keeps nothing."""
        key = (shape, room, avoid, closed, self.round.ledger.version)
        if key not in self._found:
            members = self.with_ports(shape, self.members(shape, Nodes.USABLE, avoid, closed))
            self._found[key] = place(self.packer(room), shape, members)
        return self._found[key]

    def could_hold(self, shape: GangShape, nodes: Nodes) -> bool:
        """Whether the gang would have a place there if nothing else ran."""
        key = (shape, nodes)
        if key not in self._could_hold:
            self._could_hold[key] = feasible(self.packer(Room.EMPTY), shape, self.members(shape, nodes))
        return self._could_hold[key]

    def with_ports(self, shape: GangShape, members: Members) -> Members:
        """The same, without nodes on which one of the ports is taken."""
        used = self.round.ledger.ports
        return tuple(free_of_ports(nodes, role.ports, used) for role, nodes in zip(shape.roles, members, strict=True))

    def useful(self, shape: GangShape) -> Marks:
        """Healthy nodes that the gang could use if nothing else ran; none where it could not start even then."""
        if shape not in self._useful:
            self._useful[shape] = self._useful_nodes(shape)
        return self._useful[shape]

    def _useful_nodes(self, shape: GangShape) -> Marks:
        if not self.could_hold(shape, Nodes.HEALTHY):
            return 0
        packer, topology = self.packer(Room.EMPTY), self.round.topology
        members = packer.live(shape, self.members(shape, Nodes.HEALTHY))
        nodes = set[int]().union(*members)
        if shape.required >= 0:
            domains, fits = topology.domains[shape.required], fitting(packer, shape, members, shape.required)
            nodes = {i for i in nodes if domains[i] in fits}
        return marks(nodes, len(topology.names))


def _without(nodes: Sequence[int], avoided: set[int]) -> Sequence[int]:
    return [i for i in nodes if i not in avoided] if avoided else nodes
