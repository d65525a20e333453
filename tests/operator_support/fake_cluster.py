"""As much of an API server as kopf looks at: discovery, and the TrainingJobs' list and watch, which tests can break."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from trainyard.api.constants import API_VERSION, GROUP, KIND, PLURAL, VERSION


class FakeCluster:
    """Counts what it was asked, refuses tokens it does not know, and remembers every write (there must be none)."""

    def __init__(self, token: str = "t1") -> None:
        self.token = token
        self.watches = 0
        self.watched: set[str] = set()
        self.refused = 0
        self.writes: list[str] = []
        self._events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._changed = asyncio.Event()
        app = web.Application(middlewares=[self._gate])
        app.router.add_get("/api", _answer({"versions": ["v1"]}))
        app.router.add_get("/api/v1", _answer({"resources": [_kind("namespaces", "Namespace", False)]}))
        group = {"name": GROUP, "versions": [{"version": VERSION}], "preferredVersion": {"version": VERSION}}
        extensions = {
            "name": "apiextensions.k8s.io",
            "versions": [{"version": "v1"}],
            "preferredVersion": {"version": "v1"},
        }
        app.router.add_get("/apis", _answer({"groups": [group, extensions]}))
        app.router.add_get(f"/apis/{API_VERSION}", _answer({"resources": [_kind(PLURAL, KIND, True)]}))
        crds = _kind("customresourcedefinitions", "CustomResourceDefinition", False)
        app.router.add_get("/apis/apiextensions.k8s.io/v1", _answer({"resources": [crds]}))
        app.router.add_get(f"/apis/{API_VERSION}/{PLURAL}", self._jobs)
        app.router.add_get(f"/apis/{API_VERSION}/namespaces/{{namespace}}/{PLURAL}", self._jobs)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        self.url = ""

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*self._runner.addresses[0][:2])

    async def stop(self) -> None:
        self._events.put_nowait(None)
        await self._runner.cleanup()

    def changed(self, name: str, namespace: str = "research") -> None:
        """A job was modified."""
        meta = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": "11"}
        self._events.put_nowait({"type": "MODIFIED", "object": _job(meta)})

    def fail_watch(self) -> None:
        """An error in the stream that kopf takes for the end of everything."""
        self._events.put_nowait(
            {"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "etcd is unwell"}}
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a request has made this true."""
        async with asyncio.timeout(20):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    @web.middleware
    async def _gate(self, request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
        self._changed.set()
        if request.method != "GET":
            self.writes.append(f"{request.method} {request.path}")
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            self.refused += 1
            return web.json_response({"kind": "Status", "code": 401, "reason": "Unauthorized"}, status=401)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _jobs(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch") not in ("1", "true"):
            return web.json_response({"metadata": {"resourceVersion": "10"}, "items": []})
        self.watches += 1
        self.watched.add(request.match_info.get("namespace", ""))
        self._changed.set()
        stream = web.StreamResponse()
        await stream.prepare(request)
        while (event := await self._events.get()) is not None:
            await stream.write(json.dumps(event).encode() + b"\n")
            if event["type"] == "ERROR":
                break
        return stream


def _job(meta: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": meta, "spec": {}}


def _kind(plural: str, kind: str, namespaced: bool) -> dict[str, Any]:
    verbs = ["get", "list", "watch", "patch"]
    return {"name": plural, "singularName": kind.lower(), "kind": kind, "namespaced": namespaced, "verbs": verbs}


def _answer(body: dict[str, Any]) -> Callable[[web.Request], Any]:
    async def give(_request: web.Request) -> web.Response:
        return web.json_response(body)

    return give
