"""A job that was stored before a rule came: does its status pass, can it be suspended, and must it then be mended?

The kind belongs to the whole cluster, so these tests have a control plane of their own.
"""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from apiserver.crd.conftest import Answer, Kubectl
from support.yard import Cluster, apply_crds, ensure_cluster, own, run_yard
from trainyard.api.crdgen import training_job_crd
from trainyard.api.rules import RULES

pytestmark = pytest.mark.apiserver

Spec = dict[str, Any]


def spec(role: str = "worker", completes: bool = True, initial: int = 1) -> Spec:
    containers = [{"name": "trainer", "image": "trainyard.dev/busybox:1", "command": ["sleep", "1"]}]
    return {
        "roles": [{"name": role, "completes": completes, "template": {"spec": {"containers": containers}}}],
        "failurePolicy": {"backoff": {"initialSeconds": initial, "maxSeconds": 30}},
    }


@dataclass(frozen=True, slots=True)
class Fault:
    """A rule that is new to the cluster, and how jobs break it."""

    rule: str
    bad: Spec
    mended: Spec
    prefix: str = "job"

    @property
    def message(self) -> str:
        """The end of it: what comes before may carry the case's own numbers."""
        return next(rule for rule in RULES if rule.id == self.rule).mend

    def job(self, number: int) -> dict[str, Any]:
        return {
            "apiVersion": "trainyard.dev/v1alpha1",
            "kind": "TrainingJob",
            "metadata": {"name": f"{self.prefix}-{self.rule}-{number}"},
            "spec": copy.deepcopy(self.bad),
        }


FAULTS = (
    Fault("some-role-completes", spec(completes=False), spec()),
    Fault("names-fit", spec("worker-of-many"), spec("w"), prefix="j" * 28),
    Fault("backoff-order", spec(initial=60), spec()),
)
JOBS = 7  # of each fault: one for each test, and one to ask with


@dataclass(frozen=True, slots=True)
class Stored:
    """One job of a fault under the new kind."""

    kubectl: Kubectl
    fault: Fault
    name: str

    def patch(self, *arguments: str, **fields: Any) -> Answer:
        text = yaml.safe_dump(fields)
        return self.kubectl("patch", "trainingjob", self.name, "--type=merge", "-p", text, *arguments)

    def must_accept(self, *arguments: str, **fields: Any) -> None:
        answer = self.patch(*arguments, **fields)
        assert answer.code == 0, answer.text

    def must_refuse(self, **fields: Any) -> None:
        answer = self.patch(**fields)
        assert answer.code != 0, "it was accepted"
        assert self.fault.message in answer.text


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """In the place of the shared one."""
    name = own("crd-upgrade")
    yield ensure_cluster(name, "--nodes", "0")
    run_yard("down", "--name", name)


@pytest.fixture(scope="module")
def upgraded(cluster: Cluster, kubectl: Kubectl) -> Callable[[Fault], Stored]:
    """Stores jobs under a kind that lacks the rules, then brings the rules; hands out one job after the other."""
    crd = yaml.safe_dump(without({fault.rule for fault in FAULTS}))
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=crd)
    jobs = [fault.job(number) for fault in FAULTS for number in range(1, JOBS)]
    until(lambda: kubectl.apply(*jobs).code == 0)
    apply_crds(cluster)
    until(lambda: all(fault.message in kubectl.apply(fault.job(0)).text for fault in FAULTS))
    used: Counter[str] = Counter()

    def take(fault: Fault) -> Stored:
        used[fault.rule] += 1
        return Stored(kubectl, fault, fault.job(used[fault.rule])["metadata"]["name"])

    return take


def without(ids: set[str]) -> dict[str, Any]:
    """The kind as it was before these rules."""
    messages = {rule.message for rule in RULES if rule.id in ids}
    crd = training_job_crd()
    root = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for schema in (root, root["properties"]["spec"]):
        entries = schema["x-kubernetes-validations"]
        schema["x-kubernetes-validations"] = [entry for entry in entries if entry["message"] not in messages]
    return crd


def until(holds: Callable[[], bool]) -> None:
    """A changed kind is served some seconds after it was written."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, "the API server does not serve the changed kind"
        time.sleep(0.2)


@pytest.fixture(params=FAULTS, ids=lambda fault: fault.rule)
def stored(request: pytest.FixtureRequest, upgraded: Callable[[Fault], Stored]) -> Stored:
    return upgraded(request.param)


def test_what_leaves_the_spec_alone_passes(stored: Stored) -> None:
    """The operator writes the status; whoever deletes the job has its finalizers taken off."""
    stored.must_accept("--subresource=status", status={"phase": "Running", "attempt": 1})
    stored.must_accept(metadata={"labels": {"team": "research"}, "finalizers": ["trainyard.dev/test"]})
    stored.must_accept(metadata={"finalizers": []})


def test_any_other_change_has_to_mend_it(stored: Stored) -> None:
    stored.must_refuse(spec={"ttlSecondsAfterFinished": 60})
    stored.must_refuse(spec={"activeDeadlineSeconds": 60})


def test_suspend_mend_resume(stored: Stored) -> None:
    stored.must_accept(spec={"suspend": True})
    stored.must_accept("--subresource=status", status={"phase": "Suspended"})
    stored.must_refuse(spec={"suspend": False})
    stored.must_accept(spec=stored.fault.mended)
    stored.must_accept(spec={"suspend": False})


def test_suspend_then_mend_and_resume_in_one_write(stored: Stored) -> None:
    stored.must_accept(spec={"suspend": True})
    stored.must_accept(spec={**stored.fault.mended, "suspend": False})


def test_a_suspended_job_is_not_suspended_again_to_edit_it(stored: Stored) -> None:
    """Only the write that suspends is spared: what shapes an attempt may change in the ones after it."""
    stored.must_accept(spec={"suspend": True})
    stored.must_refuse(spec={"suspend": True, "framework": "jax"})


def test_what_a_rule_judges_stays_while_the_job_is_suspended_by_the_write(stored: Stored) -> None:
    worse = copy.deepcopy(stored.fault.bad)
    worse["roles"][0]["replicas"] = 2
    worse["failurePolicy"]["backoff"]["initialSeconds"] = 300
    answer = stored.patch(spec={**worse, "suspend": True})
    assert answer.code != 0
    assert "roles can change only while the job is suspended" in answer.text
    assert "initialSeconds is larger than maxSeconds" in answer.text
