"""What happens to a built job's pods and nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

from builders.parts import JobParts
from builders.pods import bound, disrupted, ending, exited, make_node, refused, started, unknown
from trainyard.model.views import NodeReady, PodView, Taint


class Happenings(JobParts):
    """By rank, or by a node's name."""

    # What happens to pods

    def change(self, rank: int, by: Callable[[PodView], PodView]) -> Self:
        name = self.pod_name(rank)
        self.pods[name] = by(self.pods[name])
        return self

    def bound(self, *ranks: int) -> Self:
        for rank in ranks or range(self.size):
            self.change(rank, lambda p: bound(p, p.pinned, self._bump()))
        return self

    def started(self, *ranks: int) -> Self:
        for rank in ranks or range(self.size):
            self.change(rank, lambda p: started(bound(p, p.node or p.pinned, self._bump()), self._bump()))
        return self

    def failed(self, rank: int, code: int = 1, reason: str = "", message: str = "") -> Self:
        return self.change(rank, lambda p: exited(p, code, self._bump(), reason=reason, message=message))

    def succeeded(self, *ranks: int) -> Self:
        for rank in ranks or range(self.size):
            self.failed(rank, code=0)
        return self

    def refused_by_kubelet(self, rank: int, reason: str = "UnexpectedAdmissionError", message: str = "") -> Self:
        return self.change(rank, lambda p: refused(bound(p, p.pinned, 0), reason, message, self._bump()))

    def deleted(self, rank: int, grace: int = 30) -> Self:
        """Somebody deletes the pod; it is still there."""
        return self.change(rank, lambda p: ending(p, self.now, grace, self._bump()))

    def evicted(self, rank: int, reason: str = "EvictionByEvictionAPI", grace: int = 30) -> Self:
        self.change(rank, lambda p: disrupted(p, reason, self._bump()))
        return self.deleted(rank, grace)

    def gone(self, *ranks: int) -> Self:
        """The pod is no more; this leader saw it go."""
        for rank in ranks:
            pod = self.pods.pop(self.pod_name(rank))
            self.collected[pod.name] = pod
        return self

    def lost(self, *ranks: int) -> Self:
        """The pod is no more and nobody saw it go."""
        for rank in ranks:
            del self.pods[self.pod_name(rank)]
        return self

    # What happens to nodes

    def node(self, name: str, **changes: Any) -> Self:
        self.nodes[name] = replace(self.nodes.get(name) or make_node(name), **changes)
        return self

    def node_unknown(self, name: str) -> Self:
        """An instant ago, as the node controller says."""
        self.nodes[name] = unknown(self.nodes[name], self.now)
        return self

    def node_ready(self, name: str) -> Self:
        return self.node(name, ready=NodeReady.TRUE, silent_since=0.0)

    def node_gone(self, name: str) -> Self:
        del self.nodes[name]
        return self

    def nodes_unseen(self) -> Self:
        """The operator may not read nodes."""
        self.nodes.clear()
        self.unseen = frozenset({"nodes"})
        return self

    def tainted(self, name: str, key: str = "maintenance", effect: str = "NoSchedule") -> Self:
        return self.node(name, taints=(Taint(key, "", effect),))
