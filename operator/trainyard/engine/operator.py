"""The engine's life: fill the store, wait for the Lease, work while it is ours, stop at once when it is not.

What is decided, and how it is written, is told elsewhere; here stands only what runs when.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from functools import partial
from typing import Any

import structlog

from trainyard.engine.engine_settings import EngineSettings
from trainyard.engine.events import Events
from trainyard.engine.executor import Executor
from trainyard.engine.fleet import freeze
from trainyard.engine.hands import Hands
from trainyard.engine.informers import build_informers, catch_up
from trainyard.engine.manifests import LaunchManifests
from trainyard.engine.queue import Target, WorkQueue, work
from trainyard.engine.reconciler import Planner, Reconciler
from trainyard.engine.scheduling_loop import Scheduler, SchedulingLoop
from trainyard.engine.sight import Sight
from trainyard.engine.store import Store
from trainyard.engine.telemetry_port import NullTelemetry, Telemetry
from trainyard.kube.client import Client
from trainyard.kube.clock import steady
from trainyard.kube.errors import KubeError
from trainyard.kube.informer import Informer, Watchdog
from trainyard.kube.lease import LeaderElector
from trainyard.model.cluster import places_blindly
from trainyard.model.views import Key
from trainyard.planning import plan
from trainyard.planning.offenders import repeat_offenders
from trainyard.scheduling import schedule
from trainyard.telemetry.fleet import Fleet

RELEASE_SECONDS = 3.0
"""For giving the Lease back when told to stop."""
POLL_SECONDS = 0.05
FIRST_LOOK_SECONDS = 30.0
"""For which a new leader waits at most until it has looked at every job."""
CATCH_UP_PAUSE = 1.0
LAG_SECONDS = 0.5
OFFENDERS_SECONDS = 60.0

log = structlog.get_logger(__name__)


class EngineDead(Exception):
    """The engine cannot be trusted any more: the process should end and be started again (I15)."""


class Engine:
    """One per process. `run` it; ask it how it is; poke it if you like."""

    def __init__(
        self,
        client: Client,
        lease_client: Client,
        settings: EngineSettings,
        telemetry: Telemetry | None = None,
        *,
        planner: Planner | None = None,
        scheduler: Scheduler = schedule,
    ) -> None:
        self._client = client
        self._settings = settings
        self._telemetry = telemetry or NullTelemetry()
        self.queue = WorkQueue()
        self.store = Store(self)
        self._elector = LeaderElector(lease_client, settings.lease, on_started=self._lead, on_lost=self._stop_leading)
        writer = client.fenced(self._elector.fence)
        hands = Hands(writer, self.store, LaunchManifests(settings.launch), settings, self._telemetry)
        self._unreadable: dict[Informer[Any], int] = {}
        """Unreadable objects as last told."""
        self._events = Events(writer, settings.lease.identity)
        self._scheduling = SchedulingLoop(hands, scheduler, self._mark)
        self._reconciler = Reconciler(
            hands,
            Executor(hands, self._events),
            self.queue,
            planner or partial(plan, launch=settings.launch),
            self._scheduling.wake,
        )
        self._informers: list[Informer[Any]] = build_informers(
            client, self.store, settings.namespaces, settings.watch_silence
        )
        self._sight = Sight(self._informers)
        self._dead: list[str] = []
        self._watchdog = Watchdog(self._informers, on_dead=self._dead.extend, bound=settings.watch_lost_after)
        self._offenders: dict[str, int] = {}
        """Nodes that hurt jobs repeatedly, and how often, as last told."""
        self._offenders_due = 0.0
        self._working = False
        self._unvisited: set[Target] = set()
        """Who has not been looked at since this process leads."""
        self._all_visited = asyncio.Event()
        self._idle = asyncio.Event()
        """Set while nothing of ours writes."""
        self._idle.set()

    # the store's listener

    def job_changed(self, target: Target, *, urgent: bool) -> None:
        """Into the work queue; a process that does not lead plans nothing."""
        if self._working:
            self.queue.add(target, self._reconciler.delay(urgent=urgent))

    def capacity_changed(self) -> None:
        """The scheduler may have something to say."""
        if self._working:
            self._scheduling.wake()

    def _mark(self, target: Target) -> None:
        self.job_changed(target, urgent=True)

    # what others ask

    def poke(self, namespace: str, name: str, version: str) -> None:
        """Look at this job, unless its state of that version was known: never needed, never wrong. Most of what others
        could tell us of is what we wrote ourselves."""
        key = Key(namespace, name)
        if not self.store.knows(key, version):
            self._mark(Target(key))

    @property
    def leading(self) -> bool:
        return self._elector.leading

    def ready(self) -> tuple[bool, str]:
        """Whether what the store holds is current; a standby is ready too."""
        problems = self._watchdog.not_ready()
        return not problems, "; ".join(problems)

    def alive(self) -> tuple[bool, str]:
        """Whether work gets done."""
        if self._dead:
            return False, "; ".join(self._dead)
        waited, worked = self.queue.oldest_ready(), self.queue.longest_active()
        if max(waited, worked) > self._settings.stuck_after:
            return False, f"a job has been ready for {waited:.0f} s, or in work for {worked:.0f} s"
        return True, ""

    # life

    async def run(self) -> None:
        """Until cancelled. Raises EngineDead where only a new process helps."""
        try:
            async with asyncio.TaskGroup() as group:
                for informer in self._informers:
                    group.create_task(informer.run(), name=f"informer {informer.resource}")
                group.create_task(self._elections(), name="elections")
                group.create_task(self._events.run(), name="events")
                group.create_task(self._watch_over(), name="watchdog")
                group.create_task(self._measure_lag(), name="lag")
        except BaseExceptionGroup as failures:
            if failures.subgroup(EngineDead) is None:
                raise
            raise EngineDead("; ".join(self._dead)) from None
        finally:
            await self._idle.wait()
            await _bounded(self._elector.release())

    async def _elections(self) -> None:
        """Again and again: a Lease that was lost may be won once more."""
        while True:
            await self._elector.run()

    async def _lead(self) -> None:
        """All records of open attempts are in the store before anything is decided."""
        started = steady()
        await self._filled()
        await self._catch_up()
        self._idle.clear()
        try:
            self._begin()
            log.info("leading", seconds=round(steady() - started, 1), **self.store.counts())
            async with asyncio.TaskGroup() as group:
                group.create_task(work(self.queue, self._visit, self._settings.workers))
                group.create_task(self._place())
        finally:
            self._working = False
            self._telemetry.leading(False)
            self._idle.set()

    async def _visit(self, target: Target) -> None:
        await self._reconciler.reconcile(target)
        self._unvisited.discard(target)
        if not self._unvisited:
            self._all_visited.set()

    async def _place(self) -> None:
        """Nobody is given a place before all jobs were looked at once: who is ahead of him may not have asked yet."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK_SECONDS):
                await self._all_visited.wait()
        await self._scheduling.run()

    async def _catch_up(self) -> None:
        while True:
            try:
                return await catch_up(self._client, self.store, self._settings.namespaces)
            except KubeError as error:
                log.warning("cannot read what the last leader wrote, trying again", error=str(error))
                await asyncio.sleep(CATCH_UP_PAUSE)

    def _begin(self) -> None:
        """Nothing that was remembered from an earlier lead counts: another process may have led meanwhile."""
        self.store.memory.clear()
        self.queue.clear()
        self._working = True
        self._telemetry.leading(True)
        self._unvisited = set(self.store.targets())
        self._all_visited.clear()
        if not self._unvisited:
            self._all_visited.set()
        for target in self._unvisited:
            self._mark(target)

    async def _stop_leading(self) -> None:
        """The fence has closed and the workers are cancelled; a standby keeps only what it watches."""
        await self._idle.wait()
        self.queue.clear()

    async def _filled(self) -> None:
        """Every informer was given everything once; those that need not be there may be refused instead."""
        for informer in self._informers:
            if informer.required:
                await informer.wait_synced()
        while not self._sight.settled():  # noqa: ASYNC110 (a refusal is no event)
            await asyncio.sleep(POLL_SECONDS)
        self._look_around()

    def _look_around(self) -> None:
        """What may be read has changed: every job may be placed, or judged, otherwise."""
        unseen = self._sight.unseen()
        if unseen == self.store.unseen:
            return
        self.store.unseen = unseen
        if places_blindly(unseen):
            log.warning("Builtin gangs are left to the cluster's scheduler, as if Delegated", unseen=sorted(unseen))
        else:
            log.info("Builtin gangs are placed", unseen=sorted(unseen))
        for target in self.store.targets():
            self._mark(target)
        self.capacity_changed()

    async def _watch_over(self) -> None:
        while True:
            self._watchdog.check()
            if self._dead:
                raise EngineDead("; ".join(self._dead))
            if self._working:
                self._look_around()
            self.report()
            self._tell_offenders()
            await asyncio.sleep(self._settings.report_interval)

    def _tell_offenders(self) -> None:
        """Nodes that hurt jobs again and again, each once for every further time."""
        if not self._working or steady() < self._offenders_due:
            return
        self._offenders_due = steady() + OFFENDERS_SECONDS
        found = repeat_offenders((job.status for job in self.store.jobs.values()), self._client.clock.now())
        for node, times in found.items():
            if times > self._offenders.get(node, 0):
                see = f"kubectl describe node {node}"
                log.warning("a node has hurt jobs repeatedly", node=node, times_a_day=times, see=see)
        self._offenders = found

    async def _measure_lag(self) -> None:
        """How long a task that only wants to run has to wait for it."""
        while True:
            due = steady() + LAG_SECONDS
            await asyncio.sleep(LAG_SECONDS)
            self._telemetry.lag(max(0.0, steady() - due))

    def report(self) -> None:
        """Tell how things stand now."""
        now, telemetry = steady(), self._telemetry
        telemetry.lease(self._elector.age)
        telemetry.queue(*self.queue.depth(), self.queue.oldest_ready(), self.queue.longest_active())
        telemetry.in_flight(*self._client.in_flight)
        telemetry.objects(self.store.counts())
        if self._working:
            telemetry.jobs([job.uid for job in self.store.jobs.values()], self._client.clock.now())
        self._report_watches(now)

    def _report_watches(self, now: float) -> None:
        """Of two informers of one resource the worse counts."""
        silent: dict[str, float] = {}
        healthy: dict[str, bool] = {}
        for informer in self._informers:
            resource = str(informer.resource)
            if informer.required or informer.refused is None:
                healthy[resource] = informer.healthy(now) and healthy.get(resource, True)
                if informer.last_activity is not None:
                    silent[resource] = max(now - informer.last_activity, silent.get(resource, 0.0))
            more = informer.poisoned - self._unreadable.get(informer, 0)
            if more:
                self._telemetry.unreadable(resource, more)
            self._unreadable[informer] = informer.poisoned
        self._telemetry.watches(silent, healthy)

    def fleet(self) -> Fleet | None:
        """All jobs as they are now; None where another process leads, which tells of them."""
        if not self._working:
            return None
        return freeze(self.store, self._client.clock.now(), self._settings.scheduling.owned_nodes)


async def _bounded(release: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(RELEASE_SECONDS):
            await release
    except TimeoutError:
        log.warning("the Lease was not given back in time")
