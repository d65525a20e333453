"""The state of one round: the snapshot, and what the round itself has already given away, in order of the queue.

It enters outcomes and answers questions about them; which outcome a request gets is decided by the scheduler.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainyard.api.reasons import Reason
from trainyard.api.types import Placement
from trainyard.model.cluster import ClusterSnapshot, GangRequest, HeldDirectory, SchedulingPolicy, places_blindly
from trainyard.model.views import Instant, Key
from trainyard.scheduling.backfill import Backfill, Hold, Marks, marks
from trainyard.scheduling.filters import Filters
from trainyard.scheduling.ledger import Ledger
from trainyard.scheduling.messages import Obstacle, ahead_words, pass_words
from trainyard.scheduling.order import default_class, priority_of
from trainyard.scheduling.placement import Ranks
from trainyard.scheduling.quota import Quotas
from trainyard.scheduling.topology import Topology

_Directory = tuple[str, str, str]


class Round:
    """Snapshot, ledger, quotas, directories and marks of one call."""

    def __init__(
        self, cluster: ClusterSnapshot, requests: Sequence[GangRequest], policy: SchedulingPolicy, now: Instant
    ) -> None:
        """Build everything that is shared by all requests once."""
        self.cluster = cluster
        self.policy = policy
        self.now = now
        self.topology = Topology(cluster.nodes, policy.levels)
        self.filters = Filters(self.topology, policy.owned_nodes)
        self.ledger = Ledger(self.topology, cluster, (role for request in requests for role in request.roles))
        usual = None if "priorityclasses" in cluster.unseen else default_class(cluster)
        self.quotas = Quotas(cluster.quotas, cluster.reservations, usual)
        self.backfill = Backfill(now, policy.backfill_bound)
        self.binding: list[Key] = list(cluster.binding)
        self._returning: dict[int, set[str]] = {}
        """Node → the jobs that would go back there."""
        for request in requests:
            for node in self._held_nodes(request):
                self._returning.setdefault(node, set()).add(request.uid)
        self._directories: dict[_Directory, HeldDirectory] = {}
        for held in sorted(cluster.directories, key=_first_in):
            self._directories.setdefault((held.namespace, held.claim, held.directory), held)

    def delegated(self, request: GangRequest) -> bool:
        """The cluster's own scheduler chooses the nodes: asked for, the accelerators do not show on nodes, or room
        cannot be judged from what the operator may read."""
        blind = places_blindly(self.cluster.unseen)
        return blind or request.placement is Placement.DELEGATED or self.device_backed(request)

    def device_backed(self, request: GangRequest) -> bool:
        return any(r.claims_devices or r.accelerator in self.policy.device_backed for r in request.roles)

    def directory_holder(self, request: GangRequest) -> HeldDirectory | None:
        """The other job that has this job's checkpoint directory, or is ahead of it for it."""
        held = self._directories.get(_directory(request)) if request.directory else None
        return held if held is not None and held.job_uid != request.uid else None

    def behind(
        self, request: GangRequest, ahead: GangRequest, end_by: Instant, harm: str, *, for_nodes: bool = True
    ) -> Obstacle:
        """It must not pass the job ahead."""
        by_priority = priority_of(ahead, self.cluster) > priority_of(request, self.cluster)
        what = "room" if for_nodes else "quota"
        return Obstacle(
            Reason.BEHIND_OTHER_JOB,
            f"There is {what}, but starting now would {harm}: {ahead_words(ahead, by_priority)}. What to do: "
            f"{pass_words(end_by, self.now)}. See: kubectl get tj {ahead.key.name} -n {ahead.key.namespace}",
            waits=True,
            for_nodes=for_nodes,
        )

    def homes_of_others(self, request: GangRequest) -> Marks:
        """Nodes to which other jobs would go back: better left to them, even by jobs ahead, where others do as well.
        Not those that it would go back to itself, beside them as before."""
        if not self._returning:
            return 0
        others = (i for i, jobs in self._returning.items() if jobs and request.uid not in jobs)
        return marks(others, len(self.topology.names))

    def _held_nodes(self, request: GangRequest) -> frozenset[int]:
        if request.held_until <= self.now:
            return frozenset()
        index = self.topology.index
        return frozenset(index[name] for name in request.keep.values() if name in index)

    def enter_grant(self, request: GangRequest, ranks: Ranks) -> None:
        """Reserve what was granted against everybody behind."""
        self.quotas.grant(request)
        for node in self._held_nodes(request):
            self._returning[node].discard(request.uid)
        self._claim_directory(request)
        if not ranks:
            self.binding.append(request.key)
        for role in request.roles:
            need = self.ledger.need(role.resources)
            for rank in range(role.first_rank, role.first_rank + role.replicas) if ranks else ():
                self.ledger.take(ranks[rank], need, role.ports_of(rank - role.first_rank))

    def enter_wait(self, request: GangRequest, useful: Marks) -> None:
        """It waits for room: mark what it waits for."""
        self.backfill.wait(request, useful)
        self.quotas.wait(request)
        self._claim_directory(request)

    def enter_hold(self, request: GangRequest) -> None:
        """Keep the room of its kept ranks for it until the hold ends; jobs ahead have already had their turn."""
        held = self._held_nodes(request)
        if not held:
            return
        for role in request.roles:
            need = self.ledger.need(role.resources)
            for rank in range(role.first_rank, role.first_rank + role.replicas):
                node = self.topology.index.get(request.keep.get(rank, ""))
                if node is not None:
                    self.ledger.hold(node, need)
        self.backfill.holds.append(Hold(request, held))

    def _claim_directory(self, request: GangRequest) -> None:
        if request.directory:
            where = _directory(request)
            self._directories[where] = HeldDirectory(*where, request.key.name, request.uid)


def _directory(request: GangRequest) -> _Directory:
    return request.key.namespace, request.claim, request.directory


def _first_in(held: HeldDirectory) -> tuple[object, ...]:
    """Who may be writing comes first, then who began first. Two hold one where a directory was changed while its job
    was ending, or where both began under a build that allowed it; each must know the same one of them ahead."""
    return not held.in_use, held.since, held.job_uid
