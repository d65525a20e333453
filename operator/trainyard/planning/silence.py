"""Whether nodes that stopped answering are believed dead, or the control plane is believed not to hear them.

Kubernetes marks silent nodes one after the other, and looks again every 5 s. Where an API server, its load balancer or
the network before it fails, every node falls silent so, and all of them train on: to restart at the first one would
lose the work of the whole cluster. So a silence is believed once it has stopped spreading, and while most nodes are
silent only after a good while. A node that dies alone costs a moment more for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from trainyard.model.views import Instant
from trainyard.planning.notebook import Notebook

MOMENT = 3.0
"""A single silent node is believed dead after so many seconds if no other follows."""
RIPPLE = 6.0
"""Several are once none has followed or come back for so long: one more look of Kubernetes' node controller."""
MANY = 3
"""So few nodes may be all there are, or share a power supply; more are needed to doubt a silence for longer."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Silent nodes are not believed dead."""

    until: Instant
    """At the latest."""
    many: bool
    """Many nodes of the cluster fell silent; else it is a matter of moments."""


def doubt_silence(
    mine: Collection[str], silent: Mapping[str, Instant], nodes: int, patience: float, note: Notebook
) -> Doubt | None:
    """Why the nodes `mine` of a gang are not believed dead, or None where they are.

    `silent` holds every silent node of the cluster with the instant it fell silent, `nodes` is how many there are, and
    `patience` how many seconds a silence is doubted at most. Nodes that were silent before that say nothing.
    """
    if not mine:
        return None
    until = min(silent[name] for name in mine) + patience
    if note.due(until):
        return None
    together = sum(1 for since in silent.values() if note.now - since < patience)
    answered = nodes - (len(silent) - together)
    if together >= MANY and 2 * together >= answered:
        note.due(note.now + RIPPLE)  # the others may come back, and leave the gang's own alone with its silence
        return Doubt(until, many=True)
    if note.lasted(f"silent:{together}", MOMENT if together == 1 else RIPPLE):
        return None
    return Doubt(until, many=together >= MANY)
