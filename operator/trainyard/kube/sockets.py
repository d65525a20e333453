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

LOOKS = 500  # a millisecond apart; a few do


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
        left = [made for made in self._made if made.fileno() >= 0]
        for one in left:
            with suppress(OSError):  # the peer was faster
                one.shutdown(socket.SHUT_RDWR)
        for _ in range(LOOKS):
            if all(one.fileno() < 0 for one in left):
                return
            await asyncio.sleep(0.001)
