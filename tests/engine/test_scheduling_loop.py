"""Are grants kept only for jobs that still want them, served once, and lapsed in time?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from engine.fakes import KEY, NOW, Bench
from trainyard.api.reasons import Reason
from trainyard.engine.queue import Target
from trainyard.engine.scheduling_loop import SchedulingLoop
from trainyard.engine.snapshots import cluster_snapshot
from trainyard.model.cluster import (
    ClusterSnapshot,
    Decision,
    GangRequest,
    Grant,
    Refusal,
    RoleRequest,
    SchedulingPolicy,
)
from trainyard.model.views import Instant, Key

ROLE = RoleRequest("worker", 2, 0, (("cpu", 1),), host_ports=(29500,), coordinator_ports=(29501,))
REQUEST = GangRequest(KEY, "job-1", 0, "hash", NOW, (ROLE,))
GRANT = Grant(KEY, "job-1", 0, "hash", ("n1", "n2"), NOW)


class Round:
    """A scheduler that answers as the test says, and what it was asked."""

    def __init__(self, bench: Bench, decision: Decision) -> None:
        self.bench = bench
        self.decision = decision
        self.before: Callable[[], object] = lambda: None
        self.asked: list[tuple[GangRequest, ...]] = []
        self.marked: list[Target] = []
        self.loop = SchedulingLoop(bench.hands, self._schedule, self.marked.append)

    def _schedule(
        self, cluster: ClusterSnapshot, requests: Sequence[GangRequest], policy: SchedulingPolicy, now: Instant
    ) -> Decision:
        self.asked.append(tuple(requests))
        self.before()
        return self.decision

    async def run(self) -> None:
        await self.loop._round()


async def test_a_grant_is_reserved_and_its_job_is_not_asked_for_again(bench: Bench) -> None:
    bench.store.memory.ask("job-1", REQUEST)
    round_ = Round(bench, Decision((GRANT,)))
    await round_.run()
    assert bench.begin().snapshot.grant == GRANT
    assert [(r.node, r.host_ports) for r in cluster_snapshot(bench.store).reservations] == [
        ("n1", (29500, 29501)),
        ("n2", (29500,)),
    ]
    assert round_.marked == [Target(KEY)]
    await round_.run()
    assert round_.asked == [(REQUEST,)]


async def test_a_grant_lapses(bench: Bench) -> None:
    bench.store.memory.ask("job-1", REQUEST)
    round_ = Round(bench, Decision((GRANT,)))
    await round_.run()
    assert bench.store.memory.next_lapse() == 30
    bench.api.clock.at += 31
    assert bench.begin().snapshot.grant is None
    round_.decision = Decision()
    await round_.run()
    assert cluster_snapshot(bench.store).reservations == ()
    assert round_.marked == [Target(KEY), Target(KEY)]


async def test_a_job_that_changed_its_mind_meanwhile_gets_no_grant(bench: Bench) -> None:
    bench.store.memory.ask("job-1", REQUEST)
    round_ = Round(bench, Decision((GRANT,)))
    changed = replace(REQUEST, attempt=1)
    round_.before = lambda: bench.store.memory.ask("job-1", changed)
    await round_.run()
    assert bench.begin().snapshot.grant is None


async def test_a_request_whose_record_is_written_is_served(bench: Bench) -> None:
    bench.store.memory.ask("job-1", REQUEST)
    bench.open(nodes=("n1", "n1", "n2", "n2"))
    round_ = Round(bench, Decision())
    await round_.run()
    assert round_.asked == []


async def test_the_record_takes_the_grants_place(bench: Bench) -> None:
    bench.store.memory.ask("job-1", REQUEST)
    await Round(bench, Decision((GRANT,))).run()
    bench.open(nodes=("n1", "n1", "n2", "n2"))
    assert len(cluster_snapshot(bench.store).reservations) == 4


async def test_jobs_that_only_wait_for_their_time_are_judged_once(bench: Bench) -> None:
    early = replace(REQUEST, not_before=NOW + 60)
    bench.store.memory.ask("job-1", early)
    refusal = Refusal(KEY, "job-1", Reason.BACKOFF, "later", until=NOW + 60)
    round_ = Round(bench, Decision(refusals=(refusal,)))
    for _ in range(3):
        await round_.run()
    assert round_.asked == [(early,)]
    bench.api.clock.at += 60
    await round_.run()
    assert len(round_.asked) == 2, "its time has come"


@pytest.mark.parametrize("what", ["another job asks", "it asks anew", "it waits for more than its time"])
async def test_jobs_that_wait_for_their_time_are_judged_again_where_that_may_matter(bench: Bench, what: str) -> None:
    early = replace(REQUEST, not_before=NOW + 60)
    bench.store.memory.ask("job-1", early)
    reason = Reason.QUOTA_EXCEEDED if what == "it waits for more than its time" else Reason.BACKOFF
    round_ = Round(bench, Decision(refusals=(Refusal(KEY, "job-1", reason, "later", until=NOW + 60),)))
    await round_.run()
    if what == "another job asks":
        bench.store.memory.ask("job-2", replace(early, uid="job-2"))
    if what == "it asks anew":
        bench.store.memory.ask("job-1", None)
        bench.store.memory.ask("job-1", replace(early))
    await round_.run()
    assert len(round_.asked) == 2


async def test_why_a_job_waits_is_told_again_only_if_it_says_something_new(bench: Bench) -> None:
    bench.store.memory.ask("job-1", REQUEST)
    refusal = Refusal(KEY, "job-1", Reason.INSUFFICIENT_CAPACITY, "room for 3 of 4", until=NOW + 60)
    round_ = Round(bench, Decision(refusals=(refusal,)))
    await round_.run()
    await round_.run()
    assert round_.marked == [Target(KEY)]
    round_.decision = Decision(refusals=(replace(refusal, message="room for 2 of 4"),))
    await round_.run()
    assert round_.marked == [Target(KEY)], "numbers that move are not worth a write each"
    bench.api.clock.at += 31
    await round_.run()
    assert round_.marked == [Target(KEY)] * 2
    round_.decision = Decision(refusals=(replace(refusal, reason=Reason.QUOTA_EXCEEDED),))
    await round_.run()
    assert round_.marked == [Target(KEY)] * 3


async def test_a_request_that_breaks_the_scheduler_harms_only_its_job(bench: Bench) -> None:
    poison = replace(REQUEST, key=Key("default", "poison"), uid="job-2")
    bench.store.memory.ask("job-2", poison)
    bench.store.memory.ask("job-1", REQUEST)
    round_ = Round(bench, Decision((GRANT,)))

    def breaks() -> None:
        if any(request.uid == "job-2" for request in round_.asked[-1]):
            raise ZeroDivisionError

    round_.before = breaks
    await round_.run()
    assert bench.begin().snapshot.grant == GRANT
    assert round_.asked == [(REQUEST, poison), (REQUEST,), (poison,), (REQUEST,)]
    assert round_.loop._round_at is not None, "it is tried again, though nothing changes"
    round_.asked.clear()
    bench.store.memory.ask("job-2", replace(poison, attempt=1))
    round_.before = lambda: None
    await round_.run()
    assert round_.asked == [(replace(poison, attempt=1),)], "a changed request is judged at once"


@pytest.mark.parametrize(
    ("took", "pause"), [(0.0, 0.03), (0.2, 0.4), (5.0, 10.0), (3600.0, 10.0)], ids=["short", "dear", "long", "stopped"]
)
async def test_a_dear_round_is_followed_by_a_pause_of_twice_its_length(bench: Bench, took: float, pause: float) -> None:
    loop = Round(bench, Decision()).loop
    loop._took = took
    assert loop.pause == pause
