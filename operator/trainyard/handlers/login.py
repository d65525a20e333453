"""kopf's way to the API server: the same credentials that our own client uses, asked for anew at every request.

It must not keep a token: a rotated one is picked up without a new session.
"""

from __future__ import annotations

import aiohttp
import kopf

from trainyard.kube.credentials import Credentials, CredentialSource
from trainyard.kube.errors import BadCredentials

RETRY_AFTER = 10.0


class Login:
    """Answers kopf's `on.login`. Asked again, it knows that the server refused what it gave before."""

    def __init__(self, source: CredentialSource) -> None:
        self._source = source
        self._used: Credentials | None = None

    async def session(self) -> kopf.AiohttpSession:
        """A session that signs every request with what is current then."""
        # kopf would end over either. Our own client meets the same, and says so where it is seen.
        if self._used is not None and not await self._source.refused(self._used):
            raise kopf.TemporaryError("the API server refused our credentials and there are no others", RETRY_AFTER)
        try:
            self._used = credentials = await self._source.current()
        except BadCredentials as error:
            raise kopf.TemporaryError(str(error), RETRY_AFTER) from None
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=credentials.tls),
            proxy=credentials.proxy,
            middlewares=(self._sign,),
        )
        return kopf.AiohttpSession(server=credentials.server, aiohttp_session=session)

    async def _sign(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        credentials = await self._source.current()
        request.headers.update(credentials.headers)
        request.server_hostname = credentials.server_name
        return await handler(request)
