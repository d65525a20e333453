"""`/metrics` over HTTP or HTTPS: written in pieces between which the event loop works on, compressed where asked for.

Scrapes that come within a second of each other get the same answer, so that any number of readers cost as much as one.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import chain

from aiohttp import web
from prometheus_client.exposition import choose_encoder, gzip_accepted

from trainyard.kube.clock import steady
from trainyard.telemetry.access import Access
from trainyard.telemetry.certificates import ServedCertificate
from trainyard.telemetry.exposition import end, instruments
from trainyard.telemetry.fleet import Fleet
from trainyard.telemetry.fleet_text import FleetText
from trainyard.telemetry.metrics import Metrics

SLICE_SECONDS = 0.001
"""For which the event loop is held at a time."""
FRESH_SECONDS = 1.0
FORMS = 4
"""Of an answer, by format and compression, that are kept while they are fresh."""
READERS = 16
"""That are served at once. An answer takes megabytes until its reader has taken it, and anybody may be a reader."""
SENT_WITHIN = 30.0
"""A reader that has not taken its answer by then is cut off."""
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(slots=True)
class Subject:
    """Whom the metrics are about. Until there is an engine, only the process can be told of."""

    report: Callable[[], None] = field(default=lambda: None)
    """Bring the gauges up to date."""
    fleet: Callable[[], Fleet | None] = field(default=lambda: None)
    """None where another process leads."""


@dataclass(frozen=True, slots=True)
class Answer:
    at: float
    body: bytes
    content_type: str


class Endpoint:
    """Puts answers together, one at a time."""

    def __init__(
        self,
        metrics: Metrics,
        text: FleetText,
        subject: Subject,
        access: Access | None = None,
        *,
        fresh_seconds: float = FRESH_SECONDS,
        sent_within: float = SENT_WITHIN,
    ) -> None:
        self._metrics = metrics
        self._text = text
        self._subject = subject
        self._access = access
        self._fresh = fresh_seconds
        self._sent_within = sent_within
        self._readers = 0
        self._lock = asyncio.Lock()
        self._answers: dict[tuple[str, bool], Answer] = {}

    async def handle(self, request: web.Request) -> web.Response:
        """Answer, and see it sent, while few others are being answered."""
        if self._readers >= READERS:
            self._metrics.scraped(HTTPStatus.SERVICE_UNAVAILABLE)
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text="too many readers at once\n")
        self._readers += 1
        try:
            response = await self._respond(request)
            await self._send(request, response)
            return response
        finally:
            self._readers -= 1

    async def _send(self, request: web.Request, response: web.Response) -> None:
        try:
            async with asyncio.timeout(self._sent_within):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            return  # the reader is gone, which is no fault of anybody's here

    async def _respond(self, request: web.Request) -> web.Response:
        """Judge the reader, then answer."""
        if self._access is not None:
            verdict = await self._access.judge(request.headers.get("Authorization", ""))
            if verdict.status is not HTTPStatus.OK:
                self._metrics.scraped(verdict.status)
                challenge = {"WWW-Authenticate": "Bearer"} if verdict.status is HTTPStatus.UNAUTHORIZED else {}
                return web.Response(status=verdict.status, text=f"{verdict.why}\n", headers=challenge)
        compress = gzip_accepted(request.headers.get("Accept-Encoding", ""))
        answer = await self.answer(request.headers.get("Accept", ""), compress=compress)
        headers = {"Content-Type": answer.content_type, "Vary": "Accept, Accept-Encoding"}
        if compress:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=answer.body, headers=headers)

    async def answer(self, accept: str, *, compress: bool) -> Answer:
        """In the format that the reader likes best, as prometheus_client negotiates it."""
        encode, content_type = choose_encoder(accept)
        async with self._lock:
            known = self._answers.get((content_type, compress))
            if known is not None and steady() - known.at < self._fresh:
                self._metrics.scraped(HTTPStatus.OK)
                return known
            started = steady()
            self._subject.report()
            openmetrics = content_type.startswith("application/openmetrics-text")
            fleet = self._subject.fleet()
            series = self._text.render(fleet, openmetrics=openmetrics) if fleet is not None else iter(())
            body = await _assemble(
                chain(
                    instruments(self._metrics.registry, encode),
                    _encoded(series),
                    (end(openmetrics=openmetrics).encode(),),
                ),
                compress=compress,
            )
            self._metrics.scraped(HTTPStatus.OK, steady() - started)
            found = Answer(started, body, content_type)
            self._keep((content_type, compress), found)
            return found

    def _keep(self, form: tuple[str, bool], answer: Answer) -> None:
        """A reader may ask for any number of versions of a format; answers take megabytes."""
        fresh = [(f, a) for f, a in self._answers.items() if f != form and answer.at - a.at < self._fresh]
        self._answers = dict([*fresh, (form, answer)][-FORMS:])


def _encoded(pieces: Iterator[str]) -> Iterator[bytes]:
    return (piece.encode(errors="replace") for piece in pieces)  # one text that is none must not cost all others


async def _assemble(pieces: Iterator[bytes], *, compress: bool) -> bytes:
    """All pieces, with a pause whenever the event loop was held for long enough."""
    packer = zlib.compressobj(1, wbits=_GZIP) if compress else None
    parts: list[bytes] = []
    since = steady()
    for piece in pieces:
        parts.append(packer.compress(piece) if packer is not None else piece)
        if steady() - since > SLICE_SECONDS:
            await asyncio.sleep(0)
            since = steady()
    if packer is not None:
        parts.append(packer.flush())
    return b"".join(parts)


@asynccontextmanager
async def serve_metrics(
    address: str, port: int, endpoint: Endpoint, certificate: ServedCertificate | None = None
) -> AsyncIterator[int]:
    """Serve while the context is open, by HTTPS where there is a certificate; yields the port. OSError: it is taken."""
    app = web.Application()
    app.add_routes([web.get("/metrics", endpoint.handle)])
    # Open scrapes must not hold up the end of the process.
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    following = asyncio.create_task(certificate.follow(), name="certificate") if certificate is not None else None
    try:
        context = certificate.context if certificate is not None else None
        await web.TCPSite(runner, address or None, port, ssl_context=context).start()
        yield runner.addresses[0][1]
    finally:
        if following is not None:
            following.cancel()
        await runner.cleanup()
