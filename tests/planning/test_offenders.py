"""Is a node that hurts jobs again and again told from one that was drained once, or has a bad program on it?"""

from __future__ import annotations

from trainyard.api.reasons import Cause, Reason
from trainyard.model.status import Episode, JobStatus
from trainyard.planning.offenders import APART, WINDOW, repeat_offenders

NOW = 1_800_000_000.0


def hurt(node: str, *before: float, reason: Reason = Reason.NODE_UNREACHABLE) -> JobStatus:
    """A job that this node hurt so many seconds ago."""
    cause = Cause.START_ROLLED_BACK if reason is Reason.NODE_REFUSED else Cause.DISRUPTION
    if reason is Reason.APPLICATION_FAILURE:
        cause = Cause.APPLICATION_FAILURE
    return JobStatus(episodes=tuple(Episode(i, NOW - s, cause, reason, node=node) for i, s in enumerate(before)))


def test_a_node_that_hurt_several_jobs_at_several_times_is_named() -> None:
    jobs = [
        hurt("n1", 5000.0),
        hurt("n1", 3000.0, reason=Reason.NODE_REFUSED),
        hurt("n1", 0.0),
        hurt("n2", 1.0, 2000.0),
    ]
    assert repeat_offenders(jobs, NOW) == {"n1": 3}


def test_one_death_that_takes_many_jobs_along_counts_once() -> None:
    assert repeat_offenders([hurt("n1", 10.0 + i) for i in range(50)], NOW) == {}
    jobs = [hurt("n1", at + i) for at in (0.0, 2 * APART, 4 * APART) for i in range(5)]
    assert repeat_offenders(jobs, NOW) == {"n1": 3}


def test_what_is_long_ago_or_the_programs_fault_does_not_count() -> None:
    assert repeat_offenders([hurt("n1", 0.0, 5000.0, WINDOW)], NOW) == {}
    assert repeat_offenders([hurt("n1", 0.0, 5000.0, 9000.0, reason=Reason.APPLICATION_FAILURE)], NOW) == {}
