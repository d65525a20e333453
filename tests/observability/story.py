"""What a cluster goes through while a Prometheus looks on: jobs wait, run, fail, recover, finish; nodes and leaders go.

Each act ends when what it is about has been seen, in the API or as an alert that fires.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from observability.scraping import FakeDcgm, Watcher
from support.manifests import job, role
from support.operator import OperatorProcess
from support.proxy import Wire
from support.world import World

NEVER_STARTS = {"kwok.trainyard.dev/start": "never"}
AT_ONCE = {"initialSeconds": 0, "maxSeconds": 0}
QUICK = {
    "settle_time": "3s",
    "avoid_time": "1s",
    "lease_duration": "15s",
    "renew_deadline": "10s",
    "retry_period": "1s",
}
GANG = 4
LOADS = {"llm": 0.93, "vision": 0.0}


class Story:
    """The acts, in their order. `pause` is how long the cluster is left alone between them."""

    def __init__(self, world: World, wire: Wire, folder: Path, pause: float = 0.0, every: str = "1s") -> None:
        self.world = world
        self.wire = wire
        self.pause = pause
        self.every = every
        self.gpus = FakeDcgm(world, lambda name: LOADS.get(name, 0.6), gpus_each=2)
        self.folder = folder
        self.operators: list[OperatorProcess] = []
        self.nodes: list[str] = []
        self._over = AsyncExitStack()

    async def begin(self) -> None:
        """Six nodes of eight GPUs; a leader and a standby, scraped from now on."""
        self.nodes = await self.world.add_nodes(6)
        for name in ("operator-a", "operator-b"):
            self.operators.append(await self.world.operator(name, kubeconfig=str(self.wire.kubeconfig), **QUICK))
        self._over.push_async_callback(self.gpus.stop)
        await self.gpus.start()
        self.watcher = Watcher(self.folder, self.operators, self.gpus, self.every)
        self._over.push_async_callback(self.watcher.stop)
        await self.watcher.start()

    async def end(self) -> None:
        """Of what has begun."""
        await self._over.aclose()

    async def rest(self) -> None:
        if self.pause:
            await self.world.quiet(self.pause)

    async def fires(self, *names: str, seconds: float = 60.0) -> None:
        """Wait until each of these alerts has fired."""
        for name in names:
            await self.world.poll(partial(self.watcher.firing, name), f"alert {name}", seconds)

    # The acts

    async def jobs_come(self) -> None:
        """Two run, one finishes, and four wait or fail, each in its own way."""
        patient = {"maxRestarts": 20, "backoff": AT_ONCE}
        await self.world.apply(job("llm", role(replicas=GANG, gpus=8), failurePolicy=patient))
        await self.world.apply(job("vision", role(replicas=2, gpus=4), failurePolicy=patient))
        await self.world.apply(job("hello", role(replicas=1)))
        await self.world.apply(job("doomed", role(replicas=1), failurePolicy={"maxRestarts": 0}))
        await self.world.until_phase("llm", "Running")
        await self.world.until_phase("vision", "Running")
        await self.world.apply(job("half-there", role(replicas=2, gpus=4, annotations=NEVER_STARTS)))
        await self.world.apply(job("queued", role(replicas=6, gpus=8)))
        await self.world.apply(job("impossible", role(replicas=1, gpus=64)))
        await self.world.until_phase("hello", "Running")
        await self.rest()
        await self.world.finish_all("hello")
        await self.world.until_phase("hello", "Succeeded")

    async def some_are_beyond_help(self) -> None:
        """One fails for good, one can never start, one waits long, one holds GPUs and does not start, one idles."""
        await self.world.until_phase("doomed", "Running")
        await self.world.finish_all("doomed", code=1)
        await self.world.until_phase("doomed", "Failed")
        await self.fires(
            "TrainyardJobFailed",
            "TrainyardJobCannotStart",
            "TrainyardJobPendingTooLong",
            "TrainyardGangHeldIdle",
            "TrainyardGpuIdleWhileRunning",
        )

    async def one_crashes_again_and_again(self) -> None:
        """Three application failures, each answered by a restart of the whole gang."""
        for _ in range(3):
            before = self.world.status("llm")["attempt"]
            await self.world.annotate(self.world.live("llm")[1]["metadata"]["name"], exit_code="1")
            await self.world.until(lambda: self.world.status("llm")["attempt"] > before, "the next attempt")  # noqa: B023
            await self.world.until_phase("llm", "Running")
            await self.rest()
        await self.fires("TrainyardJobRestartLoop", "TrainyardNodeHurtsJobs")

    async def others_come_and_go(self, count: int = 8) -> None:
        """Small jobs, one after the other; every fourth fails."""
        for i in range(count):
            name = f"small-{i}"
            once = {"maxRestarts": 0}
            # Without a deadline it would stay behind the job that waits for all nodes.
            await self.world.apply(job(name, role(replicas=2), failurePolicy=once, activeDeadlineSeconds=300))
            await self.world.until_phase(name, "Running")
            await self.world.quiet(min(self.pause, 3 + i))
            code = 1 if i % 4 == 3 else 0
            await self.world.finish_all(name, code)
            await self.world.until_phase(name, "Failed" if code else "Succeeded")

    async def one_pauses(self) -> None:
        """Suspended and resumed by its owner."""
        await self.world.patch_job("llm", {"suspend": True})
        await self.world.until_phase("llm", "Suspended")
        await self.rest()
        await self.world.patch_job("llm", {"suspend": False})
        await self.world.until_phase("llm", "Running")
        await self.rest()

    async def one_is_disrupted(self) -> None:
        """Somebody deletes a pod."""
        await self.world.delete_pod(self.world.live("vision")[0]["metadata"]["name"])
        await self.world.until(lambda: self.world.status("vision")["attempt"] == 1, "the next attempt")
        await self.world.until_phase("vision", "Running")
        await self.rest()

    async def a_node_dies(self) -> None:
        """No other is free: the gang waits until the node is back."""
        victim = self.world.live("llm")[0]["spec"]["nodeName"]
        await self.world.silence_node(victim)
        await self.fires("TrainyardNodesUnavailable", "TrainyardJobNotRecovering", seconds=90)
        await self.rest()
        await self.world.revive_node(victim)
        await self.world.until_phase("llm", "Running", seconds=90)
        await self.rest()

    async def the_leader_dies(self) -> None:
        """Nobody leads until the standby takes over."""
        leader = await self.world.poll(self._leader, "a leader")
        standby = next(operator for operator in self.operators if operator is not leader)
        await leader.kill()
        await self.fires("TrainyardNoLeader")
        await self.world.poll(lambda: self._leader() is standby, "the standby to lead")
        await leader.start()
        await self.rest()
        await self.rest()

    async def the_api_server_is_cut_off(self) -> None:
        """For a while no request gets through."""
        await self.wire.cut()
        await self.fires("TrainyardApiErrors", seconds=90)
        await self.wire.mend()
        await self.world.poll(self._leader, "a leader", 90)
        await self.rest()

    async def nobody_is_left(self) -> None:
        """Both operators go."""
        await asyncio.gather(*(operator.kill() for operator in self.operators))
        await self.fires("TrainyardOperatorDown")

    def _leader(self) -> OperatorProcess | None:
        """As Prometheus sees it; blocks."""
        leads = self.watcher.api.value
        return next((o for o in self.operators if leads(f'trainyard_leader{{pod="{o.log.stem}"}}') == 1), None)
