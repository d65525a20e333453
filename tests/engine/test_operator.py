"""Does the engine say that it is alive when, and only when, work can get done?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from engine.fakes import KEY, SETTINGS, Clock
from trainyard.engine.operator import Engine, EngineDead
from trainyard.engine.queue import Target, WorkQueue
from trainyard.kube.client import Client
from trainyard.kube.credentials import Credentials, static

NOBODY = "http://127.0.0.1:1"
"""Where no API server listens."""
TARGET = Target(KEY)


@asynccontextmanager
async def made(**settings: Any) -> AsyncIterator[Engine]:
    """An engine that nobody answers."""
    source = static(Credentials(NOBODY))
    async with Client(source) as client, Client(source) as lease_client:
        yield Engine(client, lease_client, replace(SETTINGS, **settings))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def engine(clock: Clock) -> AsyncIterator[Engine]:
    """Its queue goes by the test's clock."""
    async with made(stuck_after=300.0) as engine:
        engine.queue = WorkQueue(clock)
        yield engine


async def test_an_engine_without_a_sound_watch_is_not_ready_and_yet_alive(engine: Engine) -> None:
    """A standby that has just started has none."""
    assert engine.alive() == (True, "")
    good, why = engine.ready()
    assert not good and "pods: not listed yet" in why


async def test_a_job_that_nobody_takes_means_that_the_engine_is_stuck(engine: Engine, clock: Clock) -> None:
    engine.queue.add(TARGET)
    clock.at += 300
    assert engine.alive() == (True, "")
    clock.at += 1
    assert engine.alive() == (False, "a job has been ready for 301 s, or in work for 0 s")
    assert engine.queue.take() == TARGET
    assert engine.alive() == (True, "")


async def test_a_job_that_waits_for_its_time_means_nothing(engine: Engine, clock: Clock) -> None:
    engine.queue.add(TARGET, delay=1000)
    clock.at += 1000
    assert engine.alive() == (True, "")


async def test_a_worker_that_gets_nothing_done_means_that_the_engine_is_stuck(engine: Engine, clock: Clock) -> None:
    engine.queue.add(TARGET)
    engine.queue.take()
    clock.at += 301
    assert engine.alive() == (False, "a job has been ready for 0 s, or in work for 301 s")
    engine.queue.touch(TARGET)
    assert engine.alive() == (True, ""), "it is long, but goes on"
    clock.at += 301
    assert not engine.alive()[0]
    engine.queue.done(TARGET)
    assert engine.alive() == (True, "")


async def test_an_engine_whose_watches_stay_dead_gives_up_and_says_so() -> None:
    async with made(watch_lost_after=0.0, report_interval=0.01) as engine:
        with pytest.raises(EngineDead, match="pods: not listed yet"):
            async with asyncio.timeout(30):
                await engine.run()
        good, why = engine.alive()
        assert not good and "pods: not listed yet" in why
