"""A wire between an operator and its API server that can be cut, or stalled.

It forwards bytes, or holds them back, and understands none of them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from support.yard import Cluster

CHUNK = 1 << 16


class Wire:
    """Listens on a port of its own and passes on to the cluster's API server. Use as an async context manager."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        shown = cluster.kubectl("config", "view", "--minify", "--raw", "--flatten", "-o", "json").stdout
        self._config: dict[str, Any] = json.loads(shown)
        target = urlsplit(self._config["clusters"][0]["cluster"]["server"])
        assert target.hostname is not None and target.port is not None
        self._target = (target.hostname, target.port)
        self.kubeconfig = folder / "wire.kubeconfig"
        self._open: dict[asyncio.StreamWriter, asyncio.StreamWriter | None] = {}
        self._server: asyncio.Server | None = None
        self.port = 0
        self._gate = _open_gate()
        self._stalled: list[asyncio.Event] = []
        self.accepted = 0
        """Connections so far."""

    async def __aenter__(self) -> Wire:
        await self.mend()
        self._config["clusters"][0]["cluster"]["server"] = f"https://localhost:{self.port}"
        self.kubeconfig.write_text(json.dumps(self._config))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.cut()

    def drop(self) -> None:
        """Every connection ends in the middle of whatever it carries; new ones are welcome."""
        for client, server in self._open.items():
            client.transport.abort()
            if server is not None:
                server.transport.abort()
        self._open.clear()

    async def cut(self) -> None:
        """Every connection ends, and new ones are refused until `mend`."""
        if self._server is not None:
            await _close(self._server)
            self._server = None
        self.drop()
        for gate in (*self._stalled, self._gate):
            gate.set()

    def leave_stalled(self) -> None:
        """Those that are stalled stay so; new ones flow."""
        self._stalled.append(self._gate)
        self._gate = _open_gate()

    def stall(self) -> None:
        """Every connection stays open and carries nothing, and so do new ones: nobody is told that anything is
        wrong."""
        self._gate.clear()

    async def mend(self) -> None:
        self._gate.set()
        self._server = await asyncio.start_server(self._welcome, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Coroutine[None, None, None]:
        self.accepted += 1
        self._open[writer] = None  # at once: a cut may come before the first step of what serves it
        return self._serve(reader, writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream, server = await asyncio.open_connection(*self._target)
            if writer not in self._open:  # it was cut while it was being made
                server.transport.abort()
                return
            self._open[writer] = server
            gate = self._gate
            await asyncio.gather(_pass_on(reader, server, gate), _pass_on(upstream, writer, gate))
        except OSError:
            writer.transport.abort()
        finally:
            self._open.pop(writer, None)
            writer.close()


async def _close(server: asyncio.Server) -> None:
    """A server that is closed between a connection's acceptance and its transport leaves that connection open, and
    nobody knows of it (asyncio of Python 3.11). So it first accepts no more, and then lets each become known."""
    for listener in server.sockets:
        asyncio.get_running_loop().remove_reader(listener)
    await asyncio.sleep(0)  # each has its transport now
    await asyncio.sleep(0)  # and its protocol has been told
    server.close()


def _open_gate() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
    try:
        while data := await reader.read(CHUNK):
            await gate.wait()
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
