"""A few plain requests to the API server of a cluster that we made; no client library, no watches."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from yardlib.errors import YardError
from yardlib.pki import Identity

TIMEOUT_SECONDS = 30.0
Json = dict[str, Any]


class Api:
    """Requests with a client certificate, one kept connection a thread."""

    def __init__(self, host: str, port: int, authority: Path, identity: Identity) -> None:
        self._host, self._port = host, port
        self._tls = ssl.create_default_context(cafile=str(authority))
        self._tls.load_cert_chain(str(identity.certificate), str(identity.key))
        self._local = threading.local()

    def ready(self) -> bool:
        """True when the API server says that it serves."""
        try:
            return self._send("GET", "/readyz", None)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def get(self, path: str) -> Json:
        """One object or list."""
        return self._call("GET", path, None)

    def find(self, path: str) -> Json | None:
        """One object, None where there is none."""
        try:
            status, body = self._send("GET", path, None)
        except (OSError, http.client.HTTPException) as broken:
            raise YardError(f"the API server does not answer: {broken}") from broken
        if status == 404:
            return None
        return self._judge("GET", path, status, body)

    def create(self, path: str, body: Json) -> bool:
        """Creates an object; False when one of that name is already there."""
        status, answer = self._send("POST", path, body)
        if status == 409:
            return False
        self._judge("POST", path, status, answer)
        return True

    def patch(self, path: str, body: Json) -> Json:
        """Merges fields into an object."""
        return self._call("PATCH", path, body)

    def delete(self, path: str) -> None:
        """Deletes an object; absence is success."""
        status, answer = self._send("DELETE", path, None)
        if status != 404:
            self._judge("DELETE", path, status, answer)

    def create_all(self, path: str, bodies: Iterable[Json], *, workers: int = 16) -> int:
        """Creates many, several at a time; how many were new."""
        with ThreadPoolExecutor(workers) as pool:
            return sum(pool.map(lambda body: self.create(path, body), bodies))

    def _call(self, method: str, path: str, body: Json | None) -> Json:
        try:
            status, answer = self._send(method, path, body)
        except (OSError, http.client.HTTPException) as broken:
            raise YardError(f"the API server does not answer: {broken}") from broken
        return self._judge(method, path, status, answer)

    @staticmethod
    def _judge(method: str, path: str, status: int, body: bytes) -> Json:
        if status >= 300:
            raise YardError(f"{method} {path} was answered with {status}: {body.decode(errors='replace')[:400]}")
        document: Json = json.loads(body)
        return document

    def _send(self, method: str, path: str, body: Json | None) -> tuple[int, bytes]:
        """One request; a kept connection that the server has closed meanwhile is opened once more."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        payload = None if body is None else json.dumps(body)
        for fresh in (False, True):
            connection: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
            if fresh or connection is None:
                connection = http.client.HTTPSConnection(
                    self._host, self._port, context=self._tls, timeout=TIMEOUT_SECONDS
                )
                self._local.connection = connection
            try:
                connection.request(method, path, payload, {"Content-Type": kind, "Accept": "application/json"})
                answer = connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                self._local.connection = None
                if fresh:
                    raise
        raise AssertionError("unreachable: the second try either answers or raises")
