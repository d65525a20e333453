"""A server that answers what it is told to: for faults that a real API server shows only rarely."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from trainyard.kube.client import Client
from trainyard.kube.credentials import Credentials, static

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Seen:
    """A request as it came in."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


class FakeApi:
    """Answers each kind of request from its own script; the last step of a script repeats."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self._scripts: defaultdict[str, deque[Answer]] = defaultdict(deque)
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._server = TestServer(app)

    async def start(self) -> None:
        await self._server.start_server()

    async def stop(self) -> None:
        await self._server.close()

    @property
    def url(self) -> str:
        return str(self._server.make_url("")).rstrip("/")

    def client(self, **options: Any) -> Client:
        return Client(static(Credentials(self.url)), **options)

    def script(self, kind: str, *answers: Answer) -> None:
        """`kind` is an HTTP method, or WATCH."""
        self._scripts[kind].extend(answers)

    def requests(self, kind: str) -> list[Seen]:
        return [seen for seen in self.seen if _kind(seen.method, seen.query) == kind]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        self.seen.append(Seen(request.method, request.path, dict(request.query), dict(request.headers), body))
        script = self._scripts[_kind(request.method, request.query)]
        answer = script.popleft() if len(script) > 1 else script[0]
        return await answer(request)


def _kind(method: str, query: Mapping[str, str]) -> str:
    return "WATCH" if "watch" in query else method


def pod(
    name: str, version: int | str = 1, uid: str | None = None, namespace: str = "ns", **meta: Any
) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid or f"uid-{name}",
            "resourceVersion": str(version),
            **meta,
        }
    }


def status(code: int, reason: str = "", message: str = "", **more: Any) -> dict[str, Any]:
    return {"kind": "Status", "apiVersion": "v1", "code": code, "reason": reason, "message": message, **more}


def answer(body: Any, code: int = 200, **headers: str) -> Answer:
    async def give(_request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=code, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return give


def refuse(code: int, reason: str = "", message: str = "", **headers: str) -> Answer:
    return answer(status(code, reason, message), code, **headers)


def listing(*items: dict[str, Any], version: int = 10, following: str = "") -> Answer:
    return answer({"metadata": {"resourceVersion": str(version), "continue": following}, "items": list(items)})


def cut() -> Answer:
    """Read the request, then drop the connection without a word: a lost answer."""

    async def drop(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    return drop


def garbage() -> Answer:
    async def give(_request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>no watch</html>\n")

    return give


def events(*lines: tuple[str, dict[str, Any]], then: str = "end", wait: asyncio.Event | None = None) -> Answer:
    """A watch of those lines; `then` it ends in order ("end"), is torn ("cut"), or stays open until `wait` is set."""

    async def give(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for kind, obj in lines:
            await response.write(json.dumps({"type": kind, "object": obj}).encode() + b"\n")
        if wait is not None:
            await wait.wait()
        if then == "cut":
            assert request.transport is not None
            request.transport.abort()
        return response

    return give


async def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for what no event announces."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
