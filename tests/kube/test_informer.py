"""Does the sink end up with the truth, whatever happens to lists and watches, and does the informer know when not?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from kube.fake_api import FakeApi, cut, events, eventually, garbage, listing, pod, refuse, status
from kube.store import Store, View, translate
from trainyard.kube import informer as module
from trainyard.kube import transport
from trainyard.kube.client import Client
from trainyard.kube.clock import steady
from trainyard.kube.errors import Forbidden
from trainyard.kube.informer import Informer, Watchdog
from trainyard.kube.resources import PODS

POISON: dict[str, Any] = {"annotations": {"poison": "yes"}}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_BACKOFF", 0.005)
    monkeypatch.setattr(module, "LAST_BACKOFF", 0.02)
    monkeypatch.setattr(transport, "FIRST_BACKOFF", 0.005)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def forever() -> Iterator[asyncio.Event]:
    """Watches that stay open wait for this; it is set at the end so that the server can close."""
    event = asyncio.Event()
    yield event
    event.set()


def informer_of(client: Client, store: Store, **options: Any) -> Informer[View]:
    return Informer(client, PODS, translate=translate, sink=store, **options)


@asynccontextmanager
async def running(informer: Informer[View], forever: asyncio.Event) -> AsyncIterator[None]:
    task = asyncio.create_task(informer.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        forever.set()


async def test_list_then_watch(fake: FakeApi, client: Client, store: Store, forever: asyncio.Event) -> None:
    fake.script("GET", listing(pod("a", 1), version=10, following="t"), listing(pod("b", 2), version=10))
    changes = events(("ADDED", pod("c", 11)), ("MODIFIED", pod("a", 12)), ("DELETED", pod("b", 13)), wait=forever)
    fake.script("WATCH", changes)
    informer = informer_of(client, store, labels="x=y", page_size=1)
    assert not informer.synced
    assert informer.problems() == ["pods: not listed yet"]
    async with running(informer, forever):
        await informer.wait_synced()
        await store.until(lambda: len(store.story) == 4)
        assert store.story == [
            ("replace", (None, [])),
            ("upsert", ("c", "11")),
            ("upsert", ("a", "12")),
            ("delete", ("b", "13")),
        ]
        assert store.names == ["a", "c"]
        assert informer.healthy()
        assert informer.last_activity is not None
    watch = fake.requests("WATCH")[0]
    assert watch.query["resourceVersion"] == "10"
    assert watch.query["labelSelector"] == "x=y"
    assert 300 <= int(watch.query["timeoutSeconds"]) <= 600


async def test_metadata_is_enough_where_asked(
    fake: FakeApi, client: Client, store: Store, forever: asyncio.Event
) -> None:
    fake.script("GET", listing(pod("a")))
    fake.script("WATCH", events(("ADDED", pod("b", 11)), wait=forever))
    async with running(informer_of(client, store, metadata_only=True), forever):
        await store.until(lambda: store.names == ["a", "b"])
    accepted = [seen.headers["Accept"].split(";")[1] for seen in fake.seen]
    assert accepted == ["as=PartialObjectMetadataList", "as=PartialObjectMetadata"]


@pytest.mark.parametrize("then", ["end", "cut"])
async def test_a_watch_goes_on_where_it_was(
    fake: FakeApi, client: Client, store: Store, forever: asyncio.Event, then: str
) -> None:
    fake.script("GET", listing(pod("a"), version=10))
    fake.script(
        "WATCH",
        events(("ADDED", pod("b", 11)), ("BOOKMARK", pod("", 20)), then=then),
        events(("ADDED", pod("c", 21)), wait=forever),
    )
    async with running(informer_of(client, store), forever):
        await store.until(lambda: store.names == ["a", "b", "c"])
    assert [seen.query["resourceVersion"] for seen in fake.requests("WATCH")] == ["10", "20"]
    assert len(fake.requests("GET")) == 1


@pytest.mark.parametrize(
    "fault",
    [
        refuse(410, "Expired", "too old resource version"),
        events(("ERROR", status(410, "Expired"))),
        events(("ERROR", status(500, "InternalError"))),
        refuse(504, "Timeout", "Too large resource version"),
        garbage(),
    ],
)
async def test_what_vanished_in_a_gap_is_deleted(
    fake: FakeApi, client: Client, store: Store, forever: asyncio.Event, fault: Any
) -> None:
    fake.script("GET", listing(pod("a"), pod("b"), version=10), listing(pod("a", uid="other"), version=30))
    fake.script("WATCH", fault, events(("ADDED", pod("c", 31)), wait=forever))
    async with running(informer_of(client, store), forever):
        await store.until(lambda: "c" in store.names)
    assert ("replace", (None, ["a", "b"])) in store.story  # the other "a" is another object
    assert store.names == ["a", "c"]
    assert [seen.query["resourceVersion"] for seen in fake.requests("WATCH")] == ["10", "30"]


@pytest.mark.parametrize("fault", [cut(), refuse(503), refuse(429, Retry_After="0"), refuse(403, "Forbidden")])
async def test_an_outage_costs_no_list(
    fake: FakeApi, client: Client, store: Store, forever: asyncio.Event, fault: Any
) -> None:
    fake.script("GET", listing(version=10))
    fake.script("WATCH", fault, fault, fault, events(("ADDED", pod("c", 31)), wait=forever))
    informer = informer_of(client, store)
    async with running(informer, forever):
        await store.until(lambda: store.names == ["c"])
        assert informer.healthy()
    assert [seen.query["resourceVersion"] for seen in fake.requests("WATCH")] == ["10"] * 4
    assert len(fake.requests("GET")) == 1


async def test_a_list_whose_pages_expire_is_read_in_one_piece(
    fake: FakeApi, client: Client, store: Store, forever: asyncio.Event
) -> None:
    fake.script("GET", listing(pod("a"), following="t"), refuse(410, "Expired"), listing(pod("a"), pod("b")))
    fake.script("WATCH", events(("ADDED", pod("c", 11)), wait=forever))
    async with running(informer_of(client, store), forever):
        await store.until(lambda: store.names == ["a", "b", "c"])
    assert [("limit" in seen.query) for seen in fake.requests("GET")] == [True, True, False]


async def test_a_poison_object_harms_only_itself(
    fake: FakeApi, client: Client, store: Store, forever: asyncio.Event
) -> None:
    fake.script("GET", listing(pod("a"), pod("bad")), listing(pod("a"), pod("bad", **POISON)))
    fake.script(
        "WATCH",
        events(("MODIFIED", pod("bad", 11, **POISON)), ("ADDED", pod("b", 12)), ("ERROR", status(410))),
        events(("DELETED", pod("bad", 13, **POISON)), ("ADDED", pod("c", 14)), wait=forever),
    )
    informer = informer_of(client, store)
    async with running(informer, forever):
        await store.until(lambda: "c" in store.names)
    assert store.story == [
        ("replace", (None, [])),
        ("poison", "bad"),
        ("upsert", ("b", "12")),
        ("poison", "bad"),
        ("replace", (None, ["b"])),  # "bad" was listed, unreadable as it is: it is no deletion
        ("poison", "bad"),
        ("delete", ("bad", None)),
        ("upsert", ("c", "14")),
    ]
    assert informer.poisoned == 3


async def test_a_broken_sink_is_filled_again(
    fake: FakeApi, client: Client, store: Store, forever: asyncio.Event
) -> None:
    fake.script("GET", listing(version=10), listing(pod("a", 11), version=11))
    fake.script("WATCH", events(("ADDED", pod("a", 11))), events(("ADDED", pod("b", 12)), wait=forever))
    store.broken = True
    async with running(informer_of(client, store), forever):
        await store.until(lambda: store.names == ["a", "b"])


async def test_namespaces_are_replaced_one_by_one(
    fake: FakeApi, client: Client, store: Store, forever: asyncio.Event
) -> None:
    fake.script("GET", listing(pod("a", namespace="n1")), listing(pod("b", namespace="n2")), listing())
    fake.script("WATCH", events(("ERROR", status(410))), events(("BOOKMARK", pod("", 40)), wait=forever))
    informer = informer_of(client, store, namespaces=["n2", "n1", "n1"])
    async with running(informer, forever):
        await store.until(lambda: len(store.story) == 3)
        assert informer.synced
    assert {seen.path for seen in fake.seen} == {"/api/v1/namespaces/n1/pods", "/api/v1/namespaces/n2/pods"}
    assert len(store.names) == 1


async def test_a_silent_watch_is_not_trusted(
    fake: FakeApi, client: Client, store: Store, forever: asyncio.Event
) -> None:
    """Nothing was told, yet the lists before and after differ: the watch is deaf, and that is a problem."""
    fake.script("GET", listing(pod("a", 1), version=10), listing(pod("a", 1), version=10), listing(pod("a", 2)))
    fake.script("WATCH", events(wait=forever))
    informer = informer_of(client, store, silence=0.1)
    async with running(informer, forever):
        await store.until(lambda: len(store.story) == 2)
        assert informer.healthy()  # nothing changed and nothing was told
        await store.until(lambda: len(store.story) == 3)
        assert informer.problems() == ["pods: objects change, but the watch does not tell"]


async def test_a_watch_that_speaks_again_is_trusted_again(
    fake: FakeApi, client: Client, store: Store, forever: asyncio.Event
) -> None:
    fake.script("GET", listing(pod("a", 1)), listing(pod("a", 2)))
    fake.script("WATCH", events(wait=forever), events(("ADDED", pod("b", 11)), wait=forever))
    informer = informer_of(client, store, silence=0.1)
    async with running(informer, forever):
        await store.until(lambda: "b" in store.names)
        assert informer.healthy()


async def test_being_refused_is_told(fake: FakeApi, client: Client, store: Store, forever: asyncio.Event) -> None:
    fake.script("GET", refuse(403, "Forbidden", "pods is forbidden"))
    informer = informer_of(client, store, required=False)
    dead: list[list[str]] = []
    dog = Watchdog([informer], on_dead=dead.append)
    async with running(informer, forever):
        await eventually(lambda: informer.refused is not None)
        assert isinstance(informer.refused, Forbidden)
        assert informer.problems() == ["pods: not listed yet (403 Forbidden: pods is forbidden)"]
        assert dog.not_ready() == []
        informer.required = True
        assert dog.not_ready() == informer.problems()


@pytest.mark.parametrize("required", [True, False])
async def test_a_kind_that_is_withheld_for_good_is_said_once(
    fake: FakeApi,
    client: Client,
    store: Store,
    forever: asyncio.Event,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    required: bool,
) -> None:
    monkeypatch.setattr(module, "LAST_BACKOFF", 0.01)
    fake.script("GET", refuse(403, "Forbidden", "pods is forbidden"))
    async with running(informer_of(client, store, required=required), forever):
        await eventually(lambda: len(fake.requests("GET")) > 3)
    told = [record for record in caplog.records if record.levelname == "WARNING" and "forbidden" in record.message]
    assert (len(told) == 1) is not required


async def test_a_watch_that_ends_at_once_is_not_opened_in_a_hot_loop(
    fake: FakeApi, client: Client, store: Store, forever: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_BACKOFF", 0.2)
    monkeypatch.setattr(module, "LAST_BACKOFF", 5.0)
    fake.script("GET", listing())
    fake.script("WATCH", events())
    async with running(informer_of(client, store), forever):
        await store.until(lambda: len(store.story) == 1)
        await asyncio.sleep(1.0)  # the span is what is measured
    assert 2 <= len(fake.requests("WATCH")) <= 5


@pytest.mark.parametrize(("longest", "expected"), [(0.02, [1, 2, 3, 1]), (60.0, [1, 2, 3, 4])])
async def test_a_watch_that_stood_long_was_no_failure(
    fake: FakeApi,
    client: Client,
    store: Store,
    forever: asyncio.Event,
    monkeypatch: pytest.MonkeyPatch,
    longest: float,
    expected: list[int],
) -> None:
    """Something on the way cuts what is quiet. Whoever comes back later each time is blind half of his life."""
    failures: list[int] = []

    def backoff(count: int, *_: float) -> float:
        failures.append(count)
        return 0.001

    monkeypatch.setattr(module, "LAST_BACKOFF", longest)
    monkeypatch.setattr(module, "backoff", backoff)
    over = asyncio.Event()
    fake.script("GET", listing(version=10))
    quiet = events(then="cut", wait=over)
    fake.script("WATCH", *[refuse(503)] * 3, quiet, events(("ADDED", pod("c", 31)), wait=forever))
    informer = informer_of(client, store)
    async with running(informer, forever):
        await eventually(lambda: len(failures) == 3 and informer._streams[0].error is None)
        await asyncio.sleep(0.05)  # the span that it stands
        over.set()
        await store.until(lambda: store.names == ["c"])
    assert failures == expected


async def test_the_watchdog_ends_what_stays_unwell(
    fake: FakeApi, client: Client, store: Store, forever: asyncio.Event
) -> None:
    fake.script("GET", listing())
    fake.script("WATCH", events(("ADDED", pod("a", 11)), wait=forever))
    informer = informer_of(client, store, silence=100.0)
    dead: list[list[str]] = []
    dog = Watchdog([informer], on_dead=dead.append, bound=300.0)
    start = steady()
    dog.check(start)
    assert dog.not_ready(start) == ["pods: not listed yet"]
    async with running(informer, forever):
        await store.until(lambda: store.names == ["a"])
        dog.check()
        assert dog.not_ready(steady() + 129) == []
        dog.check(start + 1000)  # well above the silence
        dog.check(start + 1299)
        assert not dead
        dog.check(start + 1301)
        assert dead and dead[0][0].startswith("pods: nothing heard for 1")


async def test_a_server_that_is_away_is_told_after_a_grace(
    fake: FakeApi, client: Client, store: Store, forever: asyncio.Event
) -> None:
    fake.script("GET", listing())
    fake.script("WATCH", events(("BOOKMARK", pod("", 11)), then="cut"), cut())
    informer = informer_of(client, store)
    async with running(informer, forever):
        await eventually(lambda: len(fake.requests("WATCH")) >= 3)
        assert informer.healthy()
        problem = informer.problems(steady() + 40)[0]
    assert problem.startswith("pods: no watch for 4")
    assert "GET /api/v1/pods" in problem
