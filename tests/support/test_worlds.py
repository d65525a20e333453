"""Does a test end, and say what it leaves behind, though the API server of its cluster is dead for good?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from kube.fake_api import Answer, FakeApi, answer, events, listing
from support import world as worlds
from support.ports import free_port
from support.world import MIRRORED, World
from support.yard import Cluster
from trainyard.kube.client import Client
from trainyard.kube.credentials import Credentials, static
from trainyard.kube.resources import PODS

NAMESPACE = "t-1"


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    """Lets a world be opened, and says nothing from then on."""
    made, over = FakeApi(), asyncio.Event()
    made.script("POST", answer({}))
    made.script("GET", *(listing() for _ in MIRRORED), silence(over))
    made.script("WATCH", events(wait=over))
    await made.start()
    yield made
    over.set()
    await made.stop()


def silence(over: asyncio.Event) -> Answer:
    async def give(_request: web.Request) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    return give


@pytest.fixture
async def world(api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(worlds, "CLOSE_SECONDS", 0.3)
    async with api.client() as client:
        made = filled(client, tmp_path)
        await made.open()
        yield made
        await made.close()


def filled(client: Client, folder: Path) -> World:
    """A world with so many objects that nobody would wait for each of them."""
    made = World(Cluster("t", ""), client, NAMESPACE, folder)
    made.nodes += [f"{NAMESPACE}-n{i}" for i in range(200)]
    return made


async def test_a_silent_server_holds_up_the_end_once(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    await world.close()
    assert time.monotonic() - began < 10
    said = capsys.readouterr().out
    assert "t's API server" in said and "not done within" in said
    assert f"nodes/{NAMESPACE}-n0, " in said and f"nodes/{NAMESPACE}-n199, namespaces/{NAMESPACE}" in said


async def test_a_server_that_is_gone_is_not_asked_about_each_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Client(static(Credentials(f"http://127.0.0.1:{free_port()}"))) as client:
        world = filled(client, tmp_path)
        began = time.monotonic()
        await world.close()
        assert time.monotonic() - began < worlds.CLOSE_SECONDS
    said = capsys.readouterr().out
    assert "t's API server" in said and f"nodes/{NAMESPACE}-n0, " in said


async def test_what_the_mirror_lacks_is_not_waited_for_without_end(world: World) -> None:
    with pytest.raises(AssertionError, match="a list of pods from the API server"):
        await world.seen(PODS, seconds=0.3)
