"""Does planning hold its invariants whatever happens, in whatever order, and does it come to rest afterwards?"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from builders import make_job
from planning.support import POLICY, planned
from planning.world import World
from trainyard.api.reasons import Cause, Phase
from trainyard.model.views import NodeReady


class Life(RuleBasedStateMachine):
    """Random lives of one job."""

    world: World

    @initialize(
        size=st.integers(1, 3),
        servers=st.integers(0, 1),
        restarts=st.integers(0, 2),
        keep=st.integers(0, 2),
        dead_node=st.sampled_from(["Auto", "Proceed", "Wait"]),
    )
    def begin(self, size: int, servers: int, restarts: int, keep: int, dead_node: str) -> None:
        job = make_job().workers(size)
        if servers:
            job.role("ps", servers, completes=False)
        job.spec(failurePolicy={"maxRestarts": restarts, "keepFailedPods": keep, "deadNode": {"action": dead_node}})
        self.world = World(job, nodes=size + servers + 2)
        self._play()

    def _play(self) -> None:
        self.world.settle()
        self.world.kubelets()
        self.world.settle()

    @precondition(lambda self: self.world.members())
    @rule(which=st.integers(0, 9), code=st.sampled_from([0, 0, 1, 137]))
    def a_trainer_ends(self, which: int, code: int) -> None:
        members = self.world.members()
        self.world.exit(members[which % len(members)], code)
        self._play()

    @precondition(lambda self: self.world.members())
    @rule(which=st.integers(0, 9), evict=st.booleans())
    def a_pod_is_deleted(self, which: int, evict: bool) -> None:
        members = self.world.members()
        pod = members[which % len(members)]
        self.world.user_deletes(pod, evict=evict)
        self._play()

    @rule(which=st.integers(0, 9))
    def a_node_stops_answering(self, which: int) -> None:
        names = [n for n, view in self.world.job.nodes.items() if view.ready is NodeReady.TRUE]
        if names:
            self.world.node_fails(names[which % len(names)])
            self._play()

    @rule(which=st.integers(0, 9))
    def a_node_vanishes(self, which: int) -> None:
        names = list(self.world.job.nodes)
        if names:
            self.world.node_vanishes(names[which % len(names)])
            self._play()

    @rule()
    def the_nodes_return(self) -> None:
        for name in self.world.spare:
            self.world.node_returns(name)
        self._play()

    @rule()
    def suspend(self) -> None:
        self.world.job.suspended()
        self._play()

    @rule(edit=st.booleans())
    def resume(self, edit: bool) -> None:
        if edit and self.world.job.parsed.suspend:
            port = 20000 + self.world.job.generation
            self.world.job.spec(rendezvous={"port": port})
        self.world.job.resumed()
        self._play()

    @rule()
    def the_operator_restarts(self) -> None:
        self.world.operator_restarts()
        self._play()

    @rule(seconds=st.sampled_from([1.0, 10.0, 40.0, 100.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.time(seconds)
        self._play()

    @invariant()
    def at_most_one_pod_per_place(self) -> None:
        if not hasattr(self, "world"):
            return
        live = [(p.role, p.index) for p in self.world.job.pods.values() if not p.terminal and p.deletion is None]
        assert len(live) == len(set(live)), "I1"

    def teardown(self) -> None:
        """Once faults stop it converges, and then plans neither steps nor writes (I13)."""
        if not hasattr(self, "world"):
            return
        world, job = self.world, self.world.job
        job.resumed()
        for name in world.spare:
            world.node_returns(name)
        for _ in range(20):
            self._play()
            world.time(350.0)
        self._play()
        assert job.status.phase in (Phase.RUNNING, Phase.SUCCEEDED, Phase.FAILED), job.status
        if job.status.phase is Phase.FAILED:
            charged = [e for e in job.status.episodes if e.charged]
            assert all(e.cause is Cause.APPLICATION_FAILURE for e in charged)
            assert len(job.status.restarts.charged) > job.parsed.failure_policy.max_restarts
        found = planned(job)
        assert found.steps == () and found.request is None
        before = world.writes
        world.operator_restarts()
        self._play()
        world.time(5 * POLICY.settle_seconds)
        self._play()
        assert world.writes == before, "an operator restart writes what was not needed"


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=150, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
