"""Do the probes answer what the process says of itself, with the reason?"""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from trainyard.telemetry.probes import Health, serve_probes


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def address(health: Health) -> AsyncIterator[str]:
    async with serve_probes("127.0.0.1", 0, health) as port:
        yield f"http://127.0.0.1:{port}"


async def fetch(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_before_the_engine_runs_the_process_is_alive_and_not_ready(address: str) -> None:
    assert (await fetch(f"{address}/healthz"))[0] == 200
    status, text = await fetch(f"{address}/readyz")
    assert status == 503
    assert "engine does not run yet" in text


async def test_the_reason_is_told(address: str, health: Health) -> None:
    health.ready = lambda: (False, "pods: no event for 200 s")
    assert await fetch(f"{address}/readyz") == (503, "not ok: pods: no event for 200 s\n")
    health.ready = lambda: (True, "")
    assert await fetch(f"{address}/readyz") == (200, "ok\n")
    health.alive = lambda: (False, "a worker has been stuck for 400 s")
    assert await fetch(f"{address}/healthz") == (503, "not ok: a worker has been stuck for 400 s\n")


async def test_a_taken_port_is_an_error(address: str) -> None:
    port = int(address.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        async with serve_probes("127.0.0.1", port, Health()):
            pass
