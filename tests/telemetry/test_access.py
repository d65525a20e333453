"""Who may read, and how often is the API server asked about it?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, cast

import aiohttp
import pytest

from trainyard.kube.client import Client
from trainyard.kube.errors import Unreachable
from trainyard.kube.resources import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS, Resource
from trainyard.telemetry import access
from trainyard.telemetry.access import Access
from trainyard.telemetry.endpoint import Endpoint, Subject, serve_metrics
from trainyard.telemetry.fleet_text import FleetText, Limits
from trainyard.telemetry.metrics import Metrics

READER = {"username": "system:serviceaccount:monitoring:prometheus", "groups": ["system:authenticated"], "uid": "u1"}


class Reviewer:
    """The API server, as far as reviews go."""

    def __init__(self) -> None:
        self.users: dict[str, dict[str, Any]] = {"good": READER, "stranger": {"username": "bob"}}
        self.allowed = {READER["username"]}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.gate: asyncio.Event | None = None
        self.down = False

    async def create(self, resource: Resource, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((resource.kind, body["spec"]))
        assert (body["apiVersion"], body["kind"]) == (resource.api_version, resource.kind)
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise Unreachable("no answer", ambiguous=True)
        if resource is TOKEN_REVIEWS:
            user = self.users.get(body["spec"]["token"])
            return {"status": {"authenticated": True, "user": user} if user else {"error": "invalid"}}
        assert resource is SUBJECT_ACCESS_REVIEWS
        return {"status": {"allowed": body["spec"]["user"] in self.allowed}}


class Clock:
    at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def reviewer() -> Reviewer:
    return Reviewer()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guard(reviewer: Reviewer, clock: Clock) -> Access:
    return Access(cast(Client, reviewer), clock=clock)


async def test_a_token_whose_owner_may_read_is_let_in(guard: Access, reviewer: Reviewer) -> None:
    assert (await guard.judge("Bearer good")).status is HTTPStatus.OK
    (_, token), (_, subject) = reviewer.asked
    assert token == {"token": "good"}
    assert subject == {
        "user": READER["username"],
        "groups": READER["groups"],
        "uid": "u1",
        "extra": {},
        "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
    }


@pytest.mark.parametrize(
    "header", ["", "good", "Basic good", "Bearer", "Bearer ", "Bearer " + "x" * (access.LONGEST_TOKEN + 1)]
)
async def test_without_a_token_nobody_is_asked(guard: Access, reviewer: Reviewer, header: str) -> None:
    assert (await guard.judge(header)).status is HTTPStatus.UNAUTHORIZED
    assert reviewer.asked == []


async def test_an_unknown_token_is_refused(guard: Access) -> None:
    assert (await guard.judge("Bearer forged")).status is HTTPStatus.UNAUTHORIZED


async def test_who_may_not_read_is_told_what_is_missing(guard: Access) -> None:
    verdict = await guard.judge("Bearer stranger")
    assert verdict.status is HTTPStatus.FORBIDDEN
    assert "bob may not get the non-resource URL /metrics" in verdict.why


async def test_answers_are_kept_for_a_while(guard: Access, reviewer: Reviewer, clock: Clock) -> None:
    for _ in range(5):
        assert (await guard.judge("bearer good")).status is HTTPStatus.OK
        assert (await guard.judge("Bearer stranger")).status is HTTPStatus.FORBIDDEN
    assert len(reviewer.asked) == 4
    reviewer.allowed.clear()
    clock.at += access.ALLOWED_SECONDS - 1
    assert (await guard.judge("Bearer good")).status is HTTPStatus.OK
    clock.at += 2
    assert (await guard.judge("Bearer good")).status is HTTPStatus.FORBIDDEN
    reviewer.allowed.add("bob")
    assert (await guard.judge("Bearer stranger")).status is HTTPStatus.OK, "refusals are kept for less long"


async def test_no_answer_is_neither_yes_nor_no_and_is_not_kept(guard: Access, reviewer: Reviewer) -> None:
    reviewer.down = True
    assert (await guard.judge("Bearer good")).status is HTTPStatus.SERVICE_UNAVAILABLE
    reviewer.down = False
    assert (await guard.judge("Bearer good")).status is HTTPStatus.OK


async def test_guessed_tokens_do_not_become_a_load(guard: Access, reviewer: Reviewer) -> None:
    reviewer.gate = asyncio.Event()
    tries = [asyncio.create_task(guard.judge(f"Bearer guess-{n}")) for n in range(200)]
    await asyncio.sleep(0)
    assert len(reviewer.asked) <= access.AT_ONCE
    reviewer.gate.set()
    statuses = [(await task).status for task in tries]
    assert statuses.count(HTTPStatus.UNAUTHORIZED) == access.MOST_WAITING
    assert statuses.count(HTTPStatus.TOO_MANY_REQUESTS) == 200 - access.MOST_WAITING
    assert len(reviewer.asked) == access.MOST_WAITING


async def test_one_token_in_many_requests_is_reviewed_once_at_a_time(guard: Access, reviewer: Reviewer) -> None:
    await asyncio.gather(*(guard.judge("Bearer good") for _ in range(access.MOST_WAITING)))
    assert len(reviewer.asked) <= 2 * access.AT_ONCE


async def test_what_is_kept_is_bounded(guard: Access, reviewer: Reviewer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "KEPT", 3)
    await guard.judge("Bearer good")
    for number in range(3):
        await guard.judge(f"Bearer guess-{number}")
    asked = len(reviewer.asked)
    await guard.judge("Bearer good")
    assert len(reviewer.asked) == asked + 2, "the oldest was forgotten"


# Over HTTP


@pytest.fixture
async def served(guard: Access) -> AsyncIterator[tuple[str, Metrics]]:
    metrics = Metrics()
    endpoint = Endpoint(metrics, FleetText(Limits()), Subject(), guard)
    async with serve_metrics("127.0.0.1", 0, endpoint) as port:
        yield f"http://127.0.0.1:{port}/metrics", metrics


@pytest.mark.parametrize(
    ("header", "status"), [("Bearer good", 200), ("Bearer stranger", 403), ("Bearer forged", 401), ("", 401)]
)
async def test_the_endpoint_answers_by_the_verdict(served: tuple[str, Metrics], header: str, status: int) -> None:
    url, metrics = served
    headers = {"Authorization": header} if header else {}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        assert answer.status == status
        assert ("trainyard_build_info" in await answer.text()) == (status == 200)
        assert answer.headers.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)
    assert metrics.registry.get_sample_value("trainyard_scrapes_total", {"code": str(status)}) == 1
