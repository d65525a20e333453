"""Who may read the metrics: a bearer token is shown to the API server, which says whose it is and what it may do.

TokenReview, then SubjectAccessReview for `get` on the path as a non-resource URL, as other operators' endpoints ask it.
Answers are kept for a short while, and few questions are asked at once: a stranger who guesses tokens must not become
a load on the API server. Tokens are neither kept nor logged.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from trainyard.kube.client import Client
from trainyard.kube.clock import steady
from trainyard.kube.errors import KubeError
from trainyard.kube.resources import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS, Resource

ALLOWED_SECONDS = 60.0
REFUSED_SECONDS = 10.0
KEPT = 1000
AT_ONCE = 4
"""Reviews under way."""
MOST_WAITING = 32
"""Requests that wait for one; more are turned away."""
LONGEST_TOKEN = 16 * 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`status` is OK, or the HTTP status to answer with."""

    status: HTTPStatus
    why: str = ""


_ALLOWED = Verdict(HTTPStatus.OK)
_NO_TOKEN = Verdict(HTTPStatus.UNAUTHORIZED, "a bearer token is needed")
_BUSY = Verdict(HTTPStatus.TOO_MANY_REQUESTS, "too many tokens are being reviewed")


class Access:
    """Asks by a client of its own, so that a scrape does not wait behind a gang's creation."""

    def __init__(self, client: Client, path: str = "/metrics", clock: Callable[[], float] = steady) -> None:
        self._client = client
        self._path = path
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[Verdict, float]] = OrderedDict()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def judge(self, authorization: str) -> Verdict:
        """Of one request's `Authorization` header."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > LONGEST_TOKEN:
            return _NO_TOKEN
        digest = hashlib.sha256(token.encode()).digest()
        known = self._recall(digest)
        if known is not None:
            return known
        if self._waiting >= MOST_WAITING:
            return _BUSY
        self._waiting += 1
        try:
            async with self._slots:
                return self._recall(digest) or await self._ask(token, digest)
        finally:
            self._waiting -= 1

    def _recall(self, digest: bytes) -> Verdict | None:
        verdict, until = self._known.get(digest, (None, 0.0))
        return verdict if until > self._clock() else None

    async def _ask(self, token: str, digest: bytes) -> Verdict:
        try:
            verdict = await self._review(token)
        except KubeError as error:
            log.warning("a reader of the metrics cannot be judged: %s", error)
            return Verdict(HTTPStatus.SERVICE_UNAVAILABLE, "the API server does not say who you are; try again")
        seconds = ALLOWED_SECONDS if verdict.status is HTTPStatus.OK else REFUSED_SECONDS
        self._known[digest] = (verdict, self._clock() + seconds)
        self._known.move_to_end(digest)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return verdict

    async def _review(self, token: str) -> Verdict:
        answer = await self._client.create(TOKEN_REVIEWS, _body(TOKEN_REVIEWS, {"token": token}))
        status = answer.get("status") or {}
        if not status.get("authenticated"):
            return Verdict(HTTPStatus.UNAUTHORIZED, "the token is not valid")
        user = status.get("user") or {}
        asked = {
            "user": user.get("username", ""),
            "groups": user.get("groups") or [],
            "uid": user.get("uid", ""),
            "extra": user.get("extra") or {},
            "nonResourceAttributes": {"path": self._path, "verb": "get"},
        }
        answer = await self._client.create(SUBJECT_ACCESS_REVIEWS, _body(SUBJECT_ACCESS_REVIEWS, asked))
        if (answer.get("status") or {}).get("allowed"):
            return _ALLOWED
        why = f"{asked['user']} may not get the non-resource URL {self._path}: bind it to a ClusterRole that allows it"
        return Verdict(HTTPStatus.FORBIDDEN, why)


def _body(resource: Resource, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {}, "spec": spec}
