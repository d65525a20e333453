"""Kubernetes events: sent beside everything else, after the commit; never waited for, never a reason to fail.

The same words about the same job within ten minutes are one event with a count.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from trainyard.api.constants import API_VERSION, KIND, MANAGER
from trainyard.kube.client import Client
from trainyard.kube.clock import steady
from trainyard.kube.errors import KubeError, NotFound
from trainyard.kube.resources import EVENTS
from trainyard.model.plan import EventNote
from trainyard.model.views import JobView

AGGREGATE_SECONDS = 600.0
WAITING = 1000
"""Events waiting to be sent; the oldest are dropped beyond."""
NOTE_BYTES = 1024

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Sent:
    name: str
    at: float
    count: int = 1


class Events:
    """Owns the queue of events; `run` sends them."""

    def __init__(self, client: Client, instance: str) -> None:
        self._client = client
        self._instance = instance[:128]
        self._waiting: asyncio.Queue[tuple[JobView, EventNote, float]] = asyncio.Queue(WAITING)
        self._sent: OrderedDict[str, _Sent] = OrderedDict()

    def note(self, job: JobView, event: EventNote) -> None:
        """Take it along; returns at once."""
        if self._waiting.full():
            self._waiting.get_nowait()
            self._waiting.task_done()
        self._waiting.put_nowait((job, event, self._client.clock.now()))

    async def run(self) -> None:
        """Send what waits, one after the other, until cancelled."""
        while True:
            job, event, at = await self._waiting.get()
            try:
                await self._send(job, event, at)
            except KubeError as error:
                log.debug("an event could not be sent: %s", error)
            finally:
                self._waiting.task_done()

    async def sent(self) -> None:
        """Everything noted so far has been sent, or failed to be."""
        await self._waiting.join()

    async def _send(self, job: JobView, event: EventNote, at: float) -> None:
        digest = hashlib.sha256("\0".join((job.uid, event.reason.value, event.message)).encode()).hexdigest()
        now = steady()
        while self._sent and next(iter(self._sent.values())).at < now - AGGREGATE_SECONDS:
            self._sent.popitem(last=False)
        known = self._sent.get(digest)
        if known is not None and await self._counted(job, known, at):
            return
        name = f"{job.name}.{digest[:10]}{int(at):x}"
        self._sent.pop(digest, None)  # what is told anew is young again, and they stay in the order of their age
        self._sent[digest] = _Sent(name, now)  # before the answer, which may be lost
        await self._client.create(EVENTS, self._manifest(job, event, name, at))

    async def _counted(self, job: JobView, known: _Sent, at: float) -> bool:
        """Told once more of an event that is there; False where it is not: refused, lost on the way, or deleted."""
        known.count += 1
        series = {"count": known.count, "lastObservedTime": _micro(at)}
        try:
            await self._client.patch(EVENTS, known.name, {"series": series}, job.namespace)
        except NotFound:
            return False
        return True

    def _manifest(self, job: JobView, event: EventNote, name: str, at: float) -> dict[str, Any]:
        note = event.message.encode()[:NOTE_BYTES].decode(errors="ignore")
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": name, "namespace": job.namespace},
            "eventTime": _micro(at),
            "type": event.type,
            "reason": event.reason.value,
            "action": event.reason.value,
            "note": note,
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "namespace": job.namespace,
                "name": job.name,
                "uid": job.uid,
            },
            "reportingController": MANAGER,
            "reportingInstance": self._instance,
        }


def _micro(instant: float) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
