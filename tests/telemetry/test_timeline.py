"""Is each step of a start and of a recovery told once, with its length, and never from a beginning nobody saw?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders.job import NOW, make_job
from trainyard.api.reasons import Cause, ConditionType, Phase, Reason
from trainyard.model.status import AttemptRecordRef, Condition
from trainyard.telemetry.timeline import Sight, Timelines, Told


class Spans:
    """What was told, and a job that can be looked at."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []
        self.seconds: dict[tuple[str, ...], float] = {}
        self.timelines = Timelines(
            Told(
                start_step=lambda step, s: self._hear(s, "start", step),
                start=lambda start, s: self._hear(s, "started", start),
                recovery_step=lambda step, s: self._hear(s, "recovery", step),
                recovery=lambda cause, s: self._hear(s, "recovered", cause),
                waited=lambda start, outcome, s: self._hear(s, "waited", start, outcome),
            )
        )
        self.job = make_job().workers(4, gpus=8)
        self.now = NOW

    def _hear(self, seconds: float, *what: str) -> None:
        self.told.append(what)
        self.seconds[what] = seconds

    def after(self, seconds: float) -> Spans:
        self.now += seconds
        return self

    def look(self, live: int = 0, unbound: int = 0, unready: int = 0) -> Spans:
        self.timelines.saw(Sight(self.job.view, self.now, live, unbound, unready))
        return self

    def grant(self) -> Spans:
        self.timelines.granted(self.job.uid, self.job.status.attempt, self.now)
        return self

    def open(self) -> Spans:
        status, number = self.job.status, self.job.status.attempt
        self.job.status = replace(
            status, phase=Phase.STARTING, attempt_record=AttemptRecordRef("r", "u", number), started_at=self.now
        )
        return self.look()

    def created(self) -> Spans:
        self.job.status = replace(self.job.status, gang_created=True)
        return self.look(4, 4, 4)

    def running(self, unready: int = 0) -> Spans:
        self.job.status = replace(self.job.status, phase=Phase.RUNNING)
        return self.look(4, 0, unready)

    def close(self, cause: Cause = Cause.DISRUPTION) -> Spans:
        self.job.at(self.now).closed(cause, Reason.EVICTED)
        return self.look(4, 0, 0)

    def start_up(self) -> Spans:
        """From an instant after the grant to Running, in steps of 1, 2, 3, 4 and 5 s."""
        self.after(1).open().after(2).created().after(3).look(4, 0, 4).after(4).running(unready=4)
        return self.after(5).look(4, 0, 0)


@pytest.fixture
def spans() -> Spans:
    return Spans()


START = {"record": 1, "create": 2, "bind": 3, "start": 4, "ready": 5}


def steps(spans: Spans, kind: str) -> dict[str, float]:
    return {what[1]: seconds for what, seconds in spans.seconds.items() if what[0] == kind}


def test_a_first_start_is_told_step_by_step(spans: Spans) -> None:
    spans.look().after(20).grant().start_up()
    assert steps(spans, "start") == START
    assert spans.seconds["started", "first"] == 10
    assert spans.seconds["waited", "first", "opened"] == 60 + 20 + 1
    assert steps(spans, "recovery") == {}
    assert len(spans.told) == len(set(spans.told)), "nothing twice"


def test_a_recovery_is_told_step_by_step(spans: Spans) -> None:
    spans.look().grant().start_up()
    spans.told.clear()
    spans.seconds.clear()
    spans.after(100).close().after(6).look(2).after(1).look(0).after(8).grant().start_up()
    assert steps(spans, "recovery") == {"delete": 7, "place": 8, "create": 3, "bind": 3, "start": 4}
    assert spans.seconds["recovered", "Disruption"] == 25
    assert spans.seconds["started", "restart"] == 10
    assert spans.seconds["waited", "restart", "opened"] == 16
    assert len(spans.told) == len(set(spans.told)), "nothing twice"


def test_a_recovery_goes_on_through_a_start_that_came_to_nothing(spans: Spans) -> None:
    spans.look().grant().start_up().after(100).close()
    spans.after(5).look(0).grant().open().after(60).close(Cause.START_ROLLED_BACK)
    spans.after(5).look(0).grant().start_up()
    assert spans.seconds["recovered", "Disruption"] == 5 + 60 + 5 + 10
    assert ("recovered", "StartRolledBack") not in spans.told


def test_a_change_of_the_spec_is_no_recovery(spans: Spans) -> None:
    spans.look().grant().start_up().close(Cause.SPEC_CHANGED).look(0).grant().start_up()
    assert steps(spans, "recovery") == {}
    assert ("started", "restart") in spans.told


def test_after_a_suspension_the_start_is_a_first_one(spans: Spans) -> None:
    spans.look().grant().start_up().close(Cause.SUSPENDED).look(0).grant().start_up()
    assert spans.told.count(("started", "first")) == 2


def test_pods_that_count_as_dead_end_the_deletion_when_the_job_waits_for_something_else(spans: Spans) -> None:
    def placed(reason: Reason) -> None:
        condition = Condition(ConditionType.PLACED, False, reason, since=spans.now)
        spans.job.status = replace(spans.job.status, conditions=(condition,))

    spans.look().grant().start_up().close()
    placed(Reason.EARLIER_ATTEMPT_ENDING)
    spans.after(40).look(1)
    placed(Reason.INSUFFICIENT_CAPACITY)
    spans.after(5).look(1).after(10).grant()
    assert steps(spans, "recovery") == {"delete": 45, "place": 10}


def test_a_grant_ends_the_deletion_at_the_latest(spans: Spans) -> None:
    spans.look().grant().start_up().close().after(9).grant()
    assert steps(spans, "recovery") == {"delete": 9, "place": 0}


def test_the_grant_that_was_used_counts(spans: Spans) -> None:
    spans.look().grant().after(30).grant().after(2).open()
    assert steps(spans, "start") == {"record": 2}


def test_a_new_leader_tells_only_what_it_has_seen_begin(spans: Spans) -> None:
    spans.open().created()
    spans.told.clear()
    spans.timelines.clear()
    spans.after(10).look(4, 4, 4).after(3).look(4, 0, 4).after(4).running()
    assert steps(spans, "start") == {"start": 4, "ready": 0}
    assert ("started", "first") not in spans.told
    assert not any(what[0] == "waited" for what in spans.told)


def test_a_new_leader_knows_when_the_close_was(spans: Spans) -> None:
    spans.open().created().running().after(50).close()
    spans.timelines.clear()
    spans.told.clear()
    spans.seconds.clear()
    spans.after(30).look(0).after(5).grant().start_up()
    assert spans.seconds["recovered", "Disruption"] == 45
    assert spans.seconds["waited", "restart", "opened"] == 36
    assert steps(spans, "recovery") == {"create": 3, "bind": 3, "start": 4}, "when the pods were gone nobody saw"


def test_who_gives_up_waiting_is_told_of_once(spans: Spans) -> None:
    spans.look().after(30)
    spans.job.suspended()
    spans.look().look()
    assert spans.told == [("waited", "first", "withdrawn")]
    assert spans.seconds["waited", "first", "withdrawn"] == 90


def test_a_job_that_is_gone_has_given_up(spans: Spans) -> None:
    spans.look().timelines.keep([], NOW + 10)
    spans.timelines.keep([], NOW + 20)
    assert spans.told == [("waited", "first", "withdrawn")]


def test_a_job_that_is_there_stays(spans: Spans) -> None:
    spans.look().timelines.keep([spans.job.uid], NOW + 10)
    assert spans.told == []


def test_another_controllers_job_is_left_out(spans: Spans) -> None:
    spans.job.managed_by = "kueue.x-k8s.io/multikueue"
    spans.look().grant().start_up()
    assert spans.told == []


def test_a_grant_for_an_unknown_job_is_no_fault(spans: Spans) -> None:
    spans.grant()
    assert spans.told == []
