"""Which of several operators may act: leader election over a Lease, and the fence that makes it safe.

A candidate believes that the holder lives as long as it sees the Lease change, and measures the lease's duration from
its own sight of the last change, on its own clock: the instants written in the Lease are for people, nobody compares
them. The holder renews, and reckons its right to write from *before* each renewal was sent. So whenever another
candidate may take over, the holder's fence has already closed, however long the holder was paused in between.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import random
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from trainyard.kube.client import Client, Object
from trainyard.kube.clock import steady
from trainyard.kube.errors import AlreadyExists, Conflict, Fenced, KubeError, NotFound
from trainyard.kube.resources import LEASES

MARGIN = 0.5  # a request's time limit ends this long before the lease does

log = logging.getLogger(__name__)


def identity_of_process(pod_name: str | None = None, pod_uid: str | None = None) -> str:
    """Who we are to other candidates. A pod keeps its identity when its container restarts, and so takes over at once
    from the process that died; outside of pods two processes of one host are two candidates."""
    return f"{pod_name}_{pod_uid}" if pod_name and pod_uid else f"{socket.gethostname()}_{os.getpid()}"


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """Where the Lease is and how fast it goes. Every candidate must use the same."""

    namespace: str
    name: str
    identity: str
    duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.retry_period * 1.2 < self.renew_deadline < self.duration - MARGIN:
            raise ValueError("a Lease needs 0 < retry period < renew deadline < duration, each with some room")


class LeaderElector:
    """Acquires the Lease, renews it, and knows at any moment whether we may write.

    Give it a client of its own: a renewal must not wait behind a thousand creates.
    """

    def __init__(
        self,
        client: Client,
        settings: LeaseSettings,
        *,
        on_started: Callable[[], Awaitable[None]],
        on_lost: Callable[[], Awaitable[None]],
    ) -> None:
        self._client = client
        self._settings = settings
        self._on_started = on_started
        self._on_lost = on_lost
        self._renewed_at: float | None = None  # None: not leading
        self._lease: Object | None = None
        self._deleted_under = ""  # the holder of a Lease that vanished
        self._seen: tuple[Any, ...] | None = None
        self._seen_at = 0.0

    @property
    def leading(self) -> bool:
        """Whether we hold the Lease as far as we know; only `fence()` says whether we may write."""
        return self._renewed_at is not None

    @property
    def age(self) -> float | None:
        """Seconds since we renewed the Lease, or, as a candidate, since we saw it change; None before we saw it."""
        if self._renewed_at is not None:
            return steady() - self._renewed_at
        return None if self._seen is None else steady() - self._seen_at

    @property
    def holder(self) -> str:
        """Who held the Lease when we last looked; empty: nobody."""
        return _holder(self._lease)

    def fence(self) -> float:
        """The seconds that a write may take now; Fenced where the last renewal is too old, or we do not lead (W10)."""
        if self._renewed_at is None:
            raise Fenced("this process is not the leader")
        age = steady() - self._renewed_at
        if age >= self._settings.renew_deadline:
            raise Fenced(f"the Lease was last renewed {age:.1f} s ago")
        return self._settings.duration - MARGIN - age

    async def run(self) -> None:
        """Wait for the Lease, lead, and return when it was lost. `on_started` runs beside the renewals, `on_lost` after
        the fence has closed. Cancelled, it stops renewing; `release()` then lets the next one in at once."""
        await self._acquire()
        log.info("leading as %s", self._settings.identity)
        started = asyncio.ensure_future(self._on_started())
        try:
            await self._renew_until_lost(started)
        except Exception:
            self._renewed_at = None  # a start that failed must not keep writing
            raise
        finally:
            started.cancel()
        self._renewed_at = None
        log.warning(
            "no longer leading as %s; the Lease is held by %s", self._settings.identity, self.holder or "nobody"
        )
        await self._on_lost()

    async def release(self) -> None:
        """Close the fence and, if the Lease is ours, give it back. Call it when nothing of ours writes any more."""
        was_leading, self._renewed_at = self.leading, None
        if not was_leading or self._lease is None or self.holder != self._settings.identity:
            return
        try:
            try:
                await self._give_back()
            except Conflict:
                # A renewal that was under way when we were told to stop may have been executed all the same.
                await self._look()
                if self.holder == self._settings.identity:
                    await self._give_back()
        except KubeError as error:
            log.warning("the Lease could not be given back, the next leader waits for its end: %s", error)

    async def _give_back(self) -> None:
        assert self._lease is not None
        spec = {**self._lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._now()}
        self._lease = await self._client.update(
            LEASES, {**self._lease, "spec": spec}, within=self._settings.retry_period
        )

    async def _acquire(self) -> None:
        while True:
            if await self._try():
                return
            await asyncio.sleep(self._settings.retry_period * random.uniform(1.0, 1.2))

    async def _renew_until_lost(self, started: asyncio.Future[None]) -> None:
        settings = self._settings
        while True:
            await asyncio.sleep(settings.retry_period)
            if started.done():
                started.result()
            if await self._try():
                continue
            assert self._renewed_at is not None
            # Another holder is certain news; a failed request is not, until the deadline.
            if self.holder != settings.identity or steady() - self._renewed_at >= settings.renew_deadline:
                return

    async def _try(self) -> bool:
        """Acquire or renew once; True if the Lease is ours as of the moment before the request was sent."""
        sent = steady()
        try:
            # Not wait_for: until Python 3.12 it loses a cancellation that comes together with the answer.
            async with asyncio.timeout(self._settings.renew_deadline / 2):
                held = await self._acquire_or_renew()
        except (KubeError, TimeoutError) as error:
            log.warning("Lease %s/%s: %s", self._settings.namespace, self._settings.name, error or "no answer")
            return False
        if held:
            self._renewed_at = sent
        return held

    async def _acquire_or_renew(self) -> bool:
        settings = self._settings
        if not self.leading or self._lease is None:
            await self._look()
            if not self._is_free():
                return False
            if self._lease is None:
                return await self._create()
        assert self._lease is not None
        try:
            lease = await self._client.update(LEASES, self._claimed(self._lease), within=settings.renew_deadline / 2)
        except (Conflict, NotFound):
            # Somebody else wrote, or our own earlier write was executed though its answer was lost.
            await self._look()
            return False
        self._note(lease)
        return True

    async def _look(self) -> None:
        try:
            self._note(await self._client.get(LEASES, self._settings.name, self._settings.namespace))
        except NotFound:
            self._note(None)

    def _note(self, lease: Object | None) -> None:
        if lease is None and self._lease is not None:
            self._deleted_under = self.holder
        self._lease = lease
        record = _record(lease)
        if record != self._seen:
            self._seen, self._seen_at = record, steady()

    def _is_free(self) -> bool:
        """Nobody's, ours, or unchanged for as long as it was taken for since we first saw it so. A Lease deleted by
        hand leaves a leader who learns of it only when it renews: its time has to pass as well."""
        holder = self._deleted_under if self._lease is None else self.holder
        if holder in ("", self._settings.identity):
            return True
        duration = _spec(self._lease).get("leaseDurationSeconds")
        return steady() - self._seen_at >= (duration if isinstance(duration, int) else self._settings.duration)

    async def _create(self) -> bool:
        settings = self._settings
        meta = {"namespace": settings.namespace, "name": settings.name}
        body = self._claimed({"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": meta})
        try:
            self._note(await self._client.create(LEASES, body, within=settings.renew_deadline / 2))
        except AlreadyExists:
            await self._look()
            return False
        return True

    def _claimed(self, lease: Object) -> Object:
        """The Lease as ours, renewed now; its resourceVersion, where it has one, stays as the precondition."""
        old = _spec(lease)
        now = self._now()
        ours = old.get("holderIdentity") == self._settings.identity
        spec = {
            **old,
            "holderIdentity": self._settings.identity,
            "leaseDurationSeconds": math.ceil(self._settings.duration),
            "renewTime": now,
            "acquireTime": old.get("acquireTime") or now if ours else now,
            "leaseTransitions": old.get("leaseTransitions") or 0 if ours else (old.get("leaseTransitions") or 0) + 1,
        }
        return {**lease, "spec": spec}

    def _now(self) -> str:
        """Server time for people to read. Before any answer there is none; the epoch says that plainly."""
        clock = self._client.clock
        instant = datetime.fromtimestamp(clock.now() if clock.ready else 0.0, UTC)
        return instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _spec(lease: Object | None) -> Mapping[str, Any]:
    return (lease or {}).get("spec") or {}


def _holder(lease: Object | None) -> str:
    return str(_spec(lease).get("holderIdentity") or "")


def _record(lease: Object | None) -> tuple[Any, ...]:
    spec = _spec(lease)
    return tuple(spec.get(name) for name in ("holderIdentity", "renewTime", "acquireTime", "leaseTransitions"))
