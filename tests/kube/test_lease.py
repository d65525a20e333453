"""Is there at most one process that may write, and is there one again soon?"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web

from kube.fake_api import FakeApi, cut, eventually, refuse, status
from trainyard.kube import lease as module
from trainyard.kube.client import Client
from trainyard.kube.clock import steady
from trainyard.kube.errors import Fenced
from trainyard.kube.lease import LeaderElector, LeaseSettings, identity_of_process

FAST = {"duration": 2.0, "renew_deadline": 1.0, "retry_period": 0.05}


class OneLease:
    """The API's behaviour for one Lease: optimistic locking, and nothing else."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.away = False
        self.lose_answers = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.away:
            return await cut()(request)
        response = await self._answer(request)
        return await cut()(request) if self.lose_answers and request.method != "GET" else response

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response(self.lease) if self.lease else _refuse(404, "NotFound")
        body = await request.json()
        if request.method == "POST":
            if self.lease:
                return _refuse(409, "AlreadyExists")
        elif not self.lease:
            return _refuse(404, "NotFound")
        elif body["metadata"].get("resourceVersion") != self.lease["metadata"]["resourceVersion"]:
            return _refuse(409, "Conflict")
        self.write(body)
        return web.json_response(self.lease)

    def write(self, body: dict[str, Any]) -> None:
        self.version += 1
        self.lease = copy.deepcopy(body)
        self.lease["metadata"]["resourceVersion"] = str(self.version)

    @property
    def spec(self) -> dict[str, Any]:
        assert self.lease is not None
        spec: dict[str, Any] = self.lease["spec"]
        return spec


def _refuse(code: int, reason: str) -> web.Response:
    return web.json_response(status(code, reason), status=code)


class Candidate:
    """One elector with its own client and the story of its leadership."""

    def __init__(self, api: FakeApi, name: str, **more: Any) -> None:
        self.client: Client = api.client()
        self.story: list[str] = []
        settings = LeaseSettings(namespace="ns", name="trainyard", identity=name, **{**FAST, **more})
        self.elector = LeaderElector(
            self.client, settings, on_started=self._tell("started"), on_lost=self._tell("lost")
        )
        self.task: asyncio.Task[None] | None = None

    def start(self) -> Candidate:
        self.task = asyncio.create_task(self.elector.run())
        return self

    async def crash(self) -> None:
        """Stop without a word to anybody."""
        if self.task is not None:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task

    @property
    def may_write(self) -> bool:
        with suppress(Fenced):
            return self.elector.fence() > 0
        return False

    def _tell(self, what: str) -> Callable[[], Awaitable[None]]:
        async def tell() -> None:
            self.story.append(what)

        return tell


Hire = Callable[..., Candidate]


@pytest.fixture
async def the(fake: FakeApi) -> OneLease:
    one = OneLease()
    for method in ("GET", "POST", "PUT"):
        fake.script(method, one.answer)
    return one


@pytest.fixture
async def candidate(fake: FakeApi, the: OneLease) -> AsyncIterator[Hire]:
    hired: list[Candidate] = []

    def hire(name: str, **more: Any) -> Candidate:
        hired.append(Candidate(fake, name, **more))
        return hired[-1]

    yield hire
    for one in hired:
        await one.crash()
        await one.client.close()


async def test_the_first_candidate_leads(the: OneLease, candidate: Hire) -> None:
    a = candidate("a")
    with pytest.raises(Fenced, match="not the leader"):
        a.elector.fence()
    assert [a.elector.age] == [None], "it has not looked yet"
    a.start()
    await eventually(lambda: a.story == ["started"])
    assert a.elector.leading
    assert 0.4 < a.elector.fence() <= 1.5
    assert a.elector.age is not None and a.elector.age < 1.0
    assert (the.spec["holderIdentity"], the.spec["leaseDurationSeconds"], the.spec["leaseTransitions"]) == ("a", 2, 1)
    renewed = the.version
    acquired = the.spec["acquireTime"]
    await eventually(lambda: the.version >= renewed + 3)
    assert the.spec["acquireTime"] == acquired
    assert the.spec["renewTime"].endswith("Z")


async def test_a_standby_waits_and_takes_over_from_the_dead(the: OneLease, candidate: Hire) -> None:
    a, b = candidate("a").start(), candidate("b")
    await eventually(lambda: a.elector.leading)
    b.start()
    await eventually(lambda: b.elector.holder == "a")
    assert b.elector.age is not None and b.elector.age < 1.0
    await a.crash()
    last = steady()
    while not b.may_write:
        if a.may_write:
            last = steady()
        await asyncio.sleep(0.02)
    assert not a.may_write
    assert steady() - last > 0.5, "its fence closed by itself, a second before"
    assert the.spec["leaseTransitions"] == 2
    await eventually(lambda: b.story == ["started"])


async def test_released_it_goes_to_the_next_at_once(the: OneLease, candidate: Hire) -> None:
    a, b = candidate("a", duration=30.0, renew_deadline=20.0), candidate("b")
    a.start()
    await eventually(lambda: a.elector.leading)
    b.start()
    await eventually(lambda: b.elector.holder == "a")
    assert b.elector.age is not None and b.elector.age < 1.0
    await a.crash()
    await a.elector.release()
    assert not a.may_write
    assert the.spec["holderIdentity"] == ""
    await eventually(lambda: b.may_write, seconds=2.0)


@pytest.mark.parametrize(("written", "left"), [("a", ""), ("b", "b")])
async def test_only_what_is_still_ours_is_given_back_after_a_write_unheard_of(
    the: OneLease, candidate: Hire, written: str, left: str
) -> None:
    """A renewal of ours that was executed while we were told to stop, or another who took it."""
    a = candidate("a", duration=30.0, renew_deadline=20.0).start()
    await eventually(lambda: a.elector.leading)
    await a.crash()
    assert the.lease is not None
    the.write({**the.lease, "spec": {**the.spec, "holderIdentity": written}})
    await a.elector.release()
    assert the.spec["holderIdentity"] == left


async def test_a_restarted_container_takes_over_from_itself_at_once(the: OneLease, candidate: Hire) -> None:
    a = candidate("pod_uid", duration=30.0, renew_deadline=20.0).start()
    await eventually(lambda: a.elector.leading)
    await a.crash()
    again = candidate("pod_uid", duration=30.0, renew_deadline=20.0).start()
    await eventually(lambda: again.may_write)
    assert the.spec["leaseTransitions"] == 1


async def test_a_leader_that_cannot_renew_is_fenced_then_lost(the: OneLease, candidate: Hire) -> None:
    a = candidate("a").start()
    await eventually(lambda: a.elector.leading)
    the.away = True
    assert a.task is not None
    await asyncio.wait_for(a.task, 5)
    assert a.story == ["started", "lost"]
    with pytest.raises(Fenced):
        a.elector.fence()


async def test_a_leader_rides_out_a_short_outage_and_lost_answers(the: OneLease, candidate: Hire) -> None:
    a = candidate("a", duration=10.0, renew_deadline=5.0).start()
    await eventually(lambda: a.elector.leading)
    the.lose_answers = True
    version = the.version
    await eventually(lambda: the.version > version)
    the.lose_answers = False
    version = the.version
    await eventually(lambda: the.version > version + 2)
    assert a.elector.fence() > 8.0
    assert a.story == ["started"]


async def test_a_leader_that_was_paused_is_fenced_before_it_knows(
    the: OneLease, candidate: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = candidate("a").start()
    await eventually(lambda: a.elector.leading)
    monkeypatch.setattr(module, "steady", lambda: steady() + 1.01)  # it wakes up: no code ran, time did
    with pytest.raises(Fenced, match="last renewed 1"):
        a.elector.fence()


async def test_a_leader_that_sees_another_holder_gives_up_at_once(the: OneLease, candidate: Hire) -> None:
    a = candidate("a", duration=30.0, renew_deadline=20.0).start()
    await eventually(lambda: a.elector.leading)
    the.write({**(the.lease or {}), "spec": {**the.spec, "holderIdentity": "b"}})
    assert a.task is not None
    await asyncio.wait_for(a.task, 2)
    assert a.story == ["started", "lost"]
    assert the.spec["holderIdentity"] == "b"


async def test_only_one_of_many_leads(the: OneLease, candidate: Hire) -> None:
    many = [candidate(f"c{i}").start() for i in range(5)]
    await eventually(lambda: any(one.may_write for one in many))
    await eventually(lambda: the.version > 10)
    assert sum(one.elector.leading for one in many) == 1


async def test_a_lease_deleted_by_hand_is_not_taken_while_its_holder_may_write(the: OneLease, candidate: Hire) -> None:
    a, b = candidate("a", retry_period=0.7).start(), candidate("b")
    await eventually(lambda: a.elector.leading)
    b.start()
    await eventually(lambda: b.elector.holder == "a")
    the.lease = None
    await eventually(lambda: b.may_write)
    assert not a.may_write
    assert a.story == ["started", "lost"]


async def test_clocks_of_others_are_not_compared(the: OneLease, candidate: Hire) -> None:
    """A holder whose clock is an hour behind is alive as long as its Lease changes."""
    spec = {"holderIdentity": "old", "leaseDurationSeconds": 1, "leaseTransitions": 4}
    the.write({"metadata": {"namespace": "ns", "name": "trainyard"}, "spec": spec})
    b = candidate("b").start()
    for second in range(30):
        the.write({**(the.lease or {}), "spec": {**spec, "renewTime": f"2001-01-01T00:00:{second:02}.000000Z"}})
        await asyncio.sleep(0.05)
    assert not b.elector.leading
    await eventually(lambda: b.may_write)
    assert the.spec["leaseTransitions"] == 5


async def test_a_start_that_fails_ends_leadership(fake: FakeApi, the: OneLease) -> None:
    async def fail() -> None:
        raise RuntimeError("no store")

    async def lost() -> None:
        raise AssertionError("not lost but broken")

    async with fake.client() as client:
        settings = LeaseSettings("ns", "trainyard", "a", **FAST)
        elector = LeaderElector(client, settings, on_started=fail, on_lost=lost)
        with pytest.raises(RuntimeError, match="no store"):
            await elector.run()
    assert not elector.leading


async def test_a_forbidden_lease_is_never_held(fake: FakeApi) -> None:
    fake.script("GET", refuse(403, "Forbidden"))
    async with fake.client() as client:
        settings = LeaseSettings("ns", "trainyard", "a", **FAST)
        elector = LeaderElector(client, settings, on_started=_never, on_lost=_never)
        task = asyncio.create_task(elector.run())
        await eventually(lambda: len(fake.seen) >= 3)
        assert not elector.leading
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _never() -> None:
    raise AssertionError("must not be called")


@pytest.mark.parametrize("wrong", [{"duration": 10.0}, {"renew_deadline": 2.0}, {"retry_period": 0.0}])
def test_settings_that_cannot_work_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="retry period < renew deadline < duration"):
        LeaseSettings("ns", "trainyard", "a", **wrong)


def test_identity() -> None:
    assert identity_of_process("op-1", "uid-1") == "op-1_uid-1"
    assert identity_of_process() == identity_of_process("op-1", None)
    assert "_" in identity_of_process()
