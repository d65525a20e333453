"""Why a gang has no place, told apart by what would help: another spec, healthier nodes, or patience.

The same search is run again on ever kinder assumptions: nothing else running on any matching node (no: the gang can
never fit), then on the healthy ones (no: nodes must come back), else it waits for room. Only the last of these holds
up the jobs behind. Numbers in every message.
"""

from __future__ import annotations

from trainyard.api.reasons import Reason
from trainyard.model.cluster import GangRequest
from trainyard.model.instants import format_instant
from trainyard.model.resources import format_amount
from trainyard.scheduling.filters import Suited
from trainyard.scheduling.messages import Obstacle, gang_words, plural, pod_words, scope_words
from trainyard.scheduling.search import Nodes, Room, Search
from trainyard.scheduling.shape import GangShape, RoleShape

_DESCRIBE = "See: kubectl describe nodes"


class Diagnosis:
    """Reasons of one round; jobs alike in shape and words share one."""

    def __init__(self, search: Search) -> None:
        """Remember the search whose room is judged."""
        self._search = search
        self._told: dict[object, Obstacle] = {}

    def why(self, request: GangRequest, shape: GangShape) -> Obstacle:
        """The reason, with numbers."""
        names = tuple((r.name, r.accelerator) for r in request.roles)
        claim = request.claim if shape.one_node else ""
        key = (shape, names, request.avoid, claim, self._search.round.ledger.version)
        if key not in self._told:
            self._told[key] = self._judge(request, shape)
        return self._told[key]

    def _judge(self, request: GangRequest, shape: GangShape) -> Obstacle:
        suited = self._search.suited(shape)
        for at, (role, suits) in enumerate(zip(shape.roles, suited, strict=True)):
            if not suits.matching:
                return self._none_matches(request, at)
            if not self._most(role, suits.matching, whole_node=True):
                return self._pod_too_large(request, at, role, suits)
        if not self._search.could_hold(shape, Nodes.MATCHING):
            return self._gang_too_large(request, shape)
        if not self._search.could_hold(shape, Nodes.HEALTHY):
            return self._unhealthy(request, shape, suited)
        return self._full(request, shape, suited)

    def _most(self, role: RoleShape, nodes: tuple[int, ...], whole_node: bool = False) -> int:
        """Most pods of the role that one node holds when empty, or all nodes together."""
        ledger = self._search.round.ledger
        slots = ledger.slots(role.need, role.cap)
        fits = (slots[ledger.empty[i]] for i in nodes)
        return max(fits) if whole_node else sum(fits)

    def _none_matches(self, request: GangRequest, at: int) -> Obstacle:
        role, owned = request.roles[at], len(self._search.round.filters.owned)
        selector = ", ".join(f"{key}={value}" for key, value in role.node_selector)
        asked = f"node selector {selector}" if selector else "node affinity or the nodes of its volume"
        what = (
            f"none of the {plural(owned, 'node')} matches its {asked}" if owned else "there is no node to place it on"
        )
        return Obstacle(
            Reason.NO_SUITABLE_NODE,
            f"Role {role.name} has no place: {what}. Correct the selector, or label or add nodes. "
            f"See: kubectl get nodes --show-labels",
        )

    def _pod_too_large(self, request: GangRequest, at: int, role: RoleShape, suited: Suited) -> Obstacle:
        ledger = self._search.round.ledger
        vectors = [ledger.vectors[ledger.empty[i]] for i in suited.matching]
        short = [
            f"{format_amount(name, need)} {name} where the largest has {format_amount(name, most)}"
            for name, need, most in zip(ledger.columns, role.need, map(max, zip(*vectors, strict=True)), strict=True)
            if need > most
        ]
        what = " and ".join(short) or f"{pod_words(request.roles[at])} together on one node"
        return Obstacle(
            Reason.UNSATISFIABLE_RESOURCE,
            f"One pod of role {request.roles[at].name} asks for {what}: none of the "
            f"{plural(len(suited.matching), 'node')} that match could hold it "
            f"even when empty. Ask for less per pod, or add larger nodes. {_DESCRIBE}",
        )

    def _gang_too_large(self, request: GangRequest, shape: GangShape) -> Obstacle:
        room, where = self._best(request, shape, Room.EMPTY, Nodes.MATCHING)
        reason = Reason.CLAIM_ACCESS_MODE if shape.one_node else Reason.UNSATISFIABLE_RESOURCE
        mend = (
            f"Claim {request.claim} is ReadWriteOnce, mounted on one node only: use a ReadWriteMany one, or fewer pods"
            if shape.one_node
            else "Ask for fewer or smaller pods or a wider topology level, or add nodes"
        )
        return Obstacle(
            reason,
            f"Needs {gang_words(request)}{scope_words(request, shape.one_node)}; with nothing else running {where} "
            f"would have room for {room}. {mend}. {_DESCRIBE}",
        )

    def _unhealthy(self, request: GangRequest, shape: GangShape, suited: list[Suited]) -> Obstacle:
        room, where = self._best(request, shape, Room.EMPTY, Nodes.HEALTHY)
        only_taints = not any(s.not_ready or s.cordoned for s in suited)
        mend = (
            "add a toleration to the job, or remove the taint"
            if only_taints
            else "bring the nodes back (kubectl uncordon NODE), or ask for less"
        )
        return Obstacle(
            Reason.NO_SUITABLE_NODE if only_taints else Reason.NOT_READY_NODES,
            f"Needs {gang_words(request)}{scope_words(request, shape.one_node)}; of the nodes that match, "
            f"{self._lost(request, suited)}, and on the others {where} would have room for {room} with nothing else "
            f"running. What to do: {mend}. See: kubectl get nodes",
        )

    def _full(self, request: GangRequest, shape: GangShape, suited: list[Suited]) -> Obstacle:
        room, where = self._best(request, shape, Room.FREE, Nodes.USABLE)
        lost = self._lost(request, suited)
        return Obstacle(
            Reason.INSUFFICIENT_CAPACITY,
            f"Needs {gang_words(request)}{scope_words(request, shape.one_node)}; {where} has room for {room} now"
            f"{f' ({lost})' if lost else ''}{self._shared(suited)}. "
            "Wait for other jobs to end, ask for less, or add nodes. See: kubectl get tj -A",
            waits=True,
        )

    def _shared(self, suited: list[Suited]) -> str:
        """Who else is there: pods with accelerators that no job of ours owns."""
        round_ = self._search.round
        names = [round_.topology.names[i] for i in sorted({i for s in suited for i in s.usable})]
        shared = [name for name in names if round_.cluster.foreign.get(name, 0) > 0]
        if not shared:
            return ""
        return f"; on {plural(len(shared), 'node')} pods of others use accelerators, first {shared[0]}"

    def _lost(self, request: GangRequest, suited: list[Suited]) -> str:
        """What keeps matching nodes from use, for the role that loses most."""
        worst = max(suited, key=lambda s: len(s.matching) - len(s.usable))
        index = self._search.round.topology.index
        usable = set(worst.usable)
        avoided = sum(index.get(name, -1) in usable for name in request.avoid.failed)
        counts = (
            (worst.tainted, "tainted"),
            (worst.not_ready, "not ready"),
            (worst.cordoned, "cordoned"),
            (avoided, f"avoided after failed starts, until {format_instant(request.avoid.until)} at the latest"),
        )
        parts = [f"{plural(n, 'node')} {word}" for n, word in counts if n]
        return ", ".join(parts)

    def _best(self, request: GangRequest, shape: GangShape, room: Room, nodes: Nodes) -> tuple[str, str]:
        """How much of the scarcest role fits in the best domain there is: (`14 of 16 pods`, `the best rack, r2,`)."""
        members = self._search.members(shape, nodes, request.avoid.nodes)
        members = members if room is Room.EMPTY else self._search.with_ports(shape, members)
        view, ledger, topology = self._search.view(room), self._search.round.ledger, self._search.round.topology
        best: tuple[float, str, str] | None = None
        for at, (role, candidates) in enumerate(zip(shape.roles, members, strict=True)):
            slots = ledger.slots(role.need, role.cap)
            name, most = "", 0
            if shape.one_node or shape.required >= 0:
                label = topology.names if shape.one_node else topology.domain_names[shape.required]
                sums: dict[int, int] = {}
                for i in candidates:
                    domain = i if shape.one_node else topology.domains[shape.required][i]
                    sums[domain] = sums.get(domain, 0) + (slots[view[i]] if label[domain] else 0)
                top = min(sums, key=lambda g: (-sums[g], g), default=None)
                name, most = ("", 0) if top is None else (label[top], sums[top])
            else:
                most = sum(slots[view[i]] for i in candidates)
            of_role = f" of role {request.roles[at].name}" if len(shape.roles) > 1 else ""
            told = f"{min(most, role.replicas)} of {plural(role.replicas, 'pod')}{of_role}"
            if best is None or most / role.replicas < best[0]:
                best = (most / role.replicas, told, name)
        assert best is not None, "a gang has at least one role"
        share, told, name = best
        if share >= 1 and len(shape.roles) > 1:
            told = "each role alone but not for all of them together"
        elif share >= 1:
            ports = ", ".join(map(str, shape.roles[0].coordinator_ports))
            told = f"all of them, but no node where the coordinator's port ({ports}) is free"
        level = "node" if shape.one_node else request.required_level
        where = f"the best {level} ({name})" if name else "the cluster"
        return told, where
