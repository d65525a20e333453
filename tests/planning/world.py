"""A tiny interpreter of plans: one job's corner of an API server, as far as planning can see it, with its checks.

Perfect and immediate: every step that is planned is done at once, status goes through the JSON that is stored, guards
of steps are honoured. Invariants are checked at every write, create and delete.
"""

from __future__ import annotations

from dataclasses import replace

from builders import JobBuilder, make_node
from builders.pods import bound, ending, exited, started
from planning.support import PATIENT
from planning.truth import untruths
from trainyard.api.names import hosts_name
from trainyard.api.reasons import Cause, ConditionType, Phase, Reason
from trainyard.api.waits import WAITS
from trainyard.model.cluster import GangRequest, Grant, Refusal
from trainyard.model.plan import (
    ConfirmRecord,
    CreateHosts,
    CreatePods,
    CreateRecord,
    CreateService,
    DeleteHosts,
    DeletePods,
    DeleteRecord,
    Plan,
    ProbeRoles,
    Step,
    WriteStatus,
)
from trainyard.model.status import JobStatus, parse_status, render_status
from trainyard.model.views import NodeReady, PodView
from trainyard.planning import plan

PASSES = 60
_CREATES = (CreateHosts, CreatePods, CreateRecord, CreateService)
_DELETES = (DeleteHosts, DeletePods, DeleteRecord)


class World:
    """A job and its nodes. `step` lets one event's consequences play out; all the rest changes facts only."""

    def __init__(self, job: JobBuilder, nodes: int) -> None:
        self.job = job
        self.spare = [f"n{i}" for i in range(nodes)]
        for name in self.spare:
            job.nodes[name] = make_node(name)
        self.created: dict[int, set[str]] = {}
        self.died_of_infrastructure: set[int] = set()
        self.writes = 0

    # Passes

    def settle(self) -> None:
        """Plan and perform until nothing is left to do but to wait."""
        for _ in range(PASSES):
            found = plan(self.job.snapshot(), self.job.now, PATIENT)
            self._check_plan(found)
            self.job.noted(found.facts)
            self._schedule(found)
            if not found.steps and self.job.grant is None:
                self._check_wait(found)
                return
            self._perform(found)
        raise AssertionError(f"still busy after {PASSES} passes: {found}")

    def _perform(self, found: Plan) -> None:
        for step in found.steps:
            if not self._do(step):
                return

    def _do(self, step: Step) -> bool:
        """True where the plan may go on."""
        job = self.job
        match step:
            case WriteStatus():
                if step.require_no_live_pods and self._live(step.dead):
                    return False
                self._write(step.status)
            case ProbeRoles():
                job.probed()
            case ConfirmRecord():
                job.record_missing = step.attempt not in job.records
            case CreateRecord():
                assert not job.hosts, "an attempt opens while hosts are left"
                job.grant = None
                if self._live(step.draft.dead):
                    return False
                if step.draft.attempt not in job.records:
                    job.stored(step.draft)
            case CreateHosts():
                job.with_hosts(step.attempt)
            case CreateService():
                job.with_service()
            case CreatePods():
                self._create(step)
            case DeletePods():
                self._delete(step)
            case DeleteHosts():
                assert step.name == hosts_name(job.name, job.uid5, step.attempt)
                del job.hosts[step.attempt]
            case DeleteRecord():
                del job.records[step.attempt]
            case _:
                raise AssertionError(f"not expected here: {step}")
        return True

    def _live(self, dead: tuple[str, ...]) -> list[PodView]:
        return [p for p in self.job.pods.values() if not p.terminal and p.name not in dead]

    def _create(self, step: CreatePods) -> None:
        job = self.job
        assert step.attempt == job.status.attempt and job.status.open, "I3: a create for an attempt that is not open"
        assert step.attempt in job.hosts, "W1: a pod before its hosts"
        assert job.status.finishing is None and not job.status.terminal, "a create after the end"
        record = job.records[step.attempt]
        alive = [p for p in job.pods.values() if not p.terminal and p.incarnation != step.attempt]
        assert {p.name for p in alive} <= set(record.dead), "I2: attempts overlap"
        names = self.created.setdefault(step.attempt, set())
        for rank in step.ranks:
            name = job.pod_name(rank)
            assert name not in names, f"I3: {name} is created twice"
            names.add(name)
        assert len(names) <= record.size
        job.create(*step.ranks)

    def _delete(self, step: DeletePods) -> None:
        job = self.job
        for ref in step.pods:
            pod = job.pods[ref.name]
            assert pod.uid == ref.uid
            over = job.status.finishing is not None or job.status.terminal
            closed = over or not job.status.open or pod.incarnation != job.status.attempt
            assert closed, f"I6: {pod.name} is deleted under an open attempt"
            self._end(pod, 30 if step.grace is None else step.grace)

    def _end(self, pod: PodView, grace: int) -> None:
        """Whoever is not running goes at once, others in their time, and those on silent nodes never."""
        if pod.terminal or pod.node == "":
            self.job.collected[pod.name] = self.job.pods.pop(pod.name)
        else:
            self.job.pods[pod.name] = ending(pod, self.job.now, grace, self.job.version)

    # Checks

    def _check_plan(self, found: Plan) -> None:
        kinds = [type(step) for step in found.steps]
        mixed = any(k in _CREATES for k in kinds) and any(k in _DELETES for k in kinds)
        assert not mixed, f"W4: deletes and creates in one plan: {kinds}"
        assert kinds.count(WriteStatus) <= 1
        if WriteStatus in kinds:
            assert kinds[-1] is WriteStatus

    def _write(self, status: JobStatus) -> None:
        self.writes += 1
        old, new = self.job.status, parse_status(render_status(status))
        assert new != old, "a status is written that says nothing new"
        assert not old.terminal or new.phase is old.phase, "I8: a terminal phase is left"
        assert old.finishing is None or new.finishing == old.finishing, "a decision to finish is changed"
        assert new.attempt - old.attempt in (0, 1), "I6"
        if new.attempt > old.attempt:
            assert old.open and len(new.episodes) == min(len(old.episodes) + 1, 20)
            assert new.episodes[-1].attempt == old.attempt
        for count in ("total", "application", "disruption"):
            assert getattr(new.restarts, count) >= getattr(old.restarts, count), f"I8: {count} goes back"
        if new.attempt == old.attempt and new.open and old.open:
            for role in old.roles:
                assert role.completed <= new.completed(role.name), "completed shrinks"
            assert new.gang_created or not old.gang_created
        self._check_blame(new)
        self._check_words(new)
        wrong = untruths(self.job, new)
        assert not wrong, f"I10: {wrong} in {new}"
        self.job.status = new
        self.job.collected = {n: p for n, p in self.job.collected.items() if p.incarnation >= new.attempt}

    def _check_blame(self, new: JobStatus) -> None:
        for episode in new.episodes:
            assert episode.settled or not episode.charged
            assert not episode.charged or episode.cause is Cause.APPLICATION_FAILURE, "I7"
            assert not (episode.charged and episode.attempt in self.died_of_infrastructure), "I7"
        allowed = self.job.parsed.failure_policy.max_restarts
        if new.open and new.attempt_record != self.job.status.attempt_record:
            unsettled = sum(not e.settled for e in new.episodes)
            assert len(new.restarts.charged) + unsettled <= allowed, "an attempt beyond the budget"

    def _check_words(self, new: JobStatus) -> None:
        assert new.reason is not None and new.observed_generation == self.job.generation, "I10"
        for condition in new.conditions:
            assert condition.message, f"{condition.type} without a message"
        if not new.open and new.finishing is None:
            placed = new.condition(ConditionType.PLACED)
            assert placed is not None and placed.status is False and placed.message, "I24"
        if new.phase is Phase.SUCCEEDED:
            role = new.roles[0]
            assert len(role.completed) == role.desired, "I9"
        if new.terminal or new.phase is Phase.SUSPENDED:
            deadless = [p for p in self._live(()) if p.deletion is None]
            assert not deadless, "I5: a live pod after the end"

    def _check_wait(self, found: Plan) -> None:
        """Whoever stands still says for what, and where only a deadline ends it, looks again by then."""
        status = self.job.status
        if status.terminal or status.phase is Phase.RUNNING:
            return
        assert status.reason is not None and status.reason in WAITS, (
            f"I24: {status.reason} says neither until when nor for whom it waits"
        )
        wait = WAITS[status.reason]
        asked = found.request is not None  # then it is the scheduler's to look again
        assert wait.outside or asked or found.requeue_at is not None, f"I24: nothing ends {status.reason}"

    # The scheduler, the kubelets, the people

    def _schedule(self, found: Plan) -> None:
        job, request = self.job, found.request
        if found.drop_grant:
            job.grant = None
        if request is None:
            job.refusal = None
        elif job.grant is None:
            job.grant, job.refusal = self._place(request)

    def _place(self, request: GangRequest) -> tuple[Grant | None, Refusal | None]:
        if self.job.now < request.not_before:
            return None, Refusal(request.key, request.uid, Reason.BACKOFF, f"not before {request.not_before}")
        avoid = request.avoid
        free = [n for n, view in self.job.nodes.items() if n not in avoid.failed and view.ready is NodeReady.TRUE]
        if len(free) < request.size:
            text = f"needs {request.size} nodes, {len(free)} are free"
            return None, Refusal(request.key, request.uid, Reason.INSUFFICIENT_CAPACITY, text)
        nodes = tuple(sorted(free, key=lambda n: (n in avoid.away, n))[: request.size])
        return Grant(request.key, request.uid, request.attempt, request.spec_hash, nodes, self.job.now), None

    def kubelets(self) -> None:
        """Whatever is due on nodes that answer: pods are bound and start, and those that are ending end."""
        job = self.job
        for pod in list(job.pods.values()):
            node = job.nodes.get(pod.node or pod.pinned)
            if node is None or node.ready is not NodeReady.TRUE:
                continue
            if pod.deletion is not None:
                if pod.deletion <= job.now:
                    job.collected[pod.name] = job.pods.pop(pod.name)
            elif pod.node == "" and pod.incarnation in job.hosts:
                job.version += 1
                job.pods[pod.name] = started(bound(pod, node.name, job.version), job.version)

    def members(self) -> list[PodView]:
        """Pods of the open attempt whose trainer runs where a kubelet answers."""
        job = self.job
        if not job.status.open:
            return []
        return [
            p
            for p in job.pods.values()
            if p.incarnation == job.status.attempt
            and p.trainer.started
            and not p.exited
            and job.nodes.get(p.node, make_node("", ready=NodeReady.UNKNOWN)).ready is NodeReady.TRUE
        ]

    def exit(self, pod: PodView, code: int) -> None:
        self.job.version += 1
        self.job.pods[pod.name] = exited(pod, code, self.job.version)

    def user_deletes(self, pod: PodView, *, evict: bool = False) -> None:
        self.job.version += 1
        if evict:
            pod = replace(pod, disruption="EvictionByEvictionAPI")
        self._end(pod, 30)

    def node_fails(self, name: str) -> None:
        self.job.node_unknown(name)
        self._note_infrastructure(name)

    def node_vanishes(self, name: str) -> None:
        self._note_infrastructure(name)
        self.job.node_gone(name)
        for pod in [p for p in self.job.pods.values() if p.node == name]:
            self.job.collected[pod.name] = self.job.pods.pop(pod.name)

    def _note_infrastructure(self, name: str) -> None:
        """Evidence that comes before an attempt's blame is settled excuses it."""
        for attempt, record in self.job.records.items():
            settled = {e.attempt for e in self.job.status.episodes if e.settled}
            if name in record.nodes and attempt not in settled:
                self.died_of_infrastructure.add(attempt)

    def node_returns(self, name: str) -> None:
        """Its pods are told that they are over. An attempt that its silence did not end goes on as if nothing had
        been."""
        self.job.nodes[name] = make_node(name)
        over = {e.attempt for e in self.job.status.episodes}
        for attempt in self.died_of_infrastructure - over:
            record = self.job.records.get(attempt)
            nodes = [self.job.nodes.get(node) for node in record.nodes] if record else []
            if all(node is not None and node.ready is NodeReady.TRUE for node in nodes):
                self.died_of_infrastructure.discard(attempt)

    def operator_restarts(self) -> None:
        """All that was only remembered is gone."""
        job = self.job
        job.seen, job.collected = {}, {}
        job.grant, job.refusal, job.probe, job.record_missing = None, None, None, False

    def time(self, seconds: float) -> None:
        self.job.passed(seconds)
        self.kubelets()
