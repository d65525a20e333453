"""Does a cut wire end every connection, whatever it was doing in that moment?"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from support.proxy import Wire
from support.yard import Cluster

TURNS = 12
"""Of the event loop, from a connection's arrival until well after it is served."""


class Near(Cluster):
    """Nothing but an address."""

    def kubectl(self, *_: str, stdin: str | None = None, check: bool = True) -> CompletedProcess[str]:
        return CompletedProcess([], 0, self.kubeconfig, "")


@pytest.fixture
def near() -> Iterator[Cluster]:
    """A server that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = f"https://127.0.0.1:{listener.getsockname()[1]}"
        yield Near("near", json.dumps({"clusters": [{"cluster": {"server": server}}]}))


async def ends(connection: socket.socket) -> bool:
    """Whether the other side ends it within seconds; it must not say anything."""
    connection.setblocking(False)
    try:
        async with asyncio.timeout(5):
            return await asyncio.get_running_loop().sock_recv(connection, 1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


@pytest.mark.parametrize("turns", range(TURNS))
async def test_a_connection_ends_with_the_wire(near: Cluster, tmp_path: Path, turns: int) -> None:
    async with Wire(near, tmp_path) as wire:
        connection = socket.create_connection(("127.0.0.1", wire.port))
        for _ in range(turns):
            await asyncio.sleep(0)
    with connection:
        assert await ends(connection)


@pytest.mark.parametrize("turns", range(TURNS))
async def test_a_cut_ends_it_also_where_the_wire_is_mended_at_once(near: Cluster, tmp_path: Path, turns: int) -> None:
    async with Wire(near, tmp_path) as wire:
        with socket.create_connection(("127.0.0.1", wire.port)) as connection:
            for _ in range(turns):
                await asyncio.sleep(0)
            await wire.cut()
            await wire.mend()
            assert await ends(connection)
