"""A wire between an operator and its API server that can be cut, or stalled.

It forwards bytes, or holds them back, and understands none of them.
"""

from __future__ import annotations

import asyncio
import json
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
        self._open: dict[asyncio.StreamWriter, asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None
        self._port = 0
        self._gate = _open_gate()
        self._stalled: list[asyncio.Event] = []
        self._drops = 0
        self.accepted = 0
        """Connections so far."""

    async def __aenter__(self) -> Wire:
        await self.mend()
        self._config["clusters"][0]["cluster"]["server"] = f"https://localhost:{self._port}"
        self.kubeconfig.write_text(json.dumps(self._config))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.cut()

    def drop(self) -> None:
        """Every connection ends in the middle of whatever it carries; new ones are welcome."""
        self._drops += 1
        for client, server in self._open.items():
            client.transport.abort()
            server.transport.abort()
        self._open.clear()

    async def cut(self) -> None:
        """Every connection ends, and new ones are refused until `mend`."""
        if self._server is not None:
            self._server.close()
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
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        drops = self._drops
        try:
            upstream, server = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        if drops != self._drops:  # it was cut while it was being made
            writer.transport.abort()
            server.transport.abort()
            return
        self._open[writer] = server
        gate = self._gate
        await asyncio.gather(_pass_on(reader, server, gate), _pass_on(upstream, writer, gate))
        self._open.pop(writer, None)


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
