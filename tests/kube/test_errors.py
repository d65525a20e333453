"""Is each refusal told apart, and is a missing object believed only when the server itself says so?"""

from __future__ import annotations

import pytest

from kube.fake_api import status
from trainyard.kube import errors


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (400, "BadRequest", errors.BadRequest),
        (401, "Unauthorized", errors.Unauthorized),
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.NotFound),
        (409, "Conflict", errors.Conflict),
        (409, "AlreadyExists", errors.AlreadyExists),
        (410, "Expired", errors.Gone),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.TooManyRequests),
        (500, "InternalError", errors.ServerError),
        (504, "Timeout", errors.ServerError),
        (418, "", errors.ApiError),
    ],
)
def test_each_status_has_its_class(code: int, reason: str, kind: type[errors.ApiError]) -> None:
    error = errors.error_from_status(status(code, reason, "why"))
    assert type(error) is kind
    assert (error.status, error.reason, error.message) == (code, reason, "why")


@pytest.mark.parametrize(
    ("error", "missing"),
    [
        (errors.NotFound(404, "NotFound", "", {"name": "gpt", "kind": "trainingjobs"}), True),
        (errors.NotFound(404, "NotFound", "", {"name": "research", "kind": "namespaces"}), False),
        (errors.NotFound(404, "NotFound", "", {}), False),
        (errors.NotFound(404, "", "404 page not found"), False),
    ],
)
def test_only_the_server_naming_the_object_says_it_is_missing(error: errors.NotFound, missing: bool) -> None:
    assert error.is_object_missing("gpt") is missing


def test_an_answer_that_is_no_status_becomes_the_message() -> None:
    error = errors.error_from_answer(502, b"<html>bad gateway \xff</html>" + b"x" * 5000, None)
    assert isinstance(error, errors.ServerError)
    assert error.message.startswith("<html>bad gateway")
    assert len(error.message) <= errors.MESSAGE_LIMIT
    assert errors.error_from_answer(404, b"[]", None).reason == ""


def test_retry_after_is_found_in_header_and_details() -> None:
    throttled = status(429, "TooManyRequests", details={"retryAfterSeconds": 7})
    assert errors.error_from_status(throttled).retry_after == 7.0
    assert errors.error_from_status(throttled, retry_after=3.0).retry_after == 3.0


def test_forbidden_tells_why() -> None:
    causes = [{"reason": "NamespaceTerminating", "message": "namespace ns is being terminated"}]
    assert errors.Forbidden(403, "Forbidden", "", {"causes": causes}).namespace_terminating
    assert not errors.Forbidden(403, "Forbidden", "").namespace_terminating
    assert errors.Forbidden(403, "Forbidden", "pods is forbidden: exceeded quota: gpus").quota_exceeded
