"""One round of the scheduler, as a story: order the queue, and for each job in turn grant, or say why not.

1. Order the requests by priority, age, name.
2. Gates: what must be true before room is looked for.
3. A Delegated gang that passed them is granted without nodes.
4. A Builtin gang is placed whole, on room that is neither held for nor marked by a job ahead of it.
5. What has no place is told why; if it waits for room, it marks the nodes that it could use.
6. Whoever is not granted has its former nodes held for as long as its hold lasts.

Every outcome is entered before the next job is judged, so that no two grants overlap. Room is found by `search`,
reasons by `diagnosis`, the rule by which jobs may pass each other stands in `backfill`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trainyard.api.reasons import Reason
from trainyard.api.types import Placement
from trainyard.model.cluster import (
    ClusterSnapshot,
    Decision,
    GangRequest,
    Grant,
    Refusal,
    SchedulingPolicy,
)
from trainyard.model.instants import format_instant
from trainyard.model.views import Instant
from trainyard.scheduling.backfill import Marks
from trainyard.scheduling.diagnosis import Diagnosis
from trainyard.scheduling.gates import first_obstacle
from trainyard.scheduling.messages import Obstacle
from trainyard.scheduling.order import in_order
from trainyard.scheduling.placement import Ranks
from trainyard.scheduling.round import Round
from trainyard.scheduling.search import Room, Search
from trainyard.scheduling.shape import GangShape


def schedule(
    cluster: ClusterSnapshot, requests: Sequence[GangRequest], policy: SchedulingPolicy, now: Instant
) -> Decision:
    """Judge every request once, in order of the queue."""
    round_ = Round(cluster, requests, policy, now)
    search = Search(round_)
    diagnosis = Diagnosis(search)
    grants: list[Grant] = []
    refusals: list[Refusal] = []
    for request in in_order(requests, cluster):
        outcome = first_obstacle(round_, request) or _seek(search, diagnosis, request)
        if isinstance(outcome, Obstacle):
            refusals.append(_refuse(search, request, outcome))
        else:
            round_.enter_grant(request, outcome)
            grants.append(_grant(round_, request, outcome))
    return Decision(tuple(grants), tuple(refusals))


def _seek(search: Search, diagnosis: Diagnosis, request: GangRequest) -> Ranks | Obstacle:
    """Nodes by rank; nothing by rank for a Delegated gang; or why there is no place."""
    if search.round.delegated(request):
        return {}
    shape = search.shape(request)
    found = _look(search, request, shape)
    if not isinstance(found, dict) and _any_back(search, request, shape):
        request = replace(request, avoid=replace(request.avoid, away=frozenset()))
        found = _look(search, request, shape)
    return diagnosis.why(request, shape) if found is None else found


def _any_back(search: Search, request: GangRequest, shape: GangShape) -> bool:
    """One of the nodes that were away may be used again."""
    index = search.round.topology.index
    back = {index[name] for name in request.avoid.away if name in index}
    return any(not back.isdisjoint(suited.usable) for suited in search.suited(shape))


def _look(search: Search, request: GangRequest, shape: GangShape) -> Ranks | Obstacle | None:
    """A place off the nodes that the job avoids, whose rights forbid it, or None where there is none."""
    round_ = search.round
    closed = round_.backfill.closed(request)
    ranks = _beside_others(search, request, shape, closed)
    if ranks is None:
        ranks = search.find(request, shape, Room.OPEN, closed)
    if ranks is not None:
        return ranks
    for room in (Room.OPEN, Room.FREE):
        ranks = search.find(request, shape, room)
        if ranks is not None:
            return _rights_of_others(round_, request, ranks, room) or ranks
    return None


def _beside_others(search: Search, request: GangRequest, shape: GangShape, closed: Marks) -> Ranks | None:
    """A place that displaces no kept rank of another job, at no cost to this one's own kept ranks and topology."""
    homes = search.round.homes_of_others(request)
    if not homes:
        return None
    strict = shape if shape.required >= 0 else replace(shape, required=shape.preferred)
    look = search.kept if request.keep else search.find
    return look(request, strict, Room.OPEN, closed | homes)


def _rights_of_others(round_: Round, request: GangRequest, ranks: Ranks, room: Room) -> Obstacle | None:
    """Whose hold or mark forbids a place that has the room."""
    holder = round_.backfill.holder(ranks.values()) if room is Room.FREE else None
    if holder is not None:
        return Obstacle(
            Reason.BEHIND_OTHER_JOB,
            f"There is room only on nodes held for {holder.key}, which is ahead and restarts there; the hold ends at "
            f"{format_instant(holder.held_until)}. Nothing need be done. See: kubectl get tj "
            f"{holder.key.name} -n {holder.key.namespace}",
            until=holder.held_until,
            waits=True,
        )
    mark = round_.backfill.in_the_way(request, ranks.values(), len(round_.topology.names))
    return None if mark is None else round_.behind(request, *mark, "take nodes that a job ahead could use")


def _refuse(search: Search, request: GangRequest, obstacle: Obstacle) -> Refusal:
    round_ = search.round
    if obstacle.waits:
        for_nodes = obstacle.for_nodes and not round_.delegated(request)
        round_.enter_wait(request, search.useful(search.shape(request)) if for_nodes else 0)
    elif request.held_until > round_.now:
        round_.quotas.wait(request)  # its share is held as its nodes are
    round_.enter_hold(request)
    return Refusal(
        request.key, request.uid, obstacle.reason, obstacle.message, obstacle.until, clear_kept=obstacle.clear_kept
    )


def _grant(round_: Round, request: GangRequest, ranks: Ranks) -> Grant:
    names = round_.topology.names
    return Grant(
        key=request.key,
        uid=request.uid,
        attempt=request.attempt,
        spec_hash=request.spec_hash,
        nodes=tuple(names[ranks[rank]] if ranks else "" for rank in range(request.size)),
        at=round_.now,
        placement=Placement.BUILTIN if ranks else Placement.DELEGATED,
    )
