"""Does the client send what was asked, once, and say plainly what came of it?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from kube.fake_api import Answer, FakeApi, answer, cut, events, eventually, listing, pod, refuse, status
from trainyard.kube import transport
from trainyard.kube.client import Client, split_lines
from trainyard.kube.credentials import Credentials, CredentialSource, static
from trainyard.kube.errors import (
    ApiError,
    Conflict,
    Fenced,
    Forbidden,
    Gone,
    Invalid,
    ServerError,
    Silent,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from trainyard.kube.resources import CONFIG_MAPS, NODES, PODS, TRAINING_JOBS


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "FIRST_BACKOFF", 0.001)


def hang(release: asyncio.Event) -> Answer:
    async def wait(_request: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.json_response({})

    return wait


# what is sent


async def test_paths_and_bodies_of_the_verbs(fake: FakeApi, client: Client) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        fake.script(method, answer({"ok": method}))
    assert await client.get(NODES, "n1") == {"ok": "GET"}
    await client.get(TRAINING_JOBS, "gpt", "research", metadata_only=True)
    await client.create(PODS, pod("p"), dry_run=True)
    await client.update(TRAINING_JOBS, pod("gpt", namespace="research"), subresource="status")
    await client.patch(PODS, "p", {"metadata": {"labels": {"a": "b"}}}, "ns", resource_version="7")
    await client.patch_status(TRAINING_JOBS, "gpt", {"phase": "Running"}, "research", resource_version="8")
    await client.delete(PODS, "p", "ns", uid="u1", grace_period_seconds=10, propagation_policy="Background")

    got = [(seen.method, seen.path) for seen in fake.seen]
    assert got == [
        ("GET", "/api/v1/nodes/n1"),
        ("GET", "/apis/trainyard.dev/v1alpha1/namespaces/research/trainingjobs/gpt"),
        ("POST", "/api/v1/namespaces/ns/pods"),
        ("PUT", "/apis/trainyard.dev/v1alpha1/namespaces/research/trainingjobs/gpt/status"),
        ("PATCH", "/api/v1/namespaces/ns/pods/p"),
        ("PATCH", "/apis/trainyard.dev/v1alpha1/namespaces/research/trainingjobs/gpt/status"),
        ("DELETE", "/api/v1/namespaces/ns/pods/p"),
    ]
    _, partial, create, _, patch, patch_status, delete = fake.seen
    assert partial.headers["Accept"] == "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    assert create.query == {"fieldManager": "trainyard", "dryRun": "All"}
    assert patch.headers["Content-Type"] == "application/merge-patch+json"
    assert patch.body == {"metadata": {"labels": {"a": "b"}, "resourceVersion": "7"}}
    assert patch_status.body == {"status": {"phase": "Running"}, "metadata": {"resourceVersion": "8"}}
    assert delete.body == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": "u1"},
        "gracePeriodSeconds": 10,
        "propagationPolicy": "Background",
    }


async def test_a_namespaced_object_needs_its_namespace(client: Client) -> None:
    with pytest.raises(ValueError, match="namespace"):
        await client.get(PODS, "p")
    with pytest.raises(ValueError, match="namespace"):
        await client.create(PODS, {"metadata": {"name": "p"}})


async def test_lists_come_page_by_page(fake: FakeApi, client: Client) -> None:
    fake.script("GET", listing(pod("a"), pod("b"), version=5, following="tok/+="), listing(pod("c"), version=5))
    pages = [
        page async for page in client.list_pages(PODS, labels="a=b,c in (d)", fields="spec.nodeName=n", page_size=2)
    ]
    assert [[item["metadata"]["name"] for item in page.items] for page in pages] == [["a", "b"], ["c"]]
    assert pages[-1].resource_version == "5"
    first, second = fake.seen
    assert first.query == {"labelSelector": "a=b,c in (d)", "fieldSelector": "spec.nodeName=n", "limit": "2"}
    assert second.query["continue"] == "tok/+="


async def test_a_whole_list_starts_again_in_one_piece_when_its_token_expires(fake: FakeApi, client: Client) -> None:
    fake.script("GET", listing(pod("a"), following="t"), refuse(410, "Expired"), listing(pod("a"), pod("b"), version=9))
    page = await client.list(PODS, "ns")
    assert (len(page.items), page.resource_version) == (2, "9")
    assert "limit" not in fake.seen[-1].query


async def test_a_version_is_sent_with_the_first_page_only(fake: FakeApi, client: Client) -> None:
    fake.script("GET", listing(pod("a"), following="t"), listing())
    async for _ in client.list_pages(PODS, resource_version="0"):
        pass
    assert [seen.query.get("resourceVersion") for seen in fake.seen] == ["0", None]


async def test_connections_are_used_again(fake: FakeApi, client: Client) -> None:
    ports: set[Any] = set()

    async def note(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername")[1])
        return web.json_response({})

    fake.script("GET", note)
    for _ in range(5):
        await client.get(NODES, "n")
    assert len(ports) == 1


async def test_no_more_than_the_limit_are_in_flight(fake: FakeApi) -> None:
    flying = most = 0

    async def count(_request: web.Request) -> web.StreamResponse:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        await asyncio.sleep(0.005)
        flying -= 1
        return web.json_response({})

    fake.script("GET", count)
    async with fake.client(limit=3) as client:
        await asyncio.gather(*(client.get(NODES, f"n{i}") for i in range(12)))
    assert most == 3


# what is repeated, and what is not


async def test_reads_are_repeated_after_outages(fake: FakeApi, client: Client) -> None:
    fake.script("GET", refuse(500), cut(), refuse(503, Retry_After="0"), answer({"ok": 1}))
    assert await client.get(NODES, "n") == {"ok": 1}


async def test_reads_give_up_at_last(fake: FakeApi, client: Client) -> None:
    fake.script("GET", refuse(500, "InternalError", "etcd is sad"))
    with pytest.raises(ServerError, match="etcd is sad"):
        await client.get(NODES, "n")
    assert len(fake.seen) == transport.READ_ATTEMPTS


async def test_a_read_that_is_refused_is_not_repeated(fake: FakeApi, client: Client) -> None:
    fake.script("GET", refuse(403, "Forbidden", "no"))
    with pytest.raises(Forbidden):
        await client.get(NODES, "n")
    assert len(fake.seen) == 1


@pytest.mark.parametrize("fault", [cut(), refuse(500), refuse(504, "Timeout")])
async def test_a_write_is_sent_once(fake: FakeApi, client: Client, fault: Answer) -> None:
    fake.script("POST", fault)
    with pytest.raises((Unreachable, ServerError)) as caught:
        await client.create(PODS, pod("p"))
    assert len(fake.seen) == 1
    assert not isinstance(caught.value, Unreachable) or caught.value.ambiguous


async def test_a_lost_delete_on_a_used_connection_is_not_repeated(fake: FakeApi, client: Client) -> None:
    fake.script("GET", answer({}))
    fake.script("DELETE", cut())
    await client.get(NODES, "n")
    with pytest.raises(Unreachable) as caught:
        await client.delete(NODES, "n", uid="u")
    assert caught.value.ambiguous
    assert len(fake.requests("DELETE")) == 1


async def test_a_write_that_was_not_executed_is_repeated_when_the_server_says(fake: FakeApi, client: Client) -> None:
    fake.script("POST", refuse(429, "TooManyRequests", Retry_After="1"), answer({"ok": 1}))
    started = asyncio.get_running_loop().time()
    assert await client.create(PODS, pod("p")) == {"ok": 1}
    assert 1.0 <= asyncio.get_running_loop().time() - started < 2.5


async def test_throttling_ends_somewhere(fake: FakeApi, client: Client) -> None:
    fake.script("POST", refuse(429))
    with pytest.raises(TooManyRequests):
        await client.create(PODS, pod("p"))
    assert len(fake.seen) == transport.THROTTLED_ATTEMPTS


async def test_a_long_retry_after_is_left_to_the_caller(fake: FakeApi, client: Client) -> None:
    fake.script("GET", refuse(429, Retry_After="3600"))
    with pytest.raises(TooManyRequests) as caught:
        await client.get(NODES, "n")
    assert caught.value.retry_after == 3600.0


async def test_a_lost_answer_is_ambiguous_and_a_refused_connection_is_not(fake: FakeApi) -> None:
    release = asyncio.Event()
    fake.script("POST", hang(release))
    async with fake.client() as client:
        with pytest.raises(Unreachable) as caught:
            await client.create(PODS, pod("p"), within=0.05)
        release.set()
    assert caught.value.ambiguous
    async with Client(static(Credentials("http://127.0.0.1:1"))) as client:
        with pytest.raises(Unreachable) as caught:
            await client.create(PODS, pod("p"))
    assert not caught.value.ambiguous


async def test_redirects_are_not_followed_with_our_credentials(fake: FakeApi, client: Client) -> None:
    fake.script("GET", answer({}, 302, Location="http://127.0.0.1:1/"))
    with pytest.raises(ApiError) as caught:
        await client.get(NODES, "n")
    assert caught.value.status == 302


# credentials, fence, clock, observer


def tokens(server: str, *values: str) -> CredentialSource:
    left = iter(values)

    async def load(_forced: bool) -> Credentials:
        return Credentials(server, headers={"Authorization": f"Bearer {next(left)}"})

    return CredentialSource(load)


async def test_an_expired_token_is_loaded_again_once(fake: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainyard.kube.credentials.RELOAD_NOT_BEFORE", 0.0)

    async def judge(request: web.Request) -> web.StreamResponse:
        good = request.headers["Authorization"] == "Bearer new"
        return web.json_response({"ok": 1} if good else status(401, "Unauthorized"), status=200 if good else 401)

    fake.script("POST", judge)
    async with Client(tokens(fake.url, "old", "new")) as client:
        assert await client.create(PODS, pod("p")) == {"ok": 1}
    async with Client(tokens(fake.url, "old", "older", "oldest")) as client:
        with pytest.raises(Unauthorized):
            await client.create(PODS, pod("p"))
    assert len(fake.seen) == 4


async def test_the_fence_is_asked_before_every_attempt_of_a_write(fake: FakeApi, client: Client) -> None:
    answers: list[float | Exception] = [5.0, 4.9, Fenced("too old")]

    def fence() -> float:
        given = answers.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    fake.script("POST", refuse(429, Retry_After="0"), answer({}))
    fake.script("GET", answer({}))
    fenced = client.fenced(fence)
    with pytest.raises(Fenced):
        await fenced.create(PODS, pod("p"))
    assert len(fake.requests("POST")) == 1
    assert fake.requests("POST")[0].query["timeout"] == "5000ms"
    await fenced.get(NODES, "n")  # reads need no leave
    assert not answers


@pytest.mark.parametrize("used", [False, True], ids=["new connection", "used connection"])
async def test_a_fence_that_closes_while_a_write_is_made_ready_keeps_its_bytes_here(
    fake: FakeApi, client: Client, used: bool
) -> None:
    """A leader may be paused while a connection is being made, or before the loop comes to the write."""
    fake.script("GET", answer({}))
    fake.script("POST", answer({}), answer({}))
    if used:
        await client.get(NODES, "n")
    asked: list[float] = []

    def fence() -> float:
        if asked:
            raise Fenced("too old")
        asked.append(5.0)
        return 5.0

    with pytest.raises(Fenced, match="too old"):
        await client.fenced(fence).create(PODS, pod("p"))
    assert fake.requests("POST") == []
    await client.fenced(lambda: 5.0).create(PODS, pod("q"))
    (made,) = fake.requests("POST")
    assert made.body["metadata"]["name"] == "q" and "Transfer-Encoding" not in made.headers


async def test_the_fence_bounds_a_write_here_and_on_the_server(fake: FakeApi, client: Client) -> None:
    release = asyncio.Event()
    fake.script("DELETE", hang(release))
    with pytest.raises(Unreachable, match="nothing came") as caught:
        await client.fenced(lambda: 0.05).delete(NODES, "n", uid="u")
    release.set()
    assert caught.value.ambiguous
    assert fake.seen[0].query["timeout"] == "50ms"


async def test_server_time_is_learnt_from_answers(fake: FakeApi, client: Client) -> None:
    fake.script("GET", answer({}, Date="Wed, 25 Nov 2026 10:00:00 GMT"))
    assert not client.clock.ready
    await client.get(NODES, "n")
    assert client.clock.now() == pytest.approx(1795600800.5, abs=0.6)


async def test_the_observer_hears_of_everything(fake: FakeApi) -> None:
    heard: list[tuple[str, str, str]] = []

    class Ear:
        def request(self, verb: str, resource: str, code: str, seconds: float) -> None:
            assert seconds >= 0
            heard.append((verb, resource, code))

        def told_to_wait(self, seconds: float) -> None:
            pauses.append(seconds)

    pauses: list[float] = []
    fake.script("GET", refuse(500), refuse(429, Retry_After="1"), answer({}))
    fake.script("PATCH", refuse(409, "Conflict"))
    fake.script("POST", cut(), refuse(422, "Invalid"))
    async with fake.client(observer=Ear()) as client:
        await client.get(NODES, "n")
        with pytest.raises(Conflict):
            await client.patch_status(TRAINING_JOBS, "gpt", {}, "ns", resource_version="1")
        with pytest.raises(Unreachable):
            await client.create(CONFIG_MAPS, pod("c"))
        with pytest.raises(Invalid):
            await client.create(PODS, pod("c"), dry_run=True)
    assert heard == [
        ("get", "nodes", "500"),
        ("get", "nodes", "429"),
        ("get", "nodes", "200"),
        ("patch", "trainingjobs.trainyard.dev/status", "409"),
        ("create", "configmaps", "Unreachable"),
        ("dry-run", "pods", "422"),
    ]
    assert pauses == [1.0]


async def test_requests_under_way_and_waiting_for_their_turn_are_counted(fake: FakeApi) -> None:
    release = asyncio.Event()
    fake.script("GET", hang(release))
    async with fake.client(limit=2) as client:
        asked = [asyncio.create_task(client.get(NODES, "n")) for _ in range(5)]
        await eventually(lambda: client.in_flight == (2, 3))
        for task in asked[:1]:
            task.cancel()
        await eventually(lambda: client.in_flight == (2, 2))
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        assert client.in_flight == (0, 0)
        release.set()


# watching


async def test_a_watch_tells_events_until_it_ends(fake: FakeApi, client: Client) -> None:
    fake.script("WATCH", events(("ADDED", pod("a", 11)), ("BOOKMARK", pod("", 12))))
    opened: list[bool] = []
    got = [
        (event.type, event.object["metadata"]["resourceVersion"])
        async for event in client.watch(PODS, "ns", resource_version="10", on_open=lambda: opened.append(True))
    ]
    assert got == [("ADDED", "11"), ("BOOKMARK", "12")]
    assert opened == [True]
    query = fake.seen[0].query
    assert (query["resourceVersion"], query["allowWatchBookmarks"], query["timeoutSeconds"]) == ("10", "true", "420")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (refuse(410, "Expired"), Gone),
        (events(("ERROR", status(410, "Expired", "too old"))), Gone),
        (events(("ERROR", status(500, "InternalError"))), ServerError),
        (events(("ADDED", pod("a")), then="cut"), Unreachable),
        (refuse(403, "Forbidden"), Forbidden),
    ],
)
async def test_a_watch_that_fails_says_how(fake: FakeApi, client: Client, fault: Answer, kind: type[Exception]) -> None:
    fake.script("WATCH", fault)
    with pytest.raises(kind) as caught:
        async for _ in client.watch(PODS, resource_version="1"):
            pass
    assert type(caught.value) is kind


async def test_a_silent_watch_ends(fake: FakeApi, client: Client) -> None:
    release = asyncio.Event()
    fake.script("WATCH", events(("ADDED", pod("a")), wait=release))
    got = []
    with pytest.raises(Silent):
        async for event in client.watch(PODS, resource_version="1", silence=1.0):
            got.append(event)
    release.set()
    assert len(got) == 1


async def test_a_line_longer_than_any_buffer_is_read_whole(fake: FakeApi, client: Client) -> None:
    big = pod("big", annotations={"a": "x" * 700_000})
    fake.script("WATCH", events(("ADDED", big), ("DELETED", pod("small"))))
    got = [event.object async for event in client.watch(PODS, resource_version="1")]
    assert got == [big, pod("small")]


async def test_a_watch_can_be_left(fake: FakeApi, client: Client) -> None:
    release = asyncio.Event()
    fake.script("WATCH", events(("ADDED", pod("a")), wait=release))
    async with aclosing(client.watch(PODS, resource_version="1")) as watch:
        assert (await anext(watch)).type == "ADDED"
    release.set()


@given(
    lines=st.lists(st.binary(min_size=1, max_size=40).filter(lambda line: b"\n" not in line), max_size=20),
    tail=st.binary(max_size=10).filter(lambda line: b"\n" not in line),
    cuts=st.lists(st.integers(0, 900), max_size=30),
)
def test_lines_survive_any_cutting(lines: list[bytes], tail: bytes, cuts: list[int]) -> None:
    stream = b"".join(line + b"\n" for line in lines) + tail
    edges = sorted({0, len(stream), *(min(at, len(stream)) for at in cuts)})

    async def chunks() -> AsyncIterator[bytes]:
        for start, end in pairwise(edges):
            yield stream[start:end]

    async def collect() -> list[bytes]:
        return [line async for lines in split_lines(chunks()) for line in lines]

    assert asyncio.run(collect()) == lines
