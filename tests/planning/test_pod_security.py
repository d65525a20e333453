"""Does the operator's own pod-security level stop jobs before they open, and only then?"""

from __future__ import annotations

from functools import partial

import pytest

from builders import JobBuilder, make_job
from planning.support import POLICY
from trainyard.api.reasons import ConditionType, Reason
from trainyard.launch import LaunchSettings
from trainyard.launch.pod_security import PodSecurity
from trainyard.model.plan import ProbeRoles, WriteStatus
from trainyard.planning import plan


def steps(job: JobBuilder, level: PodSecurity) -> list[object]:
    settled = partial(plan, launch=LaunchSettings(pod_security=level))
    return list(settled(job.snapshot(), job.now, POLICY).steps)


@pytest.mark.parametrize("level", [PodSecurity.NAMESPACE, PodSecurity.PRIVILEGED, PodSecurity.BASELINE])
def test_a_plain_job_goes_on_to_be_probed(level: PodSecurity) -> None:
    assert isinstance(steps(make_job().workers(2), level)[0], ProbeRoles)


def test_a_job_beyond_the_level_waits_and_says_which_fields() -> None:
    (write,) = steps(make_job().workers(2), PodSecurity.RESTRICTED)
    assert isinstance(write, WriteStatus)
    assert write.status.reason is Reason.POD_SECURITY
    placed = write.status.condition(ConditionType.PLACED)
    assert placed is not None and placed.status is False
    assert "worker's pods go beyond pod security restricted" in placed.message
    assert "allowPrivilegeEscalation is not false" in placed.message and "more)" in placed.message


def test_an_open_attempt_is_left_alone() -> None:
    job = make_job().workers(2).opened().running()
    told = [step for step in steps(job, PodSecurity.RESTRICTED) if isinstance(step, WriteStatus)]
    assert [step.status.reason for step in told] == [Reason.ALL_RANKS_RUNNING]
