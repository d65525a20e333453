"""Does a closed client leave no connection behind, also where the server does not answer a goodbye?"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from kube.fake_api import eventually
from telemetry.authority import Authority
from trainyard.kube.client import Client
from trainyard.kube.credentials import Credentials, static
from trainyard.kube.resources import PODS
from trainyard.kube.sockets import Sockets


class Mute:
    """Takes one connection over TLS and one request, begins to answer or not, and then neither reads nor says more."""

    def __init__(self, authority: Authority, *, answers: bool) -> None:
        pair = authority.pair("server")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pair.certificate, pair.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.heard, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(context, answers))
        self._thread.start()
        self.credentials = Credentials(f"https://127.0.0.1:{self._listener.getsockname()[1]}", tls=authority.trusting())

    def _serve(self, context: ssl.SSLContext, answers: bool) -> None:
        taken, _ = self._listener.accept()
        with context.wrap_socket(taken, server_side=True) as connection:
            connection.recv(65536)
            if answers:
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            self.heard.set()
            self._over.wait()

    def end(self) -> None:
        self._over.set()
        self._thread.join()
        self._listener.close()


@pytest.fixture(params=[True, False], ids=["a watch", "a request"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mute]:
    mute = Mute(Authority(tmp_path), answers=request.param)
    yield mute
    mute.end()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """All sockets that are made."""
    sockets: list[socket.socket] = []
    make = Sockets.make

    def noted(self: Sockets, address: tuple[int, int, int, str, tuple[str, int]]) -> socket.socket:
        sockets.append(make(self, address))
        return sockets[-1]

    monkeypatch.setattr(Sockets, "make", noted)
    return sockets


async def test_what_was_cancelled_is_closed_with_the_client(server: Mute, made: list[socket.socket]) -> None:
    opened = asyncio.Event()

    async def watch(client: Client) -> None:
        async for _ in client.watch(PODS, resource_version="1", on_open=opened.set):
            pass

    async with Client(static(server.credentials)) as client:
        task = asyncio.create_task(watch(client))
        await eventually(server.heard.is_set)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert [one.fileno() >= 0 for one in made] == [True], "it says goodbye, and waits"
    assert [one.fileno() for one in made] == [-1]
