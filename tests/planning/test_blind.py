"""What does the planner make of a job where nodes may not be read, or a Builtin gang was left to somebody else?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import JobBuilder, make_job
from planning.support import POLICY, at_rest, kinds, last_episode, planned, running_job, status_of, written
from trainyard.api.reasons import Cause, ConditionType, Reason
from trainyard.model.plan import DeletePods
from trainyard.planning import plan


@pytest.mark.parametrize(
    ("placement", "backed", "reason"),
    [
        ("Delegated", (), Reason.GANG_DELEGATED),
        ("Builtin", ("nvidia.com/gpu",), Reason.DEVICE_BACKED),
        ("Builtin", ("example.com/other",), Reason.LIMITED_VIEW),
        ("Builtin", (), Reason.LIMITED_VIEW),
    ],
)
def test_why_the_clusters_scheduler_chose_is_told(placement: str, backed: tuple[str, ...], reason: Reason) -> None:
    job = make_job().workers(2, gpus=1).spec(scheduling={"placement": placement}).opened(0, "", "").created_gang()
    policy = replace(POLICY, device_backed=frozenset(backed))
    placed = status_of(plan(job.snapshot(), job.now, policy)).condition(ConditionType.PLACED)
    assert placed is not None and placed.status is True and placed.reason is reason


def test_claimed_devices_are_told_as_the_reason() -> None:
    container = {"name": "trainer", "image": "busybox:1.36", "resources": {"claims": [{"name": "gpu"}]}}
    claim = {"name": "gpu", "resourceClaimTemplateName": "one-gpu"}
    template = {"spec": {"containers": [container], "resourceClaims": [claim]}}
    job = make_job().workers(2, template=template).probed()
    request = planned(job).request
    assert request is not None and [role.claims_devices for role in request.roles] == [True]
    job.granted().opened(0, "", "").created_gang()
    placed = at_rest(job).status.condition(ConditionType.PLACED)
    assert placed is not None and placed.reason is Reason.DEVICE_BACKED


def test_a_node_that_may_not_be_read_is_not_lost() -> None:
    job = running_job().nodes_unseen()
    assert kinds(at_rest(job)) == [] and job.status.open
    job.passed(3600)
    assert kinds(at_rest(job)) == [] and job.status.attempt == 0


def test_a_pinned_start_is_not_given_back_for_nodes_that_may_not_be_read() -> None:
    job = at_rest(make_job().workers(2).opened().nodes_unseen().create())
    assert job.status.open and job.status.episodes == ()


def test_a_failure_is_charged_when_no_node_can_excuse_it() -> None:
    job = written(running_job().nodes_unseen().failed(1))
    assert last_episode(at_rest(at_rest(job).passed(POLICY.settle_seconds))).charged


def test_a_disruption_is_still_told_by_the_pod_itself() -> None:
    job = written(running_job().nodes_unseen().evicted(1))
    assert last_episode(job).cause is Cause.DISRUPTION


def _closing() -> JobBuilder:
    return written(running_job().nodes_unseen().failed(1).deleted(0, grace=5))


def test_pods_that_outlive_their_grace_are_waited_for_and_named_with_what_to_look_at() -> None:
    job = _closing().passed(3600)
    found = plan(job.snapshot(), job.now, POLICY)
    assert [type(s) for s in found.steps if isinstance(s, DeletePods)] != []
    job.hosts.clear()
    for rank in (1, 2, 3):
        job.pods.pop(job.pod_name(rank, 0))
    placed = at_rest(job).status.condition(ConditionType.PLACED)
    assert placed is not None and placed.reason is Reason.EARLIER_ATTEMPT_ENDING
    assert "may not read nodes" in placed.message and "kubectl get node n0" in placed.message
