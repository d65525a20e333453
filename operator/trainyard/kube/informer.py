"""Keeps a sink in step with the objects of one resource: list, watch, and recover from everything that goes wrong.

A stream lists page by page, hands the whole over as a replacement, and then watches from that moment. It goes on from
the last version seen when a connection ends, and lists again when the server has forgotten that version, when it sends
an error, or when the stream was silent: objects that vanished unseen are then missing from the replacement. An object
that cannot be translated is reported and harms no other.

It must not judge what it hands over, and keeps no object itself.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Generic, Protocol, TypeVar

from trainyard.kube.client import PAGE_SIZE, SILENCE, Client, Object
from trainyard.kube.clock import steady
from trainyard.kube.errors import (
    ApiError,
    Forbidden,
    Gone,
    KubeError,
    NotFound,
    ServerError,
    Silent,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from trainyard.kube.resources import ObjectKey, Resource, key_of
from trainyard.kube.transport import backoff

FIRST_BACKOFF, LAST_BACKOFF = 0.25, 15.0
SHORT_LIVED = 1.0  # a watch that ends sooner, without an event, counts as a failure: no hot loop
GRACE = 30.0  # a stream may be down this long before it counts as a problem
WATCH_SECONDS = (300, 600)  # drawn anew for each watch, so that streams do not all reconnect at once

log = logging.getLogger(__name__)

V = TypeVar("V")
V_contra = TypeVar("V_contra", contravariant=True)


class Sink(Protocol[V_contra]):
    """Where views go. Called from the event loop, one call at a time, never awaited: it must be quick."""

    def replace(
        self,
        resource: Resource,
        namespace: str | None,
        views: Sequence[V_contra],
        *,
        unreadable: frozenset[ObjectKey],
        resource_version: str,
    ) -> None:
        """These are all objects of `namespace` (None: of the cluster). Whatever else was known there is deleted, but
        not the `unreadable` ones: they exist. One of the same name and another UID is another object."""

    def upsert(self, resource: Resource, view: V_contra, resource_version: str) -> None:
        """The object is new or changed; it may well be known in this very version already."""

    def delete(self, resource: Resource, key: ObjectKey, last: V_contra | None) -> None:
        """The object is gone (or selected no longer); `last` is its last state, None if that was unreadable."""

    def poison(self, resource: Resource, key: ObjectKey, error: Exception) -> None:
        """The object exists in a state that cannot be translated."""


class Informer(Generic[V]):
    """One resource, cluster-wide or in some namespaces (one stream each). `required`: no readiness without it.
    `packed_spec`: `translate` may be given the spec as JSON bytes."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        translate: Callable[[Object], V],
        sink: Sink[V],
        namespaces: Iterable[str] | None = None,
        labels: str | None = None,
        fields: str | None = None,
        metadata_only: bool = False,
        packed_spec: bool = False,
        required: bool = True,
        silence: float = SILENCE,
        page_size: int = PAGE_SIZE,
    ) -> None:
        self.resource = resource
        self.required = required
        self.poisoned = 0
        self._client = client
        self._translate = translate
        self._sink = sink
        self._selection: dict[str, Any] = {"labels": labels, "fields": fields, "metadata_only": metadata_only}
        self._packed_spec = packed_spec
        self._silence = silence
        self._page_size = page_size
        self._all_synced = asyncio.Event()
        scopes: Iterable[str | None] = (None,) if namespaces is None else sorted(set(namespaces))
        self._streams = [_Stream(self, scope) for scope in scopes]

    async def run(self) -> None:
        """List and watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            for stream in self._streams:
                group.create_task(stream.run(), name=f"informer {stream}")

    @property
    def synced(self) -> bool:
        """Whether the sink was given everything at least once."""
        return all(stream.synced for stream in self._streams)

    async def wait_synced(self) -> None:
        await self._all_synced.wait()

    @property
    def last_activity(self) -> float | None:
        """When the quietest of the streams was last heard (on the steady clock); None before the first list."""
        heard = [stream.last_activity for stream in self._streams]
        return None if None in heard else min(at for at in heard if at is not None)

    @property
    def refused(self) -> ApiError | None:
        """Why the server does not let us list: not permitted, or it knows no such resource. None when it does."""
        refusals = (stream.error for stream in self._streams)
        return next((error for error in refusals if isinstance(error, Forbidden | NotFound)), None)

    def healthy(self, now: float | None = None) -> bool:
        return not self.problems(now)

    def problems(self, now: float | None = None) -> list[str]:
        """Why what the sink holds cannot be trusted to be current, in words; empty if it can."""
        at = steady() if now is None else now
        return [f"{stream}: {problem}" for stream in self._streams if (problem := stream.problem(at))]


class _Stream:
    """List and watch of one scope."""

    def __init__(self, informer: Informer[Any], namespace: str | None) -> None:
        self.synced = False
        self.last_activity: float | None = None
        self.error: KubeError | None = None
        self._informer = informer
        self._namespace = namespace
        self._version: str | None = None  # None: list before watching
        self._page_size: int | None = informer._page_size
        self._failures = 0
        self._stood_since: float | None = None
        self._down_since: float | None = steady()
        self._heard_events = False  # since the last list
        self._fingerprint = 0
        self._deaf = False

    def __str__(self) -> str:
        return f"{self._informer.resource} in {self._namespace}" if self._namespace else str(self._informer.resource)

    async def run(self) -> None:
        while True:
            try:
                if self._version is None:
                    await self._list()
                await self._watch(self._version or "")
            except KubeError as error:
                self._failed(error)
            except Exception:
                # The sink is broken, or we are: what it holds is suspect, so begin again, ever more slowly.
                log.exception("%s: the stream broke, listing again", self)
                self._version = None
                self._down()
            await asyncio.sleep(self._pause())

    def problem(self, now: float) -> str | None:
        why = f" ({self.error})" if self.error else ""
        if not self.synced:
            return f"not listed yet{why}"
        if self._down_since is not None and now - self._down_since > GRACE:
            return f"no watch for {now - self._down_since:.0f} s{why}"
        quiet = now - (self.last_activity or now)
        if quiet > self._informer._silence + GRACE:
            return f"nothing heard for {quiet:.0f} s{why}"
        if self._deaf:
            return "objects change, but the watch does not tell"
        return None

    async def _list(self) -> None:
        informer = self._informer
        views: list[Any] = []
        unreadable: set[ObjectKey] = set()
        fingerprint, version = 0, ""
        pages = informer._client.list_pages(
            informer.resource, self._namespace, page_size=self._page_size, **informer._selection
        )
        try:
            async with aclosing(pages):
                async for page in pages:
                    version = page.resource_version
                    self.last_activity = steady()
                    for obj in page.items:
                        fingerprint ^= hash((key_of(obj).uid, obj["metadata"].get("resourceVersion")))
                        self._read(obj, views, unreadable)
        except Gone:
            self._page_size = None  # reading took longer than the server remembers: next time in one piece
            raise
        informer._sink.replace(
            informer.resource, self._namespace, views, unreadable=frozenset(unreadable), resource_version=version
        )
        self._page_size = informer._page_size
        self._judge_hearing(fingerprint)
        self._version = version
        self.synced = True
        if informer.synced:
            informer._all_synced.set()

    def _read(self, obj: Object, views: list[Any], unreadable: set[ObjectKey]) -> None:
        try:
            views.append(self._informer._translate(obj))
        except Exception as error:
            unreadable.add(self._poison(obj, error))

    def _judge_hearing(self, fingerprint: int) -> None:
        """Two lists that differ with a whole watch between them that told of nothing: that watch is deaf."""
        self._deaf = (
            self.synced
            and isinstance(self.error, Silent)
            and not self._heard_events
            and (fingerprint != self._fingerprint)
        )
        self._heard_events = False
        self._fingerprint = fingerprint

    async def _watch(self, version: str) -> None:
        informer = self._informer
        opened = steady()
        events = informer._client.watch(
            informer.resource,
            self._namespace,
            resource_version=version,
            timeout_seconds=random.randint(*WATCH_SECONDS),
            silence=informer._silence,
            packed_spec=informer._packed_spec,
            on_open=self._up,
            **informer._selection,
        )
        heard = False
        async with aclosing(events):
            async for event in events:
                if event.type != "BOOKMARK":
                    self._apply(event.type, event.object)
                self._version = event.object["metadata"]["resourceVersion"]
                self.last_activity = steady()
                if not heard:
                    heard = self._heard_events = True
                    self._failures, self._deaf = 0, False
        if not heard and steady() - opened < SHORT_LIVED:
            self._down()

    def _apply(self, kind: str, obj: Object) -> None:
        informer = self._informer
        try:
            view = informer._translate(obj)
        except Exception as error:
            key = self._poison(obj, error)
            if kind == "DELETED":
                informer._sink.delete(informer.resource, key, None)
            return
        if kind == "DELETED":
            informer._sink.delete(informer.resource, key_of(obj), view)
        else:
            informer._sink.upsert(informer.resource, view, obj["metadata"]["resourceVersion"])

    def _poison(self, obj: Object, error: Exception) -> ObjectKey:
        key = key_of(obj)
        self._informer.poisoned += 1
        self._informer._sink.poison(self._informer.resource, key, error)
        return key

    def _up(self) -> None:
        self._down_since = None
        self.error = None
        self.last_activity = self._stood_since = steady()

    def _down(self) -> None:
        if self._stood_since is not None and steady() - self._stood_since > LAST_BACKOFF:
            self._failures = 0  # something on the way cuts what is quiet: no reason to come back later each time
        self._stood_since = None
        self._failures += 1
        if self._down_since is None:
            self._down_since = steady()

    def _failed(self, error: KubeError) -> None:
        # An installation may withhold a kind for good: said once, not at every try.
        again = isinstance(error, Forbidden) and isinstance(self.error, Forbidden) and not self._informer.required
        quiet = again or isinstance(error, Gone)
        log.log(logging.DEBUG if quiet else logging.WARNING, "%s: %s", self, error)
        self.error = error
        self._down()
        if not isinstance(error, TooManyRequests | Unauthorized | Forbidden) and not _is_outage(error):
            self._version = None

    def _pause(self) -> float:
        if not self._failures:
            return random.uniform(0.0, 0.1)
        asked = self.error.retry_after if isinstance(self.error, ApiError) else None
        return max(asked or 0.0, backoff(self._failures, FIRST_BACKOFF, LAST_BACKOFF))


def _is_outage(error: KubeError) -> bool:
    """The server could not be reached or was not ready: the version seen last is as good as before."""
    if isinstance(error, ServerError):
        return error.status == 503
    return isinstance(error, Unreachable) and not isinstance(error, Silent)


class Watchdog:
    """Says why we are not ready, and when that has lasted too long, says so to `on_dead`, which ends the process."""

    def __init__(
        self, informers: Iterable[Informer[Any]], *, on_dead: Callable[[list[str]], None], bound: float = 300.0
    ) -> None:
        self._informers = list(informers)
        self._on_dead = on_dead
        self._bound = bound
        self._unwell_since: float | None = None

    def not_ready(self, now: float | None = None) -> list[str]:
        """The problems of all informers; those not required count only where the server lets us list."""
        return [
            problem
            for informer in self._informers
            if informer.required or informer.refused is None
            for problem in informer.problems(now)
        ]

    def check(self, now: float | None = None) -> None:
        """Note how things are; call `on_dead` once they were bad without a break for longer than the bound."""
        at = steady() if now is None else now
        problems = self.not_ready(at)
        if not problems:
            self._unwell_since = None
        elif self._unwell_since is None:
            self._unwell_since = at
        elif at - self._unwell_since >= self._bound:
            self._on_dead(problems)
