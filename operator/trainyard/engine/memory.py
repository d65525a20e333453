"""What the engine knows beside the API server's objects: probes, grants, refusals, and how long facts have lasted.

All of it may be lost at any moment without harm: a new leader asks again. Spans are measured on the steady clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from trainyard.kube.clock import steady
from trainyard.model.cluster import GangRequest, Grant, Refusal, Reservation
from trainyard.model.plan import CreateRefusal, ObjectRefusal, ProbeResult

FOREIGN_SECONDS = 10.0
"""How long a foreign object under a name of ours is believed to stand there before the name is tried again: one POST
and one GET each time; where an attempt has to open for that, its backoff spaces the tries further."""

WORDS_SECONDS = 30.0
"""How long a waiting job's message stands before it is said in other words for the same reason."""


@dataclass(slots=True)
class Notes:
    """About one job, by its UID."""

    facts: dict[str, float] = field(default_factory=dict)
    """Fact → when this process first saw it, without a break since."""
    probe: ProbeResult | None = None
    refused: CreateRefusal | None = None
    object_refused: ObjectRefusal | None = None
    record_missing: int = -1
    """The attempt whose record a live GET did not find."""
    foreign: dict[str, float] = field(default_factory=dict)
    """Name → until when it is believed to be taken by somebody else's object."""
    refusal: Refusal | None = None
    refused_at: float = 0.0
    request: GangRequest | None = None


@dataclass(frozen=True, slots=True)
class HeldGrant:
    grant: Grant
    lapses: float
    reserved: tuple[Reservation, ...]


class Memory:
    """Notes by job UID, and the grants that are held."""

    def __init__(self, clock: Callable[[], float] = steady) -> None:
        self._clock = clock
        self._notes: dict[str, Notes] = {}
        self.grants: dict[str, HeldGrant] = {}

    def of(self, uid: str) -> Notes:
        """The notes on a job, to be changed."""
        notes = self._notes.get(uid)
        if notes is None:
            notes = self._notes[uid] = Notes()
        return notes

    def forget(self, uid: str) -> None:
        """The job is gone."""
        self._notes.pop(uid, None)
        self.grants.pop(uid, None)

    def clear(self) -> None:
        """Another process may have led meanwhile: nothing of this can be relied on."""
        self._notes.clear()
        self.grants.clear()

    def remember_facts(self, uid: str, facts: frozenset[str]) -> None:
        """Facts that hold now; one that is not among them has ended."""
        if not facts and uid not in self._notes:
            return
        now = self._clock()
        known = self.of(uid).facts
        self.of(uid).facts = {fact: known.get(fact, now) for fact in facts}

    def seen(self, uid: str) -> Mapping[str, float]:
        """Fact → seconds for which it has been seen."""
        notes = self._notes.get(uid)
        if notes is None or not notes.facts:
            return {}
        now = self._clock()
        return {fact: now - since for fact, since in notes.facts.items()}

    def note_foreign(self, uid: str, name: str) -> None:
        self.of(uid).foreign[name] = self._clock() + FOREIGN_SECONDS

    def foreign_names(self, uid: str) -> frozenset[str]:
        notes = self._notes.get(uid)
        if notes is None or not notes.foreign:
            return frozenset()
        now = self._clock()
        return frozenset(name for name, until in notes.foreign.items() if until > now)

    def ask(self, uid: str, request: GangRequest | None) -> bool:
        """What the job wants placed, None withdraws it. True where the scheduler has something new to look at."""
        if request is None and uid not in self._notes:
            return False
        notes = self.of(uid)
        if notes.request == request:
            return False
        notes.request = request
        if request is None:
            notes.refusal = None
        return True

    def refuse(self, refusal: Refusal) -> bool:
        """True where the job waits for another reason, until another time, or to another effect than before, or, said
        rarely, in other words: numbers that move with every change of the cluster must not become a write for every
        waiting job."""
        notes, now = self.of(refusal.uid), self._clock()
        before = notes.refusal
        same = before is not None and replace(before, message=refusal.message) == refusal
        if (
            before is not None
            and same
            and (before.message == refusal.message or now < notes.refused_at + WORDS_SECONDS)
        ):
            return False
        notes.refusal, notes.refused_at = refusal, now
        return True

    def hold(self, grant: Grant, request: GangRequest, seconds: float) -> None:
        """Reserve what a grant promises, for so long."""
        reserved: list[Reservation] = []
        for role in request.roles:
            for index, node in enumerate(grant.nodes[role.first_rank : role.first_rank + role.replicas]):
                ports = role.ports_of(index)
                reserved.append(
                    Reservation(
                        grant.uid,
                        node,
                        role.resources,
                        grant.key.namespace,
                        host_ports=ports,
                        priority_class=request.priority_class if request.pod_class is None else request.pod_class,
                    )
                )
        self.grants[grant.uid] = HeldGrant(grant, self._clock() + seconds, tuple(reserved))

    def grant(self, uid: str) -> Grant | None:
        """The grant a job holds, unless it has lapsed."""
        held = self.grants.get(uid)
        return held.grant if held is not None and held.lapses > self._clock() else None

    def drop_grant(self, uid: str) -> bool:
        """True where there was one: room is free again."""
        return self.grants.pop(uid, None) is not None

    def lapse(self) -> tuple[Grant, ...]:
        """Drop the grants whose time is over, and tell which."""
        now = self._clock()
        lapsed = tuple(held.grant for held in self.grants.values() if held.lapses <= now)
        for grant in lapsed:
            del self.grants[grant.uid]
        return lapsed

    def next_lapse(self) -> float | None:
        """Seconds until a grant lapses."""
        ends = [held.lapses for held in self.grants.values()]
        return max(0.0, min(ends) - self._clock()) if ends else None

    def requests(self) -> tuple[GangRequest, ...]:
        """Of all jobs that want to open their next attempt and hold no grant."""
        return tuple(
            notes.request for uid, notes in self._notes.items() if notes.request is not None and uid not in self.grants
        )
