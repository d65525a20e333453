"""What a close costs: when blame is settled, what is charged, when the next attempt may open."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import JobBuilder, make_job
from builders.pods import ending
from planning.support import (
    POLICY,
    at_rest,
    last_episode,
    planned,
    rolled_back,
    running_job,
    status_of,
    steps_of,
    written,
)
from trainyard.api.reasons import Cause, Phase, Reason
from trainyard.model.cluster import NOTHING_AVOIDED
from trainyard.model.plan import CreatePods, CreateRecord, CreateRefusal, WriteStatus
from trainyard.model.record import Record
from trainyard.model.status import Restarts, Streaks

SETTLE = POLICY.settle_seconds


def crashed(job: JobBuilder, rank: int = 1) -> JobBuilder:
    """The attempt failed by its program's fault, and its pods are gone."""
    return at_rest(written(job.failed(rank)).swept())


def opens(job: JobBuilder) -> bool:
    """With a grant at hand, the next attempt's record is created."""
    job.probed().granted()
    return bool(steps_of(planned(job), CreateRecord))


def reopened(job: JobBuilder) -> JobBuilder:
    assert opens(job)
    return at_rest(job.opened().running())


def not_before(job: JobBuilder) -> float:
    job.grant = None
    request = planned(job.probed()).request
    assert request is not None
    return request.not_before - job.now


def test_a_survivors_exit_is_not_charged_when_a_node_goes_silent_40_seconds_later() -> None:
    job = crashed(running_job(maxRestarts=0))
    assert last_episode(job).cause is Cause.APPLICATION_FAILURE and not last_episode(job).settled
    assert not opens(job)
    at_rest(job.passed(40)).node_unknown("n3")
    job.grant = None
    written(job)
    episode = last_episode(job)
    assert (episode.cause, episode.reason, episode.node) == (Cause.DISRUPTION, Reason.NODE_UNREACHABLE, "n3")
    assert episode.settled and not episode.charged
    assert "node n3 stopped answering; seen first as: rank 1" in episode.message
    assert (job.status.restarts.total, job.status.restarts.disruption, job.status.restarts.application) == (1, 1, 0)
    assert job.status.streaks == Streaks(0, 1)
    job.probed().granted("n0", "n1", "n2", "n9")
    assert steps_of(planned(job), CreateRecord)


def test_a_delegated_gangs_nodes_are_known_by_its_pods() -> None:
    job = make_job().workers(3).spec(scheduling={"placement": "Delegated"}, failurePolicy={"maxRestarts": 0})
    at_rest(job.opened().running())
    left = ending(written(job.failed(1)).pod(2, attempt=0), job.now, 10, version=99)  # its node does not answer
    at_rest(job.swept())
    job.pods = {left.name: left}
    at_rest(job.passed(40)).node_unknown("n2")
    written(job)
    episode = last_episode(job)
    assert (episode.cause, episode.node, episode.charged) == (Cause.DISRUPTION, "n2", False)


def test_evidence_after_settling_changes_nothing() -> None:
    job = crashed(running_job())
    at_rest(job.passed(SETTLE))
    assert last_episode(job).charged
    at_rest(job.node_unknown("n3"))
    assert last_episode(job).charged and last_episode(job).cause is Cause.APPLICATION_FAILURE


@pytest.mark.parametrize("evidence", ["vanished", "evicted"])
def test_other_evidence_that_excuses(evidence: str) -> None:
    job = written(running_job().failed(1))
    if evidence == "vanished":
        job.node_gone("n2")
    else:
        name = job.pod_name(2, attempt=0)
        job.pods[name] = replace(job.pods[name], disruption="DeletionByTaintManager")
    written(job)
    assert last_episode(job).cause is Cause.DISRUPTION and not last_episode(job).charged


def test_our_own_deletes_are_no_evidence() -> None:
    job = written(running_job().failed(1))
    for name, pod in job.pods.items():
        job.pods[name] = replace(pod, deletion=job.now + 10, deletion_grace=10)
    at_rest(at_rest(job).passed(SETTLE))
    assert last_episode(job).charged


def test_a_failure_is_charged_only_after_90_seconds_also_seen_by_this_leader() -> None:
    job = crashed(running_job())
    at_rest(job.passed(SETTLE - 1))
    assert not last_episode(job).settled
    job.seen.clear()  # another leader took over
    at_rest(job.at(job.now + 5))
    assert not last_episode(job).settled
    found = planned(job)
    assert found.requeue_at is not None and found.requeue_at <= job.now + 30
    at_rest(job.passed(30))
    episode = last_episode(job)
    assert episode.settled and episode.charged
    assert job.status.restarts == Restarts(1, 1, 0, (episode.at,))


def test_with_no_restarts_allowed_an_application_failure_opens_no_second_attempt() -> None:
    job = crashed(running_job(maxRestarts=0))
    assert not opens(job)
    assert job.status.reason is Reason.AWAITING_CAUSE
    job.passed(SETTLE)
    written(job)
    written(job)
    assert job.status.finishing is not None and job.status.finishing.reason is Reason.MAX_RESTARTS_EXCEEDED
    assert "1 application failures within 86400 s, failurePolicy.maxRestarts allows 0" in job.status.finishing.message
    at_rest(job)
    assert job.status.phase is Phase.FAILED


def test_with_no_restarts_allowed_a_dead_node_restarts_the_job() -> None:
    job = written(running_job(maxRestarts=0).node_unknown("n1")).swept()
    job.probed().granted("n0", "n2", "n3", "n4")
    assert steps_of(planned(job), CreateRecord)


@pytest.mark.parametrize("allowed", [0, 1, 3])
def test_a_two_second_crash_loop_never_opens_more_than_the_budget_allows(allowed: int) -> None:
    job = make_job().workers(2).max_restarts(allowed)
    attempts = 0
    for _ in range(400):
        job.noted(planned(job.probed()).facts)
        if job.status.finishing is not None:
            break
        waits_only_for_a_grant = planned(at_rest(job)).request is not None and not_before(job) <= 0
        if waits_only_for_a_grant and opens(job):
            attempts += 1
            crashed(at_rest(job.opened().running()).passed(2))
        at_rest(job.passed(5))
    job.records.clear()
    at_rest(job)
    assert attempts == allowed + 1
    assert job.status.phase is Phase.FAILED


def test_failures_outside_the_window_do_not_count() -> None:
    job = crashed(running_job(maxRestarts=1, windowSeconds=1000))
    at_rest(job.passed(SETTLE))
    reopened(job.passed(2000))
    at_rest(crashed(job).passed(SETTLE))
    assert len(job.status.restarts.charged) == 1 and job.status.restarts.application == 2
    assert job.status.finishing is None


def test_the_first_unsettled_failure_restarts_at_once_and_the_second_waits_its_backoff() -> None:
    job = crashed(running_job())
    assert not_before(job) <= 0
    crashed(reopened(job))
    assert 10 * 2 * 0.75 <= not_before(job) <= 10 * 2 * 1.25


def test_a_backoff_that_was_told_stands_when_the_older_failure_settles() -> None:
    job = crashed(running_job(backoff={"initialSeconds": 300, "maxSeconds": 300}))
    crashed(reopened(job).passed(10))
    told = not_before(job) + job.now
    assert told - job.now >= 300 * 0.75
    at_rest(job.passed(SETTLE - 10))
    assert [e.settled for e in job.status.episodes] == [True, False]
    assert not_before(job) + job.now == pytest.approx(told)
    at_rest(job.passed(10))
    assert all(e.charged for e in job.status.episodes)
    assert not_before(job) + job.now == pytest.approx(told)


@pytest.mark.parametrize("streak", [1, 2, 3, 6, 40])
def test_application_backoff_doubles_with_jitter_and_never_exceeds_its_bound(streak: int) -> None:
    job = crashed(running_job())
    at_rest(job.passed(SETTLE))
    job.status = replace(job.status, streaks=Streaks(streak, 0))
    waits = not_before(job) + job.now - last_episode(job).at
    plain = 10 * 2.0 ** (streak - 1)
    assert min(300, plain * 0.75) <= waits <= min(300, plain * 1.25)


@pytest.mark.parametrize(
    ("streak", "plain"), [(1, 0), (2, 1), (3, 2), (4, 4), (9, 128), (10, 256), (11, 300), (99, 300)]
)
def test_disruptions_restart_at_once_and_back_off_when_they_repeat(streak: int, plain: float) -> None:
    job = written(running_job().deleted(1)).swept()
    job.status = replace(job.status, streaks=Streaks(0, streak))
    waits = not_before(job) + job.now - last_episode(job).at
    assert min(300, plain) * 0.75 <= waits + 1 and waits <= min(300, plain * 1.25)


def given_back(job: JobBuilder) -> JobBuilder:
    """The start of its next attempt was refused and rolled back, and nothing of it is left."""
    job.opened()
    job.create_refused = CreateRefusal(job.status.attempt, 0, 422, "invalid")
    rolled_back(job)
    job.records.clear()
    return job.swept()


def test_a_start_rolled_back_is_repeated_at_once_and_spaced_out_when_that_repeats() -> None:
    job = given_back(make_job().workers(2))
    assert not_before(job) <= 0
    for plain in (1, 2, 4, 8, 16):
        given_back(job)
        assert plain * 0.75 <= not_before(job) <= plain * 1.25
        assert not_before(job.passed(20)) <= 0


@pytest.mark.parametrize("streak", [10, 11, 99])
def test_a_start_waits_five_minutes_at_most_for_those_rolled_back_before(streak: int) -> None:
    job = given_back(make_job().workers(2))
    job.status = replace(job.status, streaks=Streaks(0, streak))
    assert 256 * 0.75 <= not_before(job) <= 300


def test_jitter_differs_between_jobs_and_is_always_the_same_for_one() -> None:
    waits = set()
    for number in range(8):
        job = make_job(f"job-{number}").workers(2).opened().running()
        job = crashed(reopened(crashed(at_rest(job))))
        waits.add(round(not_before(job), 3))
        assert not_before(job) == not_before(job)
    assert len(waits) >= 6


def test_streaks_end_once_an_attempt_ran_ten_minutes() -> None:
    job = running_job()
    job.status = replace(job.status, streaks=Streaks(5, 5))
    soon = status_of(planned(job.passed(300).deleted(1)))
    assert soon.streaks == Streaks(5, 6)
    late = status_of(planned(job.passed(300)))
    assert late.streaks == Streaks(0, 1)


def test_an_uncharged_close_leaves_streaks_and_counters_alone() -> None:
    job = written(running_job().suspended())
    assert (job.status.streaks, job.status.restarts) == (Streaks(), Restarts())
    assert last_episode(job).settled and not last_episode(job).charged


def test_no_more_than_20_episodes_and_unsettled_ones_are_never_trimmed() -> None:
    job = running_job(maxRestarts=1000)
    crashed(job)
    for number in range(25):
        job.opened(job.status.attempt).running()
        written(job.deleted(1)).swept()
        assert len(job.status.episodes) == min(number + 2, 20)
    assert not job.status.episodes[0].settled and job.status.episodes[0].attempt == 0


def test_twenty_unsettled_failures_wait_whatever_the_budget() -> None:
    job = running_job(maxRestarts=1000)
    for _ in range(19):
        job.closed(Cause.APPLICATION_FAILURE, Reason.APPLICATION_FAILURE).swept().opened().running()
    written(job.failed(1)).swept()
    at_rest(job)
    assert job.status.reason is Reason.AWAITING_CAUSE
    assert "20 failures are not yet blamed and 0 are charged of 1000 allowed" in (job.status.conditions[1].message)


def test_a_finish_leaves_nothing_unsettled() -> None:
    job = reopened(crashed(running_job()))
    status = status_of(planned(job.succeeded()))
    assert all(e.settled for e in status.episodes) and status.restarts.application == 1


def test_evidence_without_a_record_is_sought_at_the_named_node() -> None:
    job = crashed(running_job(), rank=2)
    job.records.clear()
    written(job.node_unknown("n2"))
    assert last_episode(job).cause is Cause.DISRUPTION


def test_a_record_is_kept_while_its_episode_is_unsettled() -> None:
    job = reopened(crashed(running_job()))
    assert isinstance(job.records[0], Record)
    job.closed(Cause.SUSPENDED, Reason.SUSPENDED).swept().opened(2).running()
    at_rest(job)
    assert not [s for s in planned(job).steps if not isinstance(s, WriteStatus)]
    at_rest(job.passed(SETTLE))
    assert [type(s).__name__ for s in planned(job).steps] == ["DeleteRecord"]


def test_a_delegated_gang_keeps_off_the_nodes_that_failed_it_whoever_leads() -> None:
    job = make_job().workers(2).spec(scheduling={"placement": "Delegated"})
    at_rest(job.opened().running()).node_unknown("n1")
    written(job).swept().opened()
    (create,) = steps_of(planned(job), CreatePods)
    assert create.avoid.away == {"n1"} and not create.avoid.failed
    pinned = written(running_job(2).node_unknown("n1")).swept().opened(None, "n0", "n5")
    (create,) = steps_of(planned(pinned), CreatePods)
    assert create.avoid == NOTHING_AVOIDED
