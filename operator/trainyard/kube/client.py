"""A thin client: JSON objects in, JSON objects out, and the API's verbs in between.

It keeps nothing and decides nothing. Preconditions, field managers and dry runs are passed on as the API knows them;
what went wrong is told by the tree in `errors`. Answers come without `metadata.managedFields`, but for those of a GET.
"""

from __future__ import annotations

import builtins
import copy
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar
from urllib.parse import urlencode

from trainyard.kube.clock import ServerClock
from trainyard.kube.credentials import CredentialSource
from trainyard.kube.decoding import decode, decode_packed
from trainyard.kube.errors import Gone, error_from_status
from trainyard.kube.resources import Resource
from trainyard.kube.transport import GATHER, Fence, Observer, Request, Transport

T = TypeVar("T")
Object = dict[str, Any]
Propagation = Literal["Background", "Foreground", "Orphan"]
FIELD_MANAGER = "trainyard"
PAGE_SIZE = 100  # what is parsed at a time: as dicts, 100 pods are some megabytes for a moment, 500 five times that
MAP_PAGE_SIZE = 25  # of ConfigMaps, of which anybody may write some of a megabyte each
METADATA_PAGE_SIZE = 500  # of metadata alone, a fraction of that each
SILENCE = 150.0  # bookmarks come once a minute, the first after two at most: this long without a byte is a dead stream

_JSON = "application/json"
_METADATA = ";g=meta.k8s.io;v=v1"


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a collection's objects, and the resourceVersion of the whole list."""

    items: list[Object]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One line of a watch. `type` is ADDED, MODIFIED, DELETED or BOOKMARK; an ERROR is raised instead."""

    type: str
    object: Object


class Client:
    """Safe to share between tasks. `within` bounds one attempt of a request, in seconds. `gather`: for how many seconds
    a watch that has just told something may keep back what follows.
    `fenced()` gives a client over the same connections whose writes ask first."""

    def __init__(
        self,
        source: CredentialSource,
        *,
        limit: int = 64,
        timeout: float = 30.0,
        clock: ServerClock | None = None,
        observer: Observer | None = None,
        gather: float = GATHER,
    ) -> None:
        self.timeout = timeout
        self._transport = Transport(source, limit=limit, clock=clock or ServerClock(), observer=observer, gather=gather)
        self._fence: Fence | None = None

    @property
    def clock(self) -> ServerClock:
        """API-server time, learnt from every answer."""
        return self._transport.clock

    @property
    def in_flight(self) -> tuple[int, int]:
        """Requests that are under way, and that wait for their turn; watches are left out."""
        return self._transport.sent, self._transport.queued

    def fenced(self, fence: Fence) -> Client:
        """The same client, but `fence` is asked before each of its writes is sent, and bounds its duration."""
        other = copy.copy(self)
        other._fence = fence
        return other

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, also those of the fenced clients made from this one."""
        await self._transport.close()

    # reading

    async def get(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        metadata_only: bool = False,
        within: float | None = None,
    ) -> Object:
        """A live GET of one object."""
        accept = f"{_JSON};as=PartialObjectMetadata{_METADATA}" if metadata_only else _JSON
        return await self._call("GET", "get", resource, namespace, name, accept=accept, within=within)

    async def list_pages(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
        metadata_only: bool = False,
        resource_version: str | None = None,
        page_size: int | None = PAGE_SIZE,
    ) -> AsyncGenerator[Page, None]:
        """Page by page; without `resource_version` a live list. All pages show the same moment.

        Raises Gone where reading took longer than the server remembers that moment; then only a list in one piece
        (`page_size=None`) is sure to end.
        """
        accept = f"{_JSON};as=PartialObjectMetadataList{_METADATA}" if metadata_only else _JSON
        query = {"labelSelector": labels, "fieldSelector": fields, "limit": page_size}
        following: str | None = None
        while True:
            if following:
                query["continue"] = following
            elif resource_version is not None:
                query["resourceVersion"] = resource_version
            answer = await self._call("GET", "list", resource, namespace, query=query, accept=accept)
            meta = answer.get("metadata") or {}
            yield Page(answer.get("items") or [], meta.get("resourceVersion") or "")
            query.pop("resourceVersion", None)
            following = meta.get("continue")
            if not following:
                return

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
        metadata_only: bool = False,
    ) -> Page:
        """A live list of everything, as one page; for short lists."""
        return Page(
            *await self.read_all(_whole, resource, namespace, labels=labels, fields=fields, metadata_only=metadata_only)
        )

    async def read_all(
        self,
        read: Callable[[Object], T],
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
        metadata_only: bool = False,
        page_size: int = PAGE_SIZE,
    ) -> tuple[builtins.list[T], str]:
        """A live list of everything, each object read as its page comes and then dropped, and the list's
        resourceVersion. `read` may be asked for an object twice: the list begins anew where it took too long."""
        for limit in (page_size, None):
            found: list[T] = []
            version = ""
            try:
                async for page in self.list_pages(
                    resource, namespace, labels=labels, fields=fields, metadata_only=metadata_only, page_size=limit
                ):
                    found += map(read, page.items)
                    version = page.resource_version
            except Gone:
                if limit is None:
                    raise
                continue
            break
        return found, version

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str,
        labels: str | None = None,
        fields: str | None = None,
        metadata_only: bool = False,
        timeout_seconds: int = 420,
        silence: float = SILENCE,
        packed_spec: bool = False,
        on_open: Callable[[], None] | None = None,
    ) -> AsyncGenerator[WatchEvent, None]:
        """What changed since `resource_version`, with bookmarks, until the server ends it (it does, after
        `timeout_seconds`). `on_open` is called when the server has accepted the watch, before the first event.
        `packed_spec`: the objects' spec may come as JSON bytes, for those who hardly ever read it.
        Raises Gone when that version is too old, ApiError for other errors in the stream, Unreachable when the
        connection broke, and Silent when no byte came for `silence` seconds.
        """
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": timeout_seconds,
            "labelSelector": labels,
            "fieldSelector": fields,
        }
        accept = f"{_JSON};as=PartialObjectMetadata{_METADATA}" if metadata_only else _JSON
        request = Request("GET", resource.path(namespace), "watch", str(resource), _encode(query), accept=accept)
        async with self._transport.stream(request, silence=silence) as content:
            if on_open is not None:
                on_open()
            read = decode_packed if packed_spec else decode
            async for lines in split_lines(content):
                for line in lines:
                    event = read(line)
                    if event["type"] == "ERROR":
                        raise error_from_status(event["object"])
                    yield WatchEvent(event["type"], event["object"])

    # writing

    async def create(
        self,
        resource: Resource,
        body: Mapping[str, Any],
        *,
        dry_run: bool = False,
        field_manager: str = FIELD_MANAGER,
        within: float | None = None,
    ) -> Object:
        """POST `body` into the namespace that its metadata names."""
        namespace = body["metadata"].get("namespace")
        if resource.namespaced and not namespace:
            raise ValueError(f"{resource}: the object to create names no namespace")
        verb, query = _verb("create", dry_run), _write_query(dry_run, field_manager)
        return await self._call("POST", verb, resource, namespace, query=query, body=body, within=within)

    async def update(
        self,
        resource: Resource,
        body: Mapping[str, Any],
        *,
        subresource: str | None = None,
        dry_run: bool = False,
        field_manager: str = FIELD_MANAGER,
        within: float | None = None,
    ) -> Object:
        """PUT `body` in the place of what is there; its resourceVersion, if it has one, is the precondition."""
        meta = body["metadata"]
        return await self._call(
            "PUT",
            _verb("update", dry_run),
            resource,
            meta.get("namespace"),
            meta["name"],
            subresource=subresource,
            query=_write_query(dry_run, field_manager),
            body=body,
            within=within,
        )

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Mapping[str, Any],
        namespace: str | None = None,
        *,
        subresource: str | None = None,
        resource_version: str | None = None,
        dry_run: bool = False,
        field_manager: str = FIELD_MANAGER,
        within: float | None = None,
    ) -> Object:
        """A JSON merge patch (RFC 7386); with `resource_version` it fails with Conflict where the object moved on."""
        if resource_version is not None:
            patch = {**patch, "metadata": {**patch.get("metadata", {}), "resourceVersion": resource_version}}
        return await self._call(
            "PATCH",
            _verb("patch", dry_run),
            resource,
            namespace,
            name,
            subresource=subresource,
            query=_write_query(dry_run, field_manager),
            body=patch,
            content_type="application/merge-patch+json",
            within=within,
        )

    async def patch_status(
        self,
        resource: Resource,
        name: str,
        status: Mapping[str, Any],
        namespace: str | None = None,
        *,
        resource_version: str,
        within: float | None = None,
    ) -> Object:
        """A merge patch of the status alone, always with its precondition (W5). None deletes a field."""
        return await self.patch(
            resource,
            name,
            {"status": status},
            namespace,
            subresource="status",
            resource_version=resource_version,
            within=within,
        )

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str,
        resource_version: str | None = None,
        grace_period_seconds: int | None = None,
        propagation_policy: Propagation | None = None,
        dry_run: bool = False,
        within: float | None = None,
    ) -> Object:
        """DELETE that very object (W5): Conflict where another one bears the name by now, NotFound where none does."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        if resource_version is not None:
            options["preconditions"]["resourceVersion"] = resource_version
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        if propagation_policy is not None:
            options["propagationPolicy"] = propagation_policy
        if dry_run:
            options["dryRun"] = ["All"]
        verb = _verb("delete", dry_run)
        return await self._call("DELETE", verb, resource, namespace, name, body=options, within=within)

    async def _call(
        self,
        method: str,
        verb: str,
        resource: Resource,
        namespace: str | None,
        name: str | None = None,
        *,
        subresource: str | None = None,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
        within: float | None = None,
    ) -> Object:
        request = Request(
            method,
            resource.path(namespace, name, subresource),
            verb,
            f"{resource}/{subresource}" if subresource else str(resource),
            _encode(query or {}),
            None if body is None else json.dumps(body, separators=(",", ":")).encode(),
            content_type,
            accept,
        )
        answer = await self._transport.send(request, within=within or self.timeout, fence=self._fence)
        # What was got may be put back and is left whole; all else is only read.
        whole: Object = json.loads(answer) if verb == "get" else decode(answer)
        return whole


def _whole(raw: Object) -> Object:
    return raw


async def split_lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """The non-empty lines of a byte stream, of any length, as many at once as are complete; an unfinished last one is
    dropped.

    A line in many chunks is joined once, when it is complete: joining at each chunk would cost its length squared.
    """
    parts: list[bytes] = []
    async for chunk in chunks:
        first, *rest = chunk.split(b"\n")
        parts.append(first)
        if not rest:
            continue
        *whole, unfinished = b"".join(parts), *rest
        parts = [unfinished]
        lines = [line for line in whole if line]
        if lines:
            yield lines


def _encode(query: Mapping[str, object]) -> str:
    return urlencode({name: value for name, value in query.items() if value is not None and value != ""})


def _verb(verb: str, dry_run: bool) -> str:
    """What metrics call a write. A dry run judges an object that somebody made: that it is refused is no failure."""
    return "dry-run" if dry_run else verb


def _write_query(dry_run: bool, field_manager: str) -> dict[str, object]:
    return {"fieldManager": field_manager, "dryRun": "All" if dry_run else None}
