"""Everything that happened to the objects of a namespace, in the order of the store.

Events of different kinds come over different watches; resourceVersions put them into one order, since all objects of a
test cluster live in one etcd. What must hold over it: `support.invariants`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Happening:
    """One watch event."""

    version: int
    type: str
    kind: str
    object: Object
    heard: float = 0.0
    """When it came over its watch, on the monotonic clock: some time after it happened."""

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])


@dataclass(slots=True)
class History:
    """What the recorder saw. `meddled` are the UIDs of pods that the test itself deleted, evicted or let die."""

    happenings: list[Happening] = field(default_factory=list)
    meddled: set[str] = field(default_factory=set)
    latecomers: set[str] = field(default_factory=set)
    """UIDs of pods created as a paused leader would: they can never start, and do not count in I1 to I3."""
    blind: bool = False
    """For a while no pod could be seen: one may have come, ended and gone in the meantime."""

    def add(self, type_: str, kind: str, obj: Object, heard: float | None = None) -> None:
        at = time.monotonic() if heard is None else heard
        self.happenings.append(Happening(int(obj["metadata"]["resourceVersion"]), type_, kind, obj, at))

    def ordered(self) -> list[Happening]:
        return sorted(self.happenings, key=lambda h: h.version)

    def created(self, kind: str) -> list[str]:
        """Names in the order of their creation, once per creation."""
        return [h.name for h in self.ordered() if h.kind == kind and h.type == "ADDED"]
