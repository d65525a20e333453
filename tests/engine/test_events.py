"""Are events sent beside the work, counted instead of repeated, and never a reason to fail?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from engine.fakes import Bench, Object
from trainyard.api.reasons import Reason
from trainyard.engine.events import NOTE_BYTES, WAITING, Events
from trainyard.kube.client import Client
from trainyard.kube.errors import Forbidden
from trainyard.kube.resources import EVENTS
from trainyard.model.plan import EventNote


@pytest.fixture
async def events(bench: Bench) -> AsyncIterator[Events]:
    events = Events(cast(Client, bench.api), "operator-1")
    running = asyncio.create_task(events.run())
    yield events
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def _kept(bench: Bench) -> list[Object]:
    """Events that the API server has."""
    return [obj for (kind, _), obj in bench.api.objects.items() if kind == str(EVENTS)]


async def test_the_same_words_become_one_event_with_a_count(bench: Bench, events: Events) -> None:
    for _ in range(3):
        events.note(bench.job, EventNote("Normal", Reason.RESUMED, "again"))
    events.note(bench.job, EventNote("Normal", Reason.RESUMED, "other words"))
    await events.sent()
    sent = _kept(bench)
    assert sorted((e["note"], (e.get("series") or {}).get("count")) for e in sent) == [
        ("again", 3),
        ("other words", None),
    ]
    assert sent[0]["regarding"]["uid"] == "job-1"


async def test_long_words_are_cut_to_what_the_server_takes(bench: Bench, events: Events) -> None:
    events.note(bench.job, EventNote("Normal", Reason.RESUMED, "é" * 2000))
    await events.sent()
    (sent,) = _kept(bench)
    assert len(sent["note"].encode()) <= NOTE_BYTES


async def test_an_event_that_is_refused_stops_nothing(bench: Bench, events: Events) -> None:
    bench.api.faults[("create", str(EVENTS), "")] = [Forbidden(403, "Forbidden", "no")]
    events.note(bench.job, EventNote("Normal", Reason.RESUMED, "lost"))
    events.note(bench.job, EventNote("Normal", Reason.RESUMED, "sent"))
    await events.sent()
    assert [event["note"] for event in _kept(bench)] == ["sent"]


async def test_an_event_that_was_refused_is_sent_when_it_is_noted_again(bench: Bench, events: Events) -> None:
    bench.api.faults[("create", str(EVENTS), "")] = [Forbidden(403, "Forbidden", "no")]
    for _ in range(3):
        events.note(bench.job, EventNote("Normal", Reason.RESUMED, "again"))
    await events.sent()
    (sent,) = _kept(bench)
    assert (sent["note"], sent["series"]["count"]) == ("again", 2)


async def test_an_event_that_somebody_deleted_is_told_anew(bench: Bench, events: Events) -> None:
    event = EventNote("Normal", Reason.RESUMED, "again")
    events.note(bench.job, event)
    await events.sent()
    (name,) = (e["metadata"]["name"] for e in _kept(bench))
    del bench.api.objects[(str(EVENTS), name)]
    for _ in range(2):
        events.note(bench.job, event)
    await events.sent()
    (sent,) = _kept(bench)
    assert (sent["note"], sent["series"]["count"]) == ("again", 2)


async def test_more_events_than_can_wait_drop_the_oldest(bench: Bench) -> None:
    events = Events(cast(Client, bench.api), "operator-1")
    for number in range(WAITING + 5):
        events.note(bench.job, EventNote("Normal", Reason.RESUMED, str(number)))
    assert events._waiting.qsize() == WAITING
    assert events._waiting.get_nowait()[1].message == "5"
