"""Which phase may follow which: a table, so that an illegal move is found in the one job that makes it."""

from __future__ import annotations

from collections.abc import Mapping

from trainyard.api.reasons import Phase

_P = Phase

ALLOWED: Mapping[Phase, frozenset[Phase]] = {
    # Failed from anywhere: budget, deadline. Suspending from anywhere that is not over.
    _P.PENDING: frozenset({_P.STARTING, _P.RESTARTING, _P.SUSPENDING, _P.SUSPENDED, _P.SUCCEEDED, _P.FAILED}),
    _P.STARTING: frozenset(
        {_P.RUNNING, _P.PENDING, _P.RESTARTING, _P.SUSPENDING, _P.SUSPENDED, _P.SUCCEEDED, _P.FAILED}
    ),
    _P.RUNNING: frozenset({_P.PENDING, _P.RESTARTING, _P.SUSPENDING, _P.SUSPENDED, _P.SUCCEEDED, _P.FAILED}),
    _P.RESTARTING: frozenset(
        {_P.STARTING, _P.RUNNING, _P.PENDING, _P.SUSPENDING, _P.SUSPENDED, _P.SUCCEEDED, _P.FAILED}
    ),
    _P.SUSPENDING: frozenset({_P.SUSPENDED, _P.PENDING, _P.RESTARTING, _P.STARTING, _P.SUCCEEDED, _P.FAILED}),
    _P.SUSPENDED: frozenset({_P.PENDING, _P.STARTING, _P.RESTARTING, _P.FAILED}),
    _P.SUCCEEDED: frozenset(),
    _P.FAILED: frozenset(),
}


class IllegalTransition(Exception):
    """A phase was about to follow another that it must not follow: a defect of the planner, contained in one job."""


def check_transition(old: Phase, new: Phase) -> Phase:
    """The new phase. Raises IllegalTransition."""
    if new is not old and new not in ALLOWED[old]:
        raise IllegalTransition(f"{old.value} → {new.value}")
    return new
