"""Which nodes may hold a pod at all, before anything is counted: labels, affinity, taints, cordons, readiness.

Two questions, because two answers are told apart to the user: which nodes *match* (they would suit the pod once they
are healthy), and which of those may be used *now*. A pinned pod on a node that is not Ready or carries an untolerated
taint would make kube-scheduler try it again at every change of any node, so such nodes are never chosen. Counts no
resources.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from trainyard.model.views import NodeReady, NodeTerms, NodeView, Requirement, Taint, Toleration
from trainyard.scheduling.topology import Topology

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_REPELS = ("NoSchedule", "NoExecute")


@dataclass(frozen=True, slots=True)
class Suit:
    """What a role asks of a node's labels and taints; equal suits share one answer."""

    selector: tuple[tuple[str, str], ...]
    terms: NodeTerms
    volume_terms: NodeTerms
    tolerations: tuple[Toleration, ...]


@dataclass(frozen=True, slots=True)
class Suited:
    """The nodes that match, and what keeps some from being used now; each is counted under its first obstacle."""

    matching: tuple[int, ...]
    usable: tuple[int, ...]
    not_ready: int = 0
    cordoned: int = 0
    tainted: int = 0


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """As Kubernetes judges it."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    return toleration.operator == "Exists" or (bool(toleration.key) and toleration.value == taint.value)


def untolerated(taints: tuple[Taint, ...], tolerations: tuple[Toleration, ...]) -> bool:
    """A taint that keeps new pods away has no toleration."""
    return any(t.effect in _REPELS and not any(tolerates(x, t) for x in tolerations) for t in taints)


def _number(text: str) -> int | None:
    return int(text) if _WHOLE.fullmatch(text) else None


def _compares(operator: str, value: str | None, bounds: tuple[str, ...]) -> bool:
    have, bound = _number(value or ""), _number(bounds[0] if len(bounds) == 1 else "")
    if have is None or bound is None:
        return False
    return have > bound if operator == "Gt" else have < bound


def requirement_holds(requirement: Requirement, node: NodeView) -> bool:
    """One match expression. An operator nobody knows matches nothing, as in Kubernetes."""
    value = node.name if requirement.on_field else node.labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            return _compares(requirement.operator, value, requirement.values)
        case _:
            return False


def terms_hold(terms: NodeTerms, node: NodeView) -> bool:
    """One of the alternatives holds. An alternative without requirements matches nothing, as in Kubernetes."""
    return not terms or any(term and all(requirement_holds(r, node) for r in term) for term in terms)


class Filters:
    """Answers per suit, remembered for one round."""

    def __init__(self, topology: Topology, owned_nodes: tuple[tuple[str, str], ...]) -> None:
        """Find once which nodes are ours to use."""
        self._topology = topology
        self.owned = tuple(
            i for i, n in enumerate(topology.nodes) if all(n.labels.get(key) == value for key, value in owned_nodes)
        )
        self._answers: dict[Suit, Suited] = {}

    def suited(self, suit: Suit) -> Suited:
        if suit not in self._answers:
            self._answers[suit] = self._judge(suit)
        return self._answers[suit]

    def _judge(self, suit: Suit) -> Suited:
        nodes = self._topology.nodes
        matching = tuple(i for i in self.owned if _matches(suit, nodes[i]))
        repelled: dict[tuple[Taint, ...], bool] = {(): False}
        usable: list[int] = []
        not_ready = cordoned = tainted = 0
        for i in matching:
            node = nodes[i]
            if node.taints not in repelled:
                repelled[node.taints] = untolerated(node.taints, suit.tolerations)
            if node.ready is not NodeReady.TRUE or node.deleting:
                not_ready += 1
            elif node.unschedulable:
                cordoned += 1
            elif repelled[node.taints]:
                tainted += 1
            else:
                usable.append(i)
        return Suited(matching, tuple(usable), not_ready, cordoned, tainted)


def _matches(suit: Suit, node: NodeView) -> bool:
    labels = node.labels
    return (
        all(labels.get(key) == value for key, value in suit.selector)
        and terms_hold(suit.terms, node)
        and terms_hold(suit.volume_terms, node)
    )
