"""What can go wrong between us and the API server, as one tree.

    KubeError
    ├── ApiError            the server answered, and refused
    │   ├── BadRequest        400
    │   ├── Unauthorized      401  (after the credentials were loaded afresh)
    │   ├── Forbidden         403  RBAC, quota, admission, a terminating namespace
    │   ├── NotFound          404  ask is_object_missing() before believing that an object is gone
    │   ├── Conflict          409  a resourceVersion or UID precondition did not hold
    │   ├── AlreadyExists     409  with reason AlreadyExists
    │   ├── Gone              410  resourceVersion or continue token too old
    │   ├── Invalid           422  schema, CEL, immutable fields
    │   ├── TooManyRequests   429  not executed; see retry_after
    │   └── ServerError       5xx
    ├── Unreachable         no answer; with ambiguous=True the request may have been executed
    │   └── Silent            a connection that stands, but on which nothing comes any more
    ├── Fenced              we may no longer write: nothing was sent
    └── BadCredentials      kubeconfig, service account or exec plugin do not yield usable credentials

It must not decide what to do about any of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MESSAGE_LIMIT = 2000  # a proxy's HTML page must not flood a log line or a condition


class KubeError(Exception):
    """Root of everything this room raises on purpose."""


class BadCredentials(KubeError):
    """No usable credentials could be loaded."""


class Fenced(KubeError):
    """The write was not sent, because this process may no longer be the leader."""


class Unreachable(KubeError):
    """No answer came. `ambiguous` says whether the server may have executed the request all the same."""

    def __init__(self, message: str, *, ambiguous: bool) -> None:
        super().__init__(message)
        self.ambiguous = ambiguous


class Silent(Unreachable):
    """Nothing came for longer than anything takes."""


class ApiError(KubeError):
    """The server's refusal, as its Status object tells it."""

    def __init__(
        self,
        status: int,
        reason: str = "",
        message: str = "",
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{status} {reason}: {message}" if reason else f"{status}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.details: Mapping[str, Any] = details or {}
        self.retry_after = retry_after


class BadRequest(ApiError):
    """400: the request itself is malformed."""


class Unauthorized(ApiError):
    """401: the server does not know who we are."""


class Forbidden(ApiError):
    """403: RBAC, admission, exhausted quota, or a namespace that is being terminated."""

    @property
    def namespace_terminating(self) -> bool:
        causes = self.details.get("causes") or ()
        return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)

    @property
    def quota_exceeded(self) -> bool:
        return "exceeded quota" in self.message


class NotFound(ApiError):
    """404: of an object, a namespace, a resource, or a path some proxy does not know."""

    def is_object_missing(self, name: str) -> bool:
        """True only if the API server itself says that this very object does not exist (W9)."""
        return self.status == 404 and self.reason == "NotFound" and self.details.get("name") == name


class Conflict(ApiError):
    """409: the object changed under us, or is another one of the same name."""


class AlreadyExists(ApiError):
    """409: an object of that name is there already."""


class Gone(ApiError):
    """410: the resourceVersion or continue token is too old; list again."""


class Invalid(ApiError):
    """422: the object breaks its schema or a rule of it."""


class TooManyRequests(ApiError):
    """429: the server did not execute the request and asks us to come back later."""


class ServerError(ApiError):
    """5xx: the server failed; a write may or may not have been executed."""

    @property
    def webhook_failed(self) -> bool:
        """A webhook on the way did not answer, and without it nothing is admitted."""
        return "failed calling webhook" in self.message


_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


def error_from_status(
    status: Mapping[str, Any], *, code: int | None = None, retry_after: float | None = None
) -> ApiError:
    """The error a `Status` object stands for, be it an answer's body or an ERROR event in a watch."""
    answered = code if code is not None else _as_int(status.get("code"), 500)
    reason = str(status.get("reason") or "")
    details = status.get("details") if isinstance(status.get("details"), Mapping) else None
    if retry_after is None and details and "retryAfterSeconds" in details:
        retry_after = float(_as_int(details["retryAfterSeconds"], 0))
    kind = _kind_of(answered, reason)
    return kind(answered, reason, str(status.get("message") or "")[:MESSAGE_LIMIT], details, retry_after)


def error_from_answer(code: int, body: bytes, retry_after: float | None) -> ApiError:
    """The error an HTTP answer stands for; a body that is no Status (a proxy's page) becomes the message."""
    try:
        status = json.loads(body)
    except ValueError:
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        status = {"message": body[:MESSAGE_LIMIT].decode("utf-8", "replace")}
    return error_from_status(status, code=code, retry_after=retry_after)


def _kind_of(code: int, reason: str) -> type[ApiError]:
    if code == 409 and reason == "AlreadyExists":
        return AlreadyExists
    if code >= 500:
        return ServerError
    return _BY_STATUS.get(code, ApiError)


def _as_int(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default
