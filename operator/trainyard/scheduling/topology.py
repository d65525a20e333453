"""Where the nodes stand: one fixed order of all nodes (block, rack, host), and the domain of each node at every level.

A domain is known by its whole path, so two racks named `r1` in different blocks stay two. Nodes without a level's label
share a nameless one at that level: they can be used, but never count as "one rack". Decides nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

from trainyard.model.views import NodeView

_DIGITS = re.compile(r"(\d+)")


@lru_cache(maxsize=65536)
def natural(text: str) -> tuple[str | int, ...]:
    """Sort key by which `n2` comes before `n10`. Text and numbers alternate, so keys always compare."""
    return tuple(int(part) if at % 2 else part for at, part in enumerate(_DIGITS.split(text)))


class Topology:
    """The nodes in the order in which ranks are laid out, and their domains by level (0 is the widest)."""

    def __init__(self, nodes: Mapping[str, NodeView], levels: Sequence[tuple[str, str]]) -> None:
        """Sort the nodes once and number their domains."""
        labels = [label for _, label in levels]
        placed = [(tuple(n.labels.get(label) for label in labels), name) for name, n in nodes.items()]
        placed.sort(key=lambda p: (tuple((v is None, natural(v or "")) for v in p[0]), natural(p[1]), p[1]))
        self.names: tuple[str, ...] = tuple(name for _, name in placed)
        self.nodes: tuple[NodeView, ...] = tuple(nodes[name] for name in self.names)
        self.index: dict[str, int] = {name: i for i, name in enumerate(self.names)}
        self.levels: tuple[str, ...] = tuple(name for name, _ in levels)
        self.domains: list[list[int]] = []
        """By level: the domain of each node."""
        self.domain_names: list[list[str]] = []
        """By level: what each domain is called, empty where its nodes lack the label."""
        self.largest: list[int] = []
        """By level: the number of nodes of the largest domain."""
        for level in range(len(labels)):
            self._number([path[: level + 1] for path, _ in placed])

    def _number(self, paths: list[tuple[str | None, ...]]) -> None:
        numbers: dict[tuple[str | None, ...], int] = {}
        self.domains.append([numbers.setdefault(path, len(numbers)) for path in paths])
        self.domain_names.append([path[-1] or "" for path in numbers])
        self.largest.append(max(Counter(self.domains[-1]).values(), default=0))

    def level_of(self, name: str) -> int:
        """Position of a level; -1 for an empty or unknown name."""
        return self.levels.index(name) if name in self.levels else -1

    def carried(self) -> tuple[str, ...]:
        """Levels for which at least one node has a label."""
        return tuple(name for name, domains in zip(self.levels, self.domain_names, strict=True) if any(domains))

    def split(self, nodes: Sequence[int], level: int) -> dict[int, list[int]]:
        """Nodes by their domain at a level, in order."""
        domains = self.domains[level]
        out: dict[int, list[int]] = {}
        for i in nodes:
            d = domains[i]
            if d in out:
                out[d].append(i)
            else:
                out[d] = [i]
        return out
