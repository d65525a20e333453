"""Is a status read back as it was written, whatever it says, and are words of another build never guessed?"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.api.reasons import Cause, ConditionType, Phase, Reason
from trainyard.model.status import (
    AttemptRecordRef,
    Condition,
    Episode,
    Finishing,
    JobStatus,
    Restarts,
    RoleStatus,
    Streaks,
    episodes_unsettled,
    parse_status,
    render_status,
)

TEXT = st.text(max_size=20)
COUNT = st.integers(0, 10_000)
INSTANT = st.integers(1, 4_102_444_800).map(float)
REASONS = st.sampled_from(list(Reason))
EPISODES = st.builds(
    Episode,
    attempt=COUNT,
    at=INSTANT,
    cause=st.sampled_from(list(Cause)),
    reason=REASONS,
    rank=st.integers(-1, 9_999),
    pod=TEXT,
    node=TEXT,
    exit_code=st.none() | st.integers(0, 255),
    message=TEXT,
    settled=st.booleans(),
    charged=st.booleans(),
)
STATUSES = st.builds(
    JobStatus,
    phase=st.sampled_from(list(Phase)),
    reason=st.none() | REASONS,
    ready=TEXT,
    gpus=COUNT,
    observed_generation=COUNT,
    attempt=COUNT,
    attempt_record=st.none() | st.builds(AttemptRecordRef, TEXT, TEXT, COUNT),
    gang_created=st.booleans(),
    started_at=st.none() | INSTANT,
    finishing=st.none() | st.builds(Finishing, st.sampled_from([Phase.SUCCEEDED, Phase.FAILED]), REASONS, TEXT),
    streaks=st.builds(Streaks, COUNT, COUNT),
    roles=st.lists(
        st.builds(
            RoleStatus, TEXT, COUNT, COUNT, COUNT, COUNT, COUNT, completed=st.frozensets(st.integers(0, 99), max_size=9)
        ),
        max_size=3,
    ).map(tuple),
    restarts=st.builds(Restarts, COUNT, COUNT, COUNT, st.lists(INSTANT, max_size=3).map(tuple)),
    episodes=st.lists(EPISODES, max_size=3).map(tuple),
    conditions=st.lists(
        st.builds(
            Condition,
            type=st.sampled_from(list(ConditionType)),
            status=st.none() | st.booleans(),
            reason=REASONS,
            message=TEXT,
            observed_generation=COUNT,
            since=INSTANT,
        ),
        max_size=3,
    ).map(tuple),
)


@given(STATUSES)
def test_what_is_written_is_read(status: JobStatus) -> None:
    assert parse_status(render_status(status)) == status


@given(STATUSES)
def test_nulls_that_a_merge_patch_removed_read_the_same(status: JobStatus) -> None:
    kept = {key: value for key, value in render_status(status).items() if value is not None}
    assert parse_status(kept) == status


def test_a_new_job_has_the_defaults() -> None:
    assert parse_status({}) == JobStatus()


def test_open_means_the_record_is_of_this_attempt() -> None:
    assert JobStatus(attempt=2, attempt_record=AttemptRecordRef("r", "u", 2)).open
    assert not JobStatus(attempt=3, attempt_record=AttemptRecordRef("r", "u", 2)).open
    assert not JobStatus().open


def test_look_ups() -> None:
    valid = Condition(ConditionType.VALID, True, next(iter(Reason)))
    status = JobStatus(conditions=(valid,), roles=(RoleStatus("worker", completed=frozenset({3})),))
    assert status.condition(ConditionType.VALID) is valid
    assert status.condition(ConditionType.FAILED) is None
    assert status.completed("worker") == {3}
    assert status.completed("ps") == frozenset()
    assert [p for p in Phase if JobStatus(phase=p).terminal] == [Phase.SUCCEEDED, Phase.FAILED]


def episode(**changes: Any) -> dict[str, Any]:
    known = {"attempt": 1, "at": "2026-01-02T03:04:05Z", "cause": next(iter(Cause)), "reason": next(iter(Reason))}
    return {**known, **changes}


def test_words_of_a_newer_build_are_dropped_where_they_only_inform() -> None:
    since = "2026-01-02T03:04:05Z"
    status = parse_status(
        {
            "reason": "FromTheFuture",
            "conditions": [
                {"type": "FromTheFuture", "status": "True", "reason": "X", "lastTransitionTime": since},
                {"type": "Valid", "status": "True", "reason": "FromTheFuture", "lastTransitionTime": since},
            ],
            "episodes": [episode(reason="FromTheFuture"), episode(cause="FromTheFuture"), episode(attempt=2)],
        }
    )
    assert status.reason is None
    assert status.conditions == ()
    assert [e.attempt for e in status.episodes] == [2]


@pytest.mark.parametrize(
    "raw",
    [
        {"phase": "FromTheFuture"},
        {"finishing": {"phase": "Failed", "reason": "FromTheFuture"}},
        {"finishing": {"phase": "FromTheFuture", "reason": next(iter(Reason))}},
        {"episodes": [episode(cause="FromTheFuture", settled=False)]},
    ],
)
def test_where_decisions_rest_on_them_the_status_is_unreadable(raw: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        parse_status(raw)


def test_unsettled_episodes() -> None:
    settled, open_one = (
        Episode(n, 0.0, next(iter(Cause)), next(iter(Reason)), settled=s) for n, s in ((1, True), (2, False))
    )
    assert episodes_unsettled((settled, open_one)) == (open_one,)
