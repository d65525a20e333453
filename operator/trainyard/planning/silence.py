"""Whether nodes that stopped answering are believed dead, or the control plane is believed not to hear them.

Kubernetes marks silent nodes one after the other, and looks again some 5 s after its last look. Where an API server,
its load balancer or the network before it fails, every node falls silent so, and all of them train on: to restart at
the first one would lose the work of the whole cluster. So a silence is believed once it has stopped spreading, and
while most nodes are silent only after a good while. A node that dies alone costs a moment more for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum

from trainyard.model.views import Instant
from trainyard.planning.notebook import Notebook

MOMENT = 3.0
"""A single silent node is believed dead after so many seconds if no other follows. More than that, the time from its
last heartbeat to the next attempt has no room for."""
RIPPLE = 8.0
"""Several are once none has followed or come back for so long: one more look of Kubernetes' node controller."""
AFTERMATH = 40.0
"""The same when the silence was borne before: kubelets need so long to notice that their connections are dead."""
TOGETHER = 60.0
"""What was silent so many seconds before the gang's own first node has nothing to do with it."""
MANY = 3
"""So few nodes may be all there are, or share a power supply; more are needed to doubt a silence for longer."""
_SEVERAL, _BORNE = "several nodes silent", "silence borne"


@dataclass(frozen=True, slots=True)
class Silence:
    """What is known of the nodes that do not answer."""

    mine: Collection[str]
    """Those with ranks that are well by all else that is known."""
    silent: Mapping[str, Instant]
    """All of the cluster, and since when, by one clock."""
    nodes: int
    """How many nodes the cluster has."""
    whole: bool = False
    """No next attempt could open beside these ranks: to give them up would win nothing."""


class Why(Enum):
    """Why a silence is not believed."""

    MOMENT = "it has only just begun, or still spreads"
    MOST = "most nodes of the cluster are silent"
    WHOLE = "no other attempt could open"
    ENDING = "one of the last two was so, and nodes are coming back"


@dataclass(frozen=True, slots=True)
class Doubt:
    """Silent nodes are not believed dead."""

    why: Why
    until: Instant
    """At the latest."""


def doubt_silence(now: Silence, patience: float, note: Notebook) -> Doubt | None:
    """Why the gang's silent nodes are not believed dead, or None where they are: after `patience` seconds in any case,
    counted from this leader's first sight. Instants of silence are compared with each other alone."""
    if not now.mine or not patience:
        return None
    until = note.borne("silence doubted", patience)
    if until is None:
        return None
    first = min(now.silent[name] for name in now.mine)
    near = [since for since in now.silent.values() if since > first - TOGETHER]
    answered = now.nodes - (len(now.silent) - len(near))
    most = len(near) >= MANY and 2 * len(near) >= answered
    borne = note.once(_BORNE, most or now.whole)
    several = note.once(_SEVERAL, len(near) > 1)
    if most or now.whole:
        note.due(note.now + RIPPLE)  # the others may come back, and leave the gang's own alone with its silence
        return Doubt(Why.MOST if most else Why.WHOLE, until)
    calm = AFTERMATH if borne else RIPPLE if several else MOMENT
    if note.lasted(f"silent:{len(near)}:{max(near):.0f}", calm):
        return None
    return Doubt(Why.ENDING if borne else Why.MOMENT, until)
