"""Does the second opinion on a status find a lie?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from planning.support import planned, running_job, status_of
from planning.truth import untruths
from trainyard.api.reasons import ConditionType, Phase
from trainyard.model.status import Condition, JobStatus, Restarts


def _condition(status: JobStatus, kind: ConditionType, change: Callable[[Condition], Condition]) -> JobStatus:
    return replace(status, conditions=tuple(change(c) if c.type is kind else c for c in status.conditions))


@pytest.mark.parametrize(
    "lie",
    [
        lambda s: replace(s, gpus=s.gpus + 1),
        lambda s: replace(s, ready="3/4"),
        lambda s: replace(s, observed_generation=0),
        lambda s: replace(s, phase=Phase.PENDING),
        lambda s: replace(s, phase=Phase.SUCCEEDED),
        lambda s: replace(s, roles=(replace(s.roles[0], created=2),)),
        lambda s: replace(s, roles=(replace(s.roles[0], completed=frozenset({0, 1})),)),
        lambda s: replace(s, roles=(replace(s.roles[0], completed=frozenset()),)),
        lambda s: replace(s, restarts=Restarts(total=1)),
        lambda s: replace(s, restarts=Restarts(charged=(1.0,))),
        lambda s: _condition(s, ConditionType.PLACED, lambda c: replace(c, status=False)),
        lambda s: _condition(s, ConditionType.VALID, lambda c: replace(c, since=1.0)),
        lambda s: _condition(s, ConditionType.VALID, lambda c: replace(c, observed_generation=0)),
    ],
)
def test_a_lie_is_found(lie: Callable[[JobStatus], JobStatus]) -> None:
    job = running_job().succeeded(0)
    job.noted(planned(job).facts)
    told = status_of(planned(job.passed(1)))
    assert untruths(job, told) == []
    assert untruths(job, lie(told)) != []
