"""`/healthz` and `/readyz` over plain HTTP, for the kubelet alone. They tell what the process says of itself, and why.

It answers; what readiness means is for those who are asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

Verdict = tuple[bool, str]
"""Whether, and why (not)."""


@dataclass(slots=True)
class Health:
    """Whom the probes ask. Until somebody can be asked, the process is alive and not ready."""

    alive: Callable[[], Verdict] = field(default=lambda: (True, "starting"))
    ready: Callable[[], Verdict] = field(default=lambda: (False, "starting: the engine does not run yet"))


@asynccontextmanager
async def serve_probes(address: str, port: int, health: Health) -> AsyncIterator[int]:
    """Serve while the context is open; yields the port (useful where 0 asked for any). OSError: it cannot be bound."""

    async def healthz(_request: web.Request) -> web.Response:
        return _answer(health.alive())

    async def readyz(_request: web.Request) -> web.Response:
        return _answer(health.ready())

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address or None, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _answer(verdict: Verdict) -> web.Response:
    good, why = verdict
    return web.Response(status=200 if good else 503, text=f"{'ok' if good else 'not ok'}: {why}\n" if why else "ok\n")
