"""Does `python -m trainyard` start, answer its probes, and end with a code and a message that mean something?"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from operator_support.child import end, probe, start, write_kubeconfig
from support.ports import free_port
from trainyard.version import VERSION


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def metrics() -> int:
    return free_port()


@pytest.fixture
def unreachable(tmp_path: Path) -> Path:
    """A kubeconfig for an API server that is not there."""
    return write_kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:9", "not-a-secret")


@pytest.fixture
async def running(unreachable: Path, port: int, metrics: int) -> AsyncIterator[asyncio.subprocess.Process]:
    ports = ("--http-address=127.0.0.1", f"--http-port={port}", f"--metrics-port={metrics}")
    child = await start("run", "--kubeconfig", str(unreachable), *ports)
    yield child
    if child.returncode is None:
        child.kill()
        await child.wait()


async def test_it_tells_its_version() -> None:
    ended = await end(await start("--version"))
    assert (ended.code, ended.out.strip()) == (0, f"trainyard {VERSION}")


async def test_bad_settings_end_it_with_2() -> None:
    ended = await end(await start("run", "--workers", "none"))
    assert ended.code == 2
    assert "--workers 'none'" in ended.err


async def test_a_missing_kubeconfig_ends_it_with_3(tmp_path: Path, port: int) -> None:
    ended = await end(await start("--kubeconfig", str(tmp_path / "none"), f"--http-port={port}"))
    assert ended.code == 3
    assert "no access to the API server" in ended.err
    assert "Traceback" not in ended.err


async def test_a_taken_port_ends_it_with_2(unreachable: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        ended = await end(
            await start("--kubeconfig", str(unreachable), "--http-address=127.0.0.1", f"--http-port={number}")
        )
    assert ended.code == 2
    assert "choose another place with --http-address and --http-port" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--metrics-tls-cert=/nonexistent/tls.crt", "--metrics-tls-key=/nonexistent/tls.key"), "No such file"),
        (("--metrics-address=192.0.2.1",), "--metrics-address"),
    ],
)
async def test_metrics_that_cannot_be_served_end_it_with_2(
    unreachable: Path, port: int, flags: tuple[str, ...], told: str
) -> None:
    ended = await end(await start("--kubeconfig", str(unreachable), f"--http-port={port}", *flags))
    assert ended.code == 2
    assert "cannot serve metrics" in ended.err
    assert told in ended.err
    assert "Traceback" not in ended.err


async def test_without_an_api_server_it_waits_says_why_and_still_ends_at_once(
    running: asyncio.subprocess.Process, port: int, metrics: int
) -> None:
    assert (await probe(port, "/healthz"))[0] == 200
    status, why = await probe(port, "/readyz")
    assert status == 503
    assert why.startswith("not ok: ")
    assert "trainyard_leader 0.0" in (await probe(metrics, "/metrics"))[1]
    running.send_signal(signal.SIGTERM)
    ended = await end(running)
    assert ended.code == 0, ended.err
    lines = [json.loads(line) for line in ended.err.splitlines()]
    assert "SIGTERM received" in lines[-1]["message"]
    assert "not-a-secret" not in ended.err
    assert not any("exception" in line for line in lines)
