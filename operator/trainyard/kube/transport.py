"""One request out, one answer back: connections, time limits, and the few repeats that are always safe.

Reads are repeated after lost answers and 5xx. Any request is repeated after 429 (the server says that it did not
execute it) and once after 401 with fresh credentials (authentication comes before execution). A write is never
repeated otherwise: whether it happened is for the caller to find out.
"""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import aiohttp
from yarl import URL

from trainyard.kube.clock import ServerClock, steady
from trainyard.kube.credentials import Credentials, CredentialSource
from trainyard.kube.errors import (
    ApiError,
    Fenced,
    ServerError,
    Silent,
    TooManyRequests,
    Unauthorized,
    Unreachable,
    error_from_answer,
)
from trainyard.kube.sockets import Sockets
from trainyard.version import VERSION

CONNECT_TIMEOUT = 10.0
KEEPALIVE = 30.0
READ_ATTEMPTS = 4
THROTTLED_ATTEMPTS = 8
GATHER = 0.02  # a failure may be heard of this much later, and only where another event came just before
BUSY = 2.5  # times that, while events come in every rest
ENOUGH = 65536  # bytes of a stream at once: nothing is gained by waiting for more
TURNS = 3  # of the event loop, from the end of a rest until all that came meanwhile is read: TLS kept one piece of it
LONGEST_RETRY_AFTER = 60.0  # told to wait longer than this, the caller decides
FIRST_BACKOFF, LAST_BACKOFF = 0.2, 5.0

# Python zeroes a buffer of 256 KiB for every TLS connection: 40 MiB for 160 of them. A piece of TLS has 16 KiB at most.
asyncio.sslproto.SSLProtocol.max_size = ENOUGH

Fence = Callable[[], float | None]
"""Called when it is a write's turn, and again when its bytes are about to leave: raises Fenced, or returns the seconds
the request may take (None: no limit)."""


class Observer(Protocol):
    """Hears of every answered or failed request; `code` is the HTTP status or an exception's name."""

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None: ...

    def told_to_wait(self, seconds: float) -> None:
        """An answer asked for a pause (`Retry-After`)."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be sent; `verb` is what metrics go by: the API's verb (get, list, watch, create, …), or `dry-run`."""

    method: str
    path: str
    verb: str
    resource: str
    query: str = ""
    body: bytes | None = None
    content_type: str = "application/json"
    accept: str = "application/json"

    @property
    def is_read(self) -> bool:
        return self.method == "GET"

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Transport:
    """Owns the session. Ordinary requests share `limit` slots; watches have connections of their own."""

    def __init__(
        self,
        source: CredentialSource,
        *,
        limit: int,
        clock: ServerClock,
        observer: Observer | None = None,
        gather: float = GATHER,
    ) -> None:
        self.clock = clock
        self._gather = gather
        self._source = source
        self._observer = observer
        self._slots = asyncio.Semaphore(limit)
        self.sent = self.queued = 0
        """Ordinary requests that hold a slot, and that wait for one."""
        self._session: aiohttp.ClientSession | None = None
        self._sockets = Sockets()

    async def close(self) -> None:
        """Close all connections; a later request would open them again."""
        if self._session is not None:
            await self._session.close()
            self._session = None
            await self._sockets.end()

    async def send(self, request: Request, *, within: float, fence: Fence | None = None) -> bytes:
        """The answer's body, or the error that stands for it. `within` bounds each attempt."""
        failed = throttled = 0
        reloaded = False
        while True:
            credentials = await self._source.current()
            try:
                return await self._attempt(request, credentials, within, None if request.is_read else fence)
            except Unauthorized:
                if reloaded or not await self._source.refused(credentials):
                    raise
                reloaded = True
            except TooManyRequests as error:
                throttled += 1
                await _pause_or_raise(error, throttled, THROTTLED_ATTEMPTS)
            except (ServerError, Unreachable) as error:
                failed += 1
                await _pause_or_raise(error, failed, READ_ATTEMPTS if request.is_read else 1)

    async def _attempt(self, request: Request, credentials: Credentials, within: float, fence: Fence | None) -> bytes:
        async with self._slot():
            # Waiting for a slot or a token may have taken any time.
            left = fence() if fence else None
            if left is not None:
                within = min(within, left)
                request = replace(request, query=_also(request.query, f"timeout={max(1, int(within * 1000))}ms"))
            limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT)
            with _told(self._observer, request):
                async with self._exchange(request, credentials, limits, within, fence) as response:
                    return await response.read()

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        self.queued += 1
        try:
            await self._slots.acquire()
        finally:
            self.queued -= 1
        self.sent += 1
        try:
            yield
        finally:
            self.sent -= 1
            self._slots.release()

    @asynccontextmanager
    async def stream(self, request: Request, *, silence: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """An answer to be read as it comes, gathered; `silence` seconds without a byte end it with Silent."""
        credentials = await self._source.current()
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=silence)
        with _told(self._observer, request):
            try:
                async with self._exchange(request, credentials, limits, None) as response:
                    chunks = _Gathered(response, self._gather)
                    try:
                        yield chunks
                    finally:
                        chunks.resume()
            except Unauthorized:
                await self._source.refused(credentials)  # the caller's next attempt finds fresh ones
                raise

    @asynccontextmanager
    async def _exchange(
        self,
        request: Request,
        credentials: Credentials,
        limits: aiohttp.ClientTimeout,
        total: float | None,
        fence: Fence | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send, learn the server's time, and turn refusals and faults of the connection into errors of ours."""
        url = f"{credentials.server}{request.path}"
        headers = {**credentials.headers, "Accept": request.accept}
        body: bytes | AsyncGenerator[bytes, None] | None = request.body
        if request.body is not None:
            headers["Content-Type"] = request.content_type
            if fence is not None:
                headers["Content-Length"] = str(len(request.body))
                body = _fenced(request.body, fence)
        sent = steady()
        try:
            async with (
                asyncio.timeout(total),
                self._open_session().request(
                    request.method,
                    URL(f"{url}?{request.query}" if request.query else url, encoded=True),
                    data=body,
                    headers=headers,
                    ssl=credentials.tls,
                    server_hostname=credentials.server_name,
                    proxy=credentials.proxy,
                    timeout=limits,
                    allow_redirects=False,
                    middlewares=() if request.is_read else (_sent_once(),),
                ) as response,
            ):
                self.clock.observe(response.headers.get("Date"), sent, steady())
                if response.status >= 300:
                    retry_after = _seconds(response.headers.get("Retry-After"))
                    if retry_after and self._observer is not None:
                        self._observer.told_to_wait(retry_after)
                    raise error_from_answer(response.status, await response.read(), retry_after)
                yield response
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Unreachable(f"{request}: {_why(error)}", ambiguous=False) from error
        except TimeoutError as error:
            raise Silent(f"{request}: nothing came for {steady() - sent:.1f} s", ambiguous=True) from error
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error.__cause__, Fenced):
                raise error.__cause__ from None
            raise Unreachable(f"{request}: {_why(error)}", ambiguous=True) from error

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE, socket_factory=self._sockets.make),
                cookie_jar=aiohttp.DummyCookieJar(),
                # Compression would cost both sides more processor time than the network between them costs.
                headers={"User-Agent": f"trainyard/{VERSION}", "Accept-Encoding": "identity"},
            )
        return self._session


class _Gathered:
    """The bytes of a stream. What comes after a pause is given at once; what follows within `seconds` is left to the
    kernel and given together: to wake up, decrypt and unframe costs nearly as much for one event as for ten. A stream
    that had something to say after a rest is given a longer one."""

    def __init__(self, response: aiohttp.ClientResponse, seconds: float) -> None:
        self._seconds = seconds
        self._content = response.content
        self._transport = response.connection.transport if response.connection is not None else None
        self._rest_until: float | None = None
        limit = getattr(self._transport, "set_read_buffer_limits", None)
        if limit is not None:
            limit(high=1)  # of TLS: otherwise it reads on while paused, and is woken by every event

    def __aiter__(self) -> _Gathered:
        return self

    async def __anext__(self) -> bytes:
        rest_until = self._rest_until
        if rest_until is not None:
            try:
                await asyncio.sleep(rest_until - steady())
            finally:
                self.resume()
            for _ in range(TURNS):
                await asyncio.sleep(0)
        asked = steady()
        chunk = await self._content.readany()
        if not chunk:
            raise StopAsyncIteration
        if self._transport is not None and self._seconds and len(chunk) < ENOUGH:
            self._transport.pause_reading()
            now = steady()
            busy = rest_until is not None and now - asked < self._seconds / 10
            self._rest_until = now + self._seconds * (BUSY if busy else 1.0)
        return chunk

    def resume(self) -> None:
        """The connection may serve others after this stream."""
        if self._rest_until is not None and self._transport is not None:
            self._rest_until = None
            self._transport.resume_reading()


async def _fenced(body: bytes, fence: Fence) -> AsyncGenerator[bytes, None]:
    """The body, if the fence is still open when aiohttp asks for it: after a connection was made where that was needed,
    and after whatever else the loop did first. Nothing has left by then, for aiohttp sends the headers together with
    the first bytes of the body. What remains is the way from here to the kernel, some lines of Python."""
    fence()
    yield body


def _sent_once() -> aiohttp.ClientMiddlewareType:
    """Keeps aiohttp from repeating a DELETE or PUT by itself when a used connection breaks: a repeated write turns its
    own success into a Conflict, and would slip past the fence."""
    sent = False

    async def send(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        nonlocal sent
        if sent:
            raise aiohttp.ClientConnectionError("the connection broke before the answer came")
        sent = True
        return await handler(request)

    return send


def backoff(failures: int, first: float, last: float) -> float:
    """How long to wait after so many failures in a row: doubling, bounded, and jittered by half."""
    return float(min(last, first * 2 ** min(failures - 1, 16)) * random.uniform(0.5, 1.0))


async def _pause_or_raise(error: ApiError | Unreachable, failures: int, attempts: int) -> None:
    asked = error.retry_after if isinstance(error, ApiError) else None
    if failures >= attempts or (asked or 0.0) > LONGEST_RETRY_AFTER:
        raise error
    await asyncio.sleep(
        backoff(failures, FIRST_BACKOFF, LAST_BACKOFF) if asked is None else asked * random.uniform(1.0, 1.2)
    )


@contextmanager
def _told(observer: Observer | None, request: Request) -> Iterator[None]:
    """Tell the observer how it went, whatever happens."""
    started, code = steady(), "200"
    try:
        yield
    except ApiError as error:
        code = str(error.status)
        raise
    except Exception as error:
        code = type(error).__name__
        raise
    except BaseException:  # the caller lost interest
        code = "cancelled"
        raise
    finally:
        if observer is not None:
            observer.request(request.verb, request.resource, code, steady() - started)


def _also(query: str, more: str) -> str:
    return f"{query}&{more}" if query else more


def _seconds(header: str | None) -> float | None:
    """`Retry-After` in seconds; its other form, a date, is not used by API servers and counts as absent."""
    return float(header) if header and header.isascii() and header.isdigit() else None


def _why(error: BaseException) -> str:
    return str(error) or type(error).__name__
