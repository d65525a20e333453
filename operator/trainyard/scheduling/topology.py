"""Where the nodes stand: one fixed order of all nodes (block, rack, host), and the group of each node at every level.

A group is known by its whole path, so two racks named `r1` in different blocks stay two. A node without a level's label
stands in a group of its own kind at that level: it can be used, but never counts as "one rack". Decides nothing.
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
    """The nodes in the order in which ranks are laid out, and their groups by level (0 is the widest)."""

    def __init__(self, nodes: Mapping[str, NodeView], levels: Sequence[tuple[str, str]]) -> None:
        """Sort the nodes once and number their groups."""
        labels = [label for _, label in levels]
        placed = [(tuple(n.labels.get(label) for label in labels), name) for name, n in nodes.items()]
        placed.sort(key=lambda p: (tuple((v is None, natural(v or "")) for v in p[0]), natural(p[1]), p[1]))
        self.names: tuple[str, ...] = tuple(name for _, name in placed)
        self.nodes: tuple[NodeView, ...] = tuple(nodes[name] for name in self.names)
        self.index: dict[str, int] = {name: i for i, name in enumerate(self.names)}
        self.levels: tuple[str, ...] = tuple(name for name, _ in levels)
        self.groups: list[list[int]] = []
        """By level: the group of each node."""
        self.group_names: list[list[str]] = []
        """By level: what each group is called, empty where its nodes lack the label."""
        self.largest: list[int] = []
        """By level: the number of nodes of the largest group."""
        for level in range(len(labels)):
            self._number([path[: level + 1] for path, _ in placed])

    def _number(self, paths: list[tuple[str | None, ...]]) -> None:
        numbers: dict[tuple[str | None, ...], int] = {}
        self.groups.append([numbers.setdefault(path, len(numbers)) for path in paths])
        self.group_names.append([path[-1] or "" for path in numbers])
        self.largest.append(max(Counter(self.groups[-1]).values(), default=0))

    def level_of(self, name: str) -> int:
        """Position of a level; -1 for an empty or unknown name."""
        return self.levels.index(name) if name in self.levels else -1

    def carried(self) -> tuple[str, ...]:
        """Levels for which at least one node has a label."""
        return tuple(name for name, groups in zip(self.levels, self.group_names, strict=True) if any(groups))

    def split(self, nodes: Sequence[int], level: int) -> dict[int, list[int]]:
        """Nodes by their group at a level, in order."""
        groups = self.groups[level]
        out: dict[int, list[int]] = {}
        for i in nodes:
            g = groups[i]
            if g in out:
                out[g].append(i)
            else:
                out[g] = [i]
        return out
