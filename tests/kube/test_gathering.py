"""Is a busy watch read in few pieces, and is nothing kept back for longer than that costs?"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kube.fake_api import eventually, pod
from telemetry.authority import Authority
from trainyard.kube import transport
from trainyard.kube.client import Client, WatchEvent
from trainyard.kube.clock import steady
from trainyard.kube.credentials import Credentials, static
from trainyard.kube.errors import Silent
from trainyard.kube.resources import NODES, PODS

LONG = 1.0
"""Seconds of rest in these tests: long enough to tell a pause from a busy machine."""


class Server:
    """Sends the watch's lines when the test says so."""

    def __init__(self, folder: Path | None) -> None:
        self.writes: asyncio.Queue[bytes | None] = asyncio.Queue()
        app = web.Application()
        app.router.add_get("/{tail:.*}", self._answer)
        self._authority = Authority(folder) if folder is not None else None
        self._server = TestServer(app, scheme="https" if folder is not None else "http")

    @asynccontextmanager
    async def client(self, gather: float) -> AsyncIterator[Client]:
        tls: ssl.SSLContext | None = None
        context: ssl.SSLContext | None = None
        if self._authority is not None:
            pair = self._authority.pair("server")
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(pair.certificate, pair.key)
            tls = self._authority.trusting()
        await self._server.start_server(ssl=context)
        url = str(self._server.make_url("")).rstrip("/")
        try:
            async with Client(static(Credentials(url, tls=tls) if tls else Credentials(url)), gather=gather) as client:
                yield client
        finally:
            self.writes.put_nowait(None)
            await self._server.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response({"metadata": {}})
        response = web.StreamResponse()
        await response.prepare(request)
        while (line := await self.writes.get()) is not None:
            await response.write(line)
        return response

    def tell(self, *names: str, size: int = 0) -> None:
        for name in names:
            event = {"type": "MODIFIED", "object": pod(name, annotations={"a": "x" * size})}
            self.writes.put_nowait(json.dumps(event).encode() + b"\n")


@pytest.fixture(params=["http", "https"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Server:
    return Server(tmp_path if request.param == "https" else None)


class Ears:
    """Hears a watch, and notes when."""

    def __init__(self, client: Client, *, silence: float = 60.0) -> None:
        self.heard: list[tuple[str, float]] = []
        self.pieces = 0
        self.opened = False
        watch = client.watch(PODS, resource_version="1", silence=silence, on_open=self._open)
        self.task = asyncio.create_task(self._hear(watch))

    async def _hear(self, watch: AsyncIterator[WatchEvent]) -> None:
        async for event in watch:
            self.heard.append((event.object["metadata"]["name"], steady()))

    def _open(self) -> None:
        self.opened = True

    def names(self) -> list[str]:
        return [name for name, _ in self.heard]

    async def until(self, name: str) -> float:
        await eventually(lambda: name in self.names())
        return next(at for heard, at in self.heard if heard == name)


async def test_what_comes_after_a_pause_is_heard_at_once(server: Server) -> None:
    async with server.client(LONG) as client:
        ears = Ears(client)
        await eventually(lambda: ears.opened)
        for name in ("a", "b"):
            told = steady()
            server.tell(name)
            assert await ears.until(name) - told < LONG / 2
            await asyncio.sleep(LONG * 1.2)  # the pause itself is what is tested
        ears.task.cancel()


async def test_what_comes_in_between_is_heard_together_and_not_later_than_the_rest(server: Server) -> None:
    async with server.client(LONG) as client:
        ears = Ears(client)
        server.tell("first")
        first = await ears.until("first")
        for number in range(20):
            server.tell(f"p{number}")
            await asyncio.sleep(0.005)
        server.tell("failed")
        assert ears.names() == ["first"], "the rest is not over"
        at = await ears.until("failed")
        assert LONG * 0.9 < at - first < LONG * 2
        assert ears.names() == ["first", *(f"p{number}" for number in range(20)), "failed"]
        assert at - ears.heard[1][1] < LONG / 2, "they came together"
        ears.task.cancel()


async def test_a_watch_that_never_rests_is_given_longer_until_it_does(server: Server) -> None:
    async with server.client(LONG) as client:
        ears = Ears(client)
        server.tell("first")
        await ears.until("first")
        server.tell("second")
        second = await ears.until("second")
        server.tell("third")
        third = await ears.until("third")
        assert LONG * transport.BUSY * 0.9 < third - second < LONG * transport.BUSY * 1.5
        await asyncio.sleep(LONG * transport.BUSY * 1.2)  # nothing comes, for longer than any rest
        told = steady()
        server.tell("fourth")
        fourth = await ears.until("fourth")
        assert fourth - told < LONG / 2
        server.tell("fifth")
        assert await ears.until("fifth") - fourth < LONG * 1.5, "it begins anew"
        ears.task.cancel()


async def test_a_flood_is_not_held_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "ENOUGH", 1000)
    async with server.client(60.0) as client:
        ears = Ears(client)
        for number in range(100):
            server.tell(f"p{number}", size=20_000)
        await ears.until("p99")
        ears.task.cancel()


async def test_a_watch_that_falls_silent_while_it_rests_is_still_found_out(server: Server) -> None:
    async with server.client(0.02) as client:
        ears = Ears(client, silence=0.2)
        server.tell("a")
        with pytest.raises(Silent):
            await ears.task
        assert ears.names() == ["a"]


async def test_a_connection_that_rests_serves_others_once_its_watch_has_ended(server: Server) -> None:
    async with server.client(LONG) as client:
        ears = Ears(client)
        server.tell("a")
        server.writes.put_nowait(None)
        await ears.task
        assert ears.names() == ["a"]
        await client.get(NODES, "n", within=5.0)
