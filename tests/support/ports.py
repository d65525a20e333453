"""Ports for what tests start."""

from __future__ import annotations

import os
import socket

_given: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on at this moment, and that no other test is given before it is listened on: neither
    of this process nor of another of pytest's workers, of which each has its own share of the ports."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port // 2 % workers == worker and port not in _given:  # by two: the kernel prefers ports of one parity
            _given.add(port)
            return port
