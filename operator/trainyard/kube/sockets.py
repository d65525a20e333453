"""The sockets of a session, so that a closed session leaves none behind.

An HTTP session forgets a connection whose request was cancelled: TLS says goodbye on it and waits for the peer, up to
half a minute, and nobody waits for that.
"""

from __future__ import annotations

import asyncio
import socket
import weakref
from contextlib import suppress

from aiohttp import AddrInfoType

ENDED_WITHIN = 1.0  # a few turns of the event loop, on a machine that is busy


class Sockets:
    """Makes a session's sockets, and remembers those that are open."""

    def __init__(self) -> None:
        self._made: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def make(self, address: AddrInfoType) -> socket.socket:
        """What `aiohttp.TCPConnector` takes as its socket_factory."""
        family, kind, protocol, _, _ = address
        made = socket.socket(family, kind, protocol)
        self._made.add(made)
        return made

    async def end(self) -> None:
        """Let each reader of those still open meet its end now, and wait until they have closed them."""
        for left in self._open():
            with suppress(OSError):  # the peer was faster
                left.shutdown(socket.SHUT_RDWR)
        with suppress(TimeoutError):
            async with asyncio.timeout(ENDED_WITHIN):
                while self._open():  # noqa: ASYNC110 - no event tells of a socket's closing
                    await asyncio.sleep(0.001)

    def _open(self) -> list[socket.socket]:
        return [made for made in self._made if made.fileno() >= 0]
