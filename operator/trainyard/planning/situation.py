"""What holds now, derived once per pass: members of the open attempt, live and dead pods, durations seen to last.

Answers questions about the snapshot; decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from trainyard.api.effective import EffectiveRole, effective_roles
from trainyard.api.names import hosts_name, pod_name, record_name, uid5
from trainyard.api.types import DeadNodeAction, FailurePolicy, JobSpec
from trainyard.launch import LaunchSettings
from trainyard.model.plan import JobSnapshot, PlanningPolicy
from trainyard.model.record import Record, RecordRole
from trainyard.model.status import JobStatus
from trainyard.model.views import Instant, JobView, NodeReady, PodView, Toleration
from trainyard.planning.notebook import LASTING, Notebook
from trainyard.planning.silence import Doubt, Silence, doubt_silence

SHAKEN = 120.0
"""So many seconds after silent nodes were doubted, failures are still put down to them: a node that was switched off
and on answers before its kubelet tells what became of its pods."""

BY_KUBELET = frozenset(
    {"Evicted", "NodeShutdown", "Shutdown", "Terminated", "NodeLost", "Preempting", "ContainerStatusUnknown"}
)
"""status.reason of pods that the kubelet ended for its node's sake."""


@dataclass(slots=True, eq=False)
class Member:
    """One rank of the open attempt. Never changed, but not frozen: every pass makes one for each rank, and a frozen one
    costs three times as much to make."""

    rank: int
    role: RecordRole
    index: int
    node: str
    """By the record; empty where the cluster's scheduler chooses."""
    name: str
    """Of its pod."""
    pod: PodView | None
    last: PodView | None
    """Its pod, or where that is gone, the last state of it."""
    done: bool
    """It ended as it may, while nobody was deleting or evicting it: by exit 0, or after it had served."""

    @property
    def place(self) -> str:
        """The node it runs on, or should."""
        return (self.last.node if self.last else "") or self.node

    @property
    def bound(self) -> bool:
        return self.done or (self.pod is not None and self.pod.node != "")

    @property
    def was_bound(self) -> bool:
        """Though its pod may be gone since."""
        return self.done or (self.last is not None and self.last.node != "")

    @property
    def well(self) -> bool:
        """It is not done, its pod is there, and nothing but its node could be said against it."""
        return not self.done and self.pod is not None and self.pod.deletion is None and not self.pod.exited

    @property
    def started(self) -> bool:
        return self.done or (self.last is not None and self.last.trainer.started)


class Situation:
    """The snapshot seen through the questions of the planner. Lives for one pass."""

    def __init__(
        self, snapshot: JobSnapshot, job: JobView, now: Instant, policy: PlanningPolicy, launch: LaunchSettings
    ) -> None:
        self.snapshot = snapshot
        self.job = job
        self.now = now
        self.policy = policy
        self.launch = launch
        self.note = Notebook(now, dict(snapshot.seen))
        self.tolerations: dict[str, tuple[Toleration, ...]] = {}
        """By role: worked out once a pass, for it takes a rendered pod."""
        doubted = {self.status.attempt: self.doubt is not None, self.status.attempt - 1: False}
        self.shaken = frozenset(n for n, holds in doubted.items() if self.note.lately(f"doubt in {n}", SHAKEN, holds))
        """Attempts whose nodes are silent and doubted, or were moments ago: what fails there fails because of that."""

    @property
    def status(self) -> JobStatus:
        return self.job.status

    @property
    def spec(self) -> JobSpec | None:
        return self.job.spec

    @property
    def waits(self) -> bool:
        """No attempt is open, and the job wants one."""
        status = self.status
        ended = status.open or status.terminal or status.finishing is not None
        return not ended and self.spec is not None and not self.job.suspend

    @property
    def failure_policy(self) -> FailurePolicy:
        """The job's, or the defaults while its spec cannot be read: a running gang is judged either way."""
        return self.spec.failure_policy if self.spec else FailurePolicy()

    @cached_property
    def prefix(self) -> str:
        """What the names of the open attempt's pods begin with."""
        return record_name(self.job.name, uid5(self.job.uid), self.status.attempt)

    @cached_property
    def record(self) -> Record | None:
        """The record of the open attempt; where it was lost under a created gang, what the pods' labels tell."""
        if not self.status.open:
            return None
        found = self.snapshot.records.get(self.status.attempt)
        if found is None and self.record_lost and self.status.gang_created:
            return self._record_by_labels()
        return found

    @property
    def record_lost(self) -> bool:
        return self.status.open and self.snapshot.record_missing

    def _record_by_labels(self) -> Record | None:
        if self.spec is None:
            return None
        roles = tuple(
            RecordRole(r.name, r.replicas, r.completes, r.trainer, r.framework.value, r.gpus, r.processes_per_pod)
            for r in effective_roles(self.spec)
        )
        pods = [p for p in self.snapshot.pods if p.incarnation == self.status.attempt]
        nodes = {p.rank: p.node for p in pods}
        size = sum(r.replicas for r in roles)
        return Record(
            job_uid=self.job.uid,
            attempt=self.status.attempt,
            roles=roles,
            nodes=tuple(nodes.get(rank, "") for rank in range(size)),
            spec_hash=self.job.spec_hash,
            build=self.policy.build,
            created=min((p.created for p in pods), default=self.now),
        )

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """The ranks of the open attempt, in order; empty while none is open."""
        record = self.record
        if record is None:
            return ()
        pods = {p.name: p for p in self.snapshot.pods}
        gone = {p.name: p for p in self.snapshot.collected}
        members: list[Member] = []
        for role in record.roles:
            remembered, stem = self.status.completed(role.name), f"{self.prefix}-{role.name}-"
            for index in range(role.replicas):
                rank, name = len(members), f"{stem}{index}"
                pod = pods.get(name)
                last = pod or gone.get(name)
                done = index in remembered or (role.completes and _succeeded(last))
                members.append(Member(rank, role, index, record.nodes[rank], name, pod, last, done))
        _let_servers_end(members)
        return tuple(members)

    @cached_property
    def member_names(self) -> frozenset[str]:
        return frozenset(m.name for m in self.members)

    @cached_property
    def all_done(self) -> bool:
        completing = [m for m in self.members if m.role.completes]
        return bool(completing) and all(m.done for m in completing)

    @cached_property
    def all_started(self) -> bool:
        return self.status.gang_created and bool(self.members) and all(m.started for m in self.members)

    def node_lost(self, name: str) -> bool:
        return name != "" and not self.nodes_unseen and name not in self.snapshot.nodes

    @property
    def nodes_unseen(self) -> bool:
        """Nodes may not be read: nothing is known of any, so none is judged."""
        return "nodes" in self.snapshot.unseen

    def node_unreachable(self, name: str) -> bool:
        node = self.snapshot.nodes.get(name)
        return node is not None and node.ready is NodeReady.UNKNOWN

    @cached_property
    def doubt(self) -> Doubt | None:
        """Why ranks of the open attempt are not given up though their nodes fell silent; None where none did, and
        where the silence is believed."""
        silent = self.snapshot.silent
        if not silent or not all(m.was_bound for m in self.members):
            return None
        mine = self.silent_nodes
        found = Silence(mine, silent, self.snapshot.node_count, bool(mine) and self._silent_whole())
        return doubt_silence(found, self.policy.outage_seconds, self.note)

    @cached_property
    def silent_nodes(self) -> frozenset[str]:
        """Those with ranks that are well by all else that is known."""
        return frozenset(m.place for m in self.members if m.well and m.place in self.snapshot.silent)

    def _silent_whole(self) -> bool:
        """All ranks of a world are silent, or the owner wants dead pods waited for: the next attempt would wait."""
        action = self.failure_policy.dead_node.action
        if action is not DeadNodeAction.AUTO:
            return action is DeadNodeAction.WAIT
        heard = {m.role.framework for m in self.members if not (m.well and m.place in self.silent_nodes)}
        return any(m.role.framework not in heard for m in self.members if m.role.completes)

    @cached_property
    def dead(self) -> frozenset[str]:
        """UIDs of pods past their deletionTimestamp on a node that stopped answering or is gone."""
        return frozenset(p.uid for p in (*self.snapshot.pods, *self.snapshot.strangers) if self._is_dead(p))

    def _is_dead(self, pod: PodView) -> bool:
        if pod.deletion is None or pod.terminal or pod.node == "":
            return False
        if not (self.node_lost(pod.node) or self.node_unreachable(pod.node)):
            return False
        seen = self.note.lasted(f"ending:{pod.uid}", min(float(pod.deletion_grace), LASTING))
        return self.note.due(pod.deletion) and seen

    @cached_property
    def live(self) -> tuple[PodView, ...]:
        """Pods of every attempt that may still run."""
        return tuple(p for p in self.snapshot.pods if not p.terminal and p.uid not in self.dead)

    @cached_property
    def harmless(self) -> frozenset[str]:
        """UIDs of the dead pods beside which the next attempt may open: as the owner said, else those of worlds that
        have lost a rank."""
        action = self.failure_policy.dead_node.action
        if action is DeadNodeAction.WAIT or not self.dead:
            return frozenset()
        return self.dead if action is DeadNodeAction.PROCEED else self.dead - self._in_whole_worlds()

    def _in_whole_worlds(self) -> frozenset[str]:
        """UIDs of dead pods whose whole world is dead. Nobody is known to be missing there, as with a gang of one pod
        or one that filled a single node: should they run on, cut off, nothing keeps them from training."""
        gangs: dict[tuple[str, int], dict[str, str]] = {}
        for pod in (*self.snapshot.pods, *self.snapshot.strangers):
            if pod.uid in self.dead:
                gangs.setdefault((pod.job_uid or pod.left_behind, pod.incarnation), {})[pod.name] = pod.uid
        whole: set[str] = set()
        for (owner, attempt), dead in gangs.items():
            for names in self._worlds(owner, attempt):
                if dead.keys() >= names:
                    whole.update(dead[name] for name in names)
        return frozenset(whole)

    def _worlds(self, owner: str, attempt: int) -> Iterable[set[str]]:
        """The names of each world's pods, but of worlds that only serve others. Where the record cannot be had, as
        that of an earlier job of this name, the gang is taken to have had today's shape."""
        record = self.snapshot.records.get(attempt) if owner == self.job.uid else None
        roles: Iterable[RecordRole | EffectiveRole] = ()
        if record is not None:
            roles = record.roles
        elif self.spec is not None:
            roles = effective_roles(self.spec)
        worlds: dict[str, set[str]] = {role.framework: set() for role in roles if role.completes}
        short = uid5(owner)
        for role in roles:
            if role.framework in worlds:
                names = (pod_name(self.job.name, short, attempt, role.name, i) for i in range(role.replicas))
                worlds[role.framework].update(names)
        return worlds.values()

    @cached_property
    def blocking(self) -> tuple[PodView, ...]:
        """Pods that keep the next attempt from opening."""
        return tuple(p for p in self.snapshot.pods if not p.terminal and p.uid not in self.harmless)

    @cached_property
    def blocking_strangers(self) -> tuple[PodView, ...]:
        """Pods of an earlier job of this name that keep the next attempt from opening."""
        return tuple(p for p in self.snapshot.strangers if not p.terminal and p.uid not in self.harmless)

    @property
    def lacks_hosts(self) -> bool:
        """The open attempt's hosts ConfigMap is missing and can be made from its record."""
        if self.record is None or self.record_lost or self.status.attempt in self.snapshot.hosts:
            return False
        return self.hosts_name not in self.snapshot.foreign_names

    @cached_property
    def hosts_name(self) -> str:
        """Name of the open attempt's hosts ConfigMap."""
        return hosts_name(self.job.name, uid5(self.job.uid), self.status.attempt)

    @cached_property
    def hosts_left(self) -> tuple[str, ...]:
        """Hosts ConfigMaps of ours that exist while none should."""
        return tuple(h.name for h in self.snapshot.hosts.values() if h.owner_uid == self.job.uid)

    @cached_property
    def dead_names(self) -> tuple[str, ...]:
        pods = (*self.snapshot.pods, *self.snapshot.strangers)
        return tuple(sorted(p.name for p in pods if p.uid in self.dead))


def _let_servers_end(members: Sequence[Member]) -> None:
    """A server that ended is done, whatever its code, once a replica of those that it serves is: of its own world,
    unless none of that completes. Others may still need it, so one that was taken away is not done. Told in the status
    as completed, it is no lost pod to an operator that starts when it is gone."""
    ended = [m for m in members if not m.role.completes and m.last is not None and _ended_by_itself(m.last)]
    if not ended:  # as in nearly every pass, and gangs may be large
        return
    trainers = [m for m in members if m.role.completes]
    worlds = {m.role.framework for m in trainers}
    served = {m.role.framework for m in trainers if m.done}
    for member in ended:
        world = member.role.framework
        if world in served or (served and world not in worlds):
            member.done = True


def _ended_by_itself(pod: PodView) -> bool:
    return pod.exited and pod.calm and pod.reason not in BY_KUBELET


def _succeeded(pod: PodView | None) -> bool:
    """Exit 0 counts only while nobody was deleting or evicting the pod: trainers that handle SIGTERM exit 0 as well."""
    if pod is None or not pod.exited_zero:
        return False
    return pod.calm
