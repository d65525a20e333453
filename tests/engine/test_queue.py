"""Is every key worked on once at a time, soon enough, and never in a hot loop?"""

from __future__ import annotations

import asyncio

from engine.fakes import NOW, Clock
from trainyard.engine.queue import Target, Work, WorkQueue, work
from trainyard.model.views import Key

A, B, C, D = (Target(Key("n", name)) for name in "abcd")


def test_a_key_added_twice_is_taken_once() -> None:
    queue = WorkQueue(Clock())
    queue.add(A)
    queue.add(A)
    assert queue.take() == A
    assert queue.take() is None


def test_the_sooner_of_two_times_counts() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add(A, 10)
    queue.add(A, 1)
    queue.add(A, 5)
    assert queue.take() is None
    assert queue.next_in() == 1
    clock.at += 1
    assert queue.take() == A
    queue.done(A)
    clock.at += 20
    assert queue.take() is None


def test_the_key_that_waited_longest_comes_first() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add(B, 1)
    queue.add(A, 2)
    clock.at += 3
    assert queue.oldest_ready() == 2
    assert [queue.take(), queue.take()] == [B, A]


def test_a_key_that_waits_for_its_time_is_not_late() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add(A, 30)
    assert queue.oldest_ready() == 0
    clock.at += 31
    assert queue.oldest_ready() == 1


def test_a_key_in_work_is_not_taken_again_until_it_is_done() -> None:
    queue = WorkQueue(Clock())
    queue.add(A)
    queue.take()
    queue.add(A)
    assert queue.take() is None
    assert queue.depth() == (1, 0, 1)
    queue.done(A)
    assert queue.take() == A


def test_a_failing_key_waits_ever_longer_whatever_comes_in() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add(A)
    pauses = []
    for _ in range(9):
        assert queue.take() == A
        pauses.append(queue.failed(A))
        queue.add(A)
        assert queue.take() is None
        clock.at += pauses[-1]
    assert pauses[-1] >= 30
    assert pauses[0] <= 0.5
    assert queue.take() == A
    queue.done(A)
    queue.add(A)
    assert queue.take() == A, "once it went well there is no pause"


def test_the_servers_own_word_on_when_to_come_back_is_kept() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add(A)
    queue.take()
    assert queue.failed(A, at_least=42) == 42
    clock.at += 41
    assert queue.take() is None


def test_a_blocked_key_goes_on_as_soon_as_something_changes() -> None:
    queue = WorkQueue(Clock())
    queue.add(A)
    queue.take()
    queue.blocked(A)
    assert queue.take() is None
    queue.add(A)
    assert queue.take() == A


def test_progress_keeps_a_long_job_from_looking_stuck() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add(A)
    queue.take()
    clock.at += 100
    assert queue.longest_active() == 100
    queue.touch(A)
    assert queue.longest_active() == 0
    queue.touch(B)
    assert queue.depth() == (0, 0, 1)


def test_far_times_that_were_overtaken_do_not_pile_up() -> None:
    """A job with a deadline in days, at every one of its passes: each names that time anew, a little otherwise."""
    clock = Clock()
    queue = WorkQueue(clock)
    others = [Target(Key("n", str(number))) for number in range(10)]
    for number, other in enumerate(others):
        queue.add(other, 100_000 - number)
    for number in range(20_000):
        queue.add(A)
        assert queue.take() == A
        queue.add(A, 1e6 + number * 1e-5)
        queue.done(A)
    assert len(queue._heap) < 2_000
    assert queue.depth() == (0, 11, 0)
    assert queue.next_in() == 100_000 - 9
    clock.at += 100_000
    assert [queue.take() for _ in others] == others[::-1]
    assert queue.take() is None
    clock.at += 1e6
    assert queue.take() == A
    assert queue.take() is None


def test_no_time_is_lost_nor_doubled_when_the_overtaken_ones_are_dropped() -> None:
    """B is in work all the while, C has failed, and D is due at one and the same time again and again."""
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add(B)
    assert queue.take() == B
    queue.add(B, 30)
    queue.add(C)
    assert queue.take() == C
    assert queue.failed(C, at_least=20) == 20
    for number in range(20_000):
        queue.add(A, 1e6 - number)
        queue.add(D)
        assert queue.take() == D
        queue.add(D, 10)
        queue.done(D)
    assert len(queue._heap) < 2_000
    assert queue.depth() == (0, 4, 1)
    for at, target in ((10.0, D), (20.0, C)):
        assert queue.next_in() == at - (clock.at - NOW)
        clock.at = NOW + at
        assert queue.take() == target
        queue.done(target)
    clock.at = NOW + 30
    assert queue.take() is None, "it is in work"
    queue.done(B)
    assert [queue.take(), queue.take()] == [B, None]
    clock.at = NOW + 1e6 - 19_999
    assert [queue.take(), queue.take()] == [A, None]


def test_clear_forgets_what_waits() -> None:
    queue = WorkQueue(Clock())
    queue.add(A)
    queue.clear()
    assert queue.take() is None
    assert queue.next_in() is None


async def test_workers_are_bounded_and_one_stuck_key_holds_up_no_other() -> None:
    queue = WorkQueue()
    release, seen, running, most = asyncio.Event(), asyncio.Queue[str](), 0, 0

    async def do(target: Target) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if target.key.name == "0":
            await release.wait()
        else:
            await asyncio.sleep(0)
        running -= 1
        seen.put_nowait(target.key.name)
        queue.done(target)

    workers = asyncio.create_task(work(queue, do, 2))
    for number in range(6):
        queue.add(Target(Key("n", str(number))))
    async with asyncio.timeout(5):
        others = {await seen.get() for _ in range(5)}
        release.set()
        last = await seen.get()
    assert most == 2
    assert (others, last) == ({"1", "2", "3", "4", "5"}, "0")
    workers.cancel()
    await asyncio.gather(workers, return_exceptions=True)


async def test_nothing_outlives_the_workers() -> None:
    queue = WorkQueue()
    begun, ended = asyncio.Event(), asyncio.Event()

    async def do(target: Target) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    workers = asyncio.create_task(work(queue, do, 2))
    queue.add(A)
    async with asyncio.timeout(5):
        await begun.wait()
    workers.cancel()
    await asyncio.gather(workers, return_exceptions=True)
    assert ended.is_set()


async def test_a_key_whose_worker_was_cancelled_is_free_for_the_next_workers() -> None:
    queue = WorkQueue()
    begun, done = asyncio.Event(), asyncio.Event()

    async def hang(target: Target) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def finish(target: Target) -> None:
        queue.done(target)
        done.set()

    async def run(do: Work, until: asyncio.Event) -> None:
        workers = asyncio.create_task(work(queue, do, 2))
        queue.add(A)
        async with asyncio.timeout(5):
            await until.wait()
        workers.cancel()
        await asyncio.gather(workers, return_exceptions=True)
        queue.clear()

    await run(hang, begun)
    assert queue.longest_active() == 0.0
    await run(finish, done)
