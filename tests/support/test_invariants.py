"""Does each check find the breach that it is there for, and nothing in a history without one?"""

from __future__ import annotations

from typing import Any, Self

import pytest

from support.history import History, Object
from support.invariants import EARS, START_SLACK, violations

CALM: Object = {"status": {"phase": "Running"}}
DONE: Object = {"status": {"phase": "Succeeded"}}
FAILED: Object = {"status": {"phase": "Failed"}}
EVICTED = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
RUNNING = {"type": "Running", "status": "True"}
DEADLINE = 600


class Made:
    """A history made up: one job `j` of two workers, its pods by attempt and index, a second between happenings."""

    def __init__(self) -> None:
        self.history = History()
        self.version = 0
        self.now = 0.0
        self.pods: dict[tuple[int, int], Object] = {}

    @property
    def found(self) -> list[str]:
        return violations(self.history)

    def passed(self, seconds: float) -> Self:
        self.now += seconds
        return self

    def _add(self, type_: str, kind: str, obj: Object) -> None:
        self.version += 1
        self.now += 1
        meta = {**obj["metadata"], "resourceVersion": str(self.version)}
        self.history.add(type_, kind, {**obj, "metadata": meta}, self.now)

    def job(self, spec: Object | None = None, **status: Any) -> Self:
        """A write of its status."""
        roles = [{"name": "worker", "replicas": 2}, {"name": "ps", "completes": False}]
        meta = {"name": "j", "uid": "job", "generation": 1}
        self._add("MODIFIED", "TrainingJob", {"metadata": meta, "spec": spec or {"roles": roles}, "status": status})
        return self

    def record(self, attempt: int) -> Self:
        self._add("ADDED", "ConfigMap", {"metadata": {"name": f"j-a{attempt}", "uid": f"record-{attempt}"}})
        return self

    def pod(self, index: int, *changes: Object, attempt: int = 0, gone: bool = False, **meta: Any) -> Self:
        """Created where it is not yet there; else changed, or `gone`."""
        key, name = (attempt, index), f"j-a{attempt}-worker-{index}"
        labels = {"role": "worker", "index": str(index), "attempt": str(attempt)}
        fresh: Object = {
            "metadata": {
                "name": name,
                "uid": name,
                "labels": {f"trainyard.dev/{label}": value for label, value in labels.items()},
                "ownerReferences": [{"kind": "TrainingJob", "uid": "job", "controller": True}],
            },
            "spec": {"containers": [{"name": "sidecar"}, {"name": "trainer"}]},
            "status": {"phase": "Pending"},
        }
        pod = self.pods.get(key, fresh)
        for change in changes:
            pod = {**pod, **{part: {**pod[part], **value} for part, value in change.items()}}
        pod = {**pod, "metadata": {**pod["metadata"], **meta}}
        self._add("DELETED" if gone else "MODIFIED" if key in self.pods else "ADDED", "Pod", pod)
        self.pods[key] = pod
        return self

    def meddled(self, index: int, attempt: int = 0) -> Self:
        self.history.meddled.add(f"j-a{attempt}-worker-{index}")
        return self


def bound(node: str = "n") -> Object:
    return {"spec": {"nodeName": node}}


def disrupted(phase: str = "Running") -> Object:
    return {"status": {"phase": phase, "conditions": [EVICTED]}}


def exited(code: int) -> Object:
    trainer = {"name": "trainer", "state": {"terminated": {"exitCode": code}}}
    return {"status": {"phase": "Running", "containerStatuses": [trainer]}}


def completed(*ranges: str) -> list[Object]:
    return [{"name": "worker", "completed": ",".join(ranges)}]


def episode(attempt: int = 0, cause: str = "ApplicationFailure", **verdict: bool) -> list[Object]:
    return [{"attempt": attempt, "cause": cause, "settled": False, "charged": False, **verdict}]


def twin(pod: Object) -> Object:
    return {**pod, "metadata": {**pod["metadata"], "uid": "twin", "resourceVersion": "99"}}


def breach(made: Made) -> str:
    """The invariant that is broken, the only one."""
    (found,) = {text.partition(":")[0] for text in made.found}
    return found


def test_a_life_without_a_breach_is_blameless() -> None:
    made = Made().record(0).job(attempt=0, attemptRecord={"uid": "record-0", "attempt": 0})
    made.pod(0, bound(), CALM).pod(1, bound(), CALM).pod(0, FAILED)
    made.job(attempt=1, episodes=episode(), restarts={"total": 1})
    made.pod(1, deletionTimestamp="now").pod(1, gone=True).passed(90)
    spent = {"total": 1, "application": 1}
    made.job(attempt=1, episodes=episode(settled=True, charged=True), restarts=spent)
    open_: Object = {"attempt": 1, "attemptRecord": {"uid": "record-1", "attempt": 1}, "restarts": spent}
    made.record(1).job(**open_).pod(0, bound(), CALM, attempt=1).pod(1, bound(), CALM, attempt=1)
    made.pod(0, exited(0), attempt=1).job(**open_, roles=completed("0"))
    made.pod(0, attempt=1, gone=True).pod(1, DONE, attempt=1)
    made.job(**open_, roles=completed("0-1"), finishing={"phase": "Succeeded"})
    made.job(**open_, roles=completed("0-1"), finishing={"phase": "Succeeded"}, phase="Succeeded")
    assert made.found == []


def test_versions_order_what_different_watches_tell() -> None:
    """The status that counts an exit may be heard before the exit."""
    made = Made().pod(0, CALM).pod(0, exited(0)).job(roles=completed("0"))
    made.history.happenings.reverse()
    assert made.found == []


class TestPods:
    def test_i1_two_live_pods_of_one_replica(self) -> None:
        made = Made().pod(0, CALM)
        made.history.add("ADDED", "Pod", twin(made.pods[(0, 0)]), 0)
        assert [v[:3] for v in made.found] == ["I1:", "I3:"]

    def test_i2_a_pod_of_the_next_attempt_beside_one_of_the_last(self) -> None:
        assert breach(Made().pod(0, CALM).pod(1, CALM, attempt=1)) == "I2"
        assert Made().pod(0, DONE).pod(1, CALM, attempt=1).found == []

    def test_i5_a_live_pod_when_the_job_has_ended(self) -> None:
        assert breach(Made().pod(0, CALM).job(phase="Failed")) == "I5"
        assert breach(Made().pod(0, DONE).job(phase="Failed").pod(1, CALM)) == "I5"
        assert Made().pod(0, DONE).pod(1, gone=True).job(phase="Failed").pod(0, gone=True).found == []

    def test_i5_a_pod_on_a_dead_node_is_not_waited_for(self) -> None:
        dying = Made().pod(0, CALM).meddled(0)
        assert breach(dying.job(phase="Failed")) == "I5"
        dead = Made().pod(0, CALM).meddled(0).pod(0, deletionTimestamp="now")
        assert dead.job(phase="Failed").pod(0).found == []

    def test_i5_a_finalizer_of_ours(self) -> None:
        assert breach(Made().pod(0, finalizers=["trainyard.dev/keep"])) == "I5"
        assert Made().pod(0, finalizers=["test.trainyard.dev/keep"]).found == [], "a test's own"

    def test_i6_a_live_pod_that_is_deleted_without_a_decision(self) -> None:
        assert breach(Made().pod(0, CALM).job(attempt=0).pod(0, deletionTimestamp="now")) == "I6"
        assert Made().pod(0, CALM).job(attempt=1).pod(0, deletionTimestamp="now").found == []


class TestStatus:
    @pytest.mark.parametrize(
        ("before", "after", "broken"),
        [
            ({"attempt": 0}, {"attempt": 2}, "I6"),
            ({"attempt": 3}, {"attempt": 2}, "I6"),
            ({"phase": "Failed"}, {"phase": "Running"}, "I8"),
            ({"restarts": {"total": 2}}, {"restarts": {"total": 1}}, "I8"),
            ({}, {"observedGeneration": 2}, "I10"),
        ],
    )
    def test_what_a_status_may_not_do(self, before: Object, after: Object, broken: str) -> None:
        first = before.get("attempt", 0)
        made = Made()
        for attempt in range(first):
            made.job(attempt=attempt)
        assert breach(made.job(**before).job(**after)) == broken


class TestCharges:
    def charged(self, made: Made) -> Made:
        return made.job(attempt=1, episodes=episode(settled=True, charged=True))

    @pytest.mark.parametrize("cause", ["Disruption", "StartRolledBack", "Suspended"])
    def test_i7_only_failures_are_charged(self, cause: str) -> None:
        assert breach(Made().job(attempt=1, episodes=episode(cause=cause, settled=True, charged=True))) == "I7"

    def test_i7_a_survivor_was_evicted_before_the_charge(self) -> None:
        made = Made().pod(0, CALM).pod(1, FAILED).job(attempt=1, episodes=episode()).pod(0, disrupted("Failed"))
        assert breach(self.charged(made.passed(EARS))) == "I7"

    def test_i7_the_operator_saw_it_and_the_pod_went_before_the_charge(self) -> None:
        made = Made().pod(0, CALM).pod(1, FAILED).pod(0, disrupted("Failed")).passed(EARS)
        made.job(attempt=1, episodes=episode()).pod(0, gone=True).passed(90)
        assert breach(self.charged(made)) == "I7"

    def test_what_it_could_not_have_seen_excuses_nothing(self) -> None:
        made = Made().pod(0, CALM).pod(1, FAILED).job(attempt=1, episodes=episode())
        assert self.charged(made.pod(0, disrupted("Failed"))).found == [], "it came with the charge"
        made = Made().pod(0, CALM).pod(1, FAILED).job(attempt=1, episodes=episode())
        made.pod(0, disrupted("Failed")).passed(EARS).pod(0, gone=True)
        assert self.charged(made).found == [], "it went while the operator may have slept"
        assert self.charged(made).job(attempt=1, episodes=episode(settled=True, charged=True), ready="0/2").found == []

    def test_a_pod_of_another_attempt_excuses_nothing(self) -> None:
        made = Made().pod(1, FAILED).job(attempt=1, episodes=episode()).pod(0, CALM, attempt=1)
        made.meddled(0, 1).pod(0, disrupted(), attempt=1).passed(EARS)
        assert self.charged(made).found == []


class TestSuccesses:
    def test_i9_a_replica_that_was_never_seen_to_exit_0(self) -> None:
        assert breach(Made().pod(0, CALM).job(roles=completed("0"))) == "I9"
        assert breach(Made().pod(0, exited(1)).job(roles=completed("0"))) == "I9"
        assert breach(Made().pod(0, CALM).job(roles=completed("0")).pod(0, exited(0))) == "I9", "nor before it did"
        assert Made().pod(0, exited(0)).job(roles=completed("0")).found == []

    @pytest.mark.parametrize("how", [{"metadata": {"deletionTimestamp": "now"}}, disrupted()])
    def test_i9_exit_0_of_a_pod_that_was_being_taken_away(self, how: Object) -> None:
        taken = Made().pod(0, CALM).meddled(0).pod(0, how)
        trainer = exited(0)["status"]["containerStatuses"]
        assert breach(taken.pod(0, {"status": {"containerStatuses": trainer}}).job(roles=completed("0"))) == "I9"

    def test_i9_in_another_attempt(self) -> None:
        made = Made().pod(0, exited(0)).job(attempt=0, roles=completed("0")).job(attempt=1, roles=completed())
        assert breach(made.job(attempt=1, roles=completed("0"))) == "I9"

    def test_i9_a_server_that_did_not_end_after_those_that_it_serves(self) -> None:
        labels = {
            f"trainyard.dev/{label}": value for label, value in (("role", "ps"), ("index", "0"), ("attempt", "0"))
        }
        server: Object = {"metadata": {"labels": labels}}
        told = [{"name": "ps", "completed": "0"}]
        assert breach(Made().pod(0, exited(0)).pod(9, server).job(roles=completed("0") + told)) == "I9"
        assert breach(Made().pod(0, exited(0)).pod(9, server, exited(1)).job(roles=told)) == "I9"
        assert Made().pod(0, exited(0)).pod(9, server, exited(1)).job(roles=completed("0") + told).found == []

    def test_i9_what_was_counted_is_forgotten(self) -> None:
        made = Made().pod(0, exited(0)).job(roles=completed("0")).pod(0, gone=True)
        assert breach(made.job(roles=completed())) == "I9"

    def test_i9_succeeded_before_all_have_completed(self) -> None:
        made = Made().pod(0, DONE).pod(1, FAILED)
        assert breach(made.job(phase="Succeeded", roles=completed("0"))) == "I9"

    def test_whom_nobody_watched_is_believed(self) -> None:
        made = Made().job(roles=completed("0"))
        made.history.blind = True
        assert made.found == []


class TestStart:
    def half_bound(self, spec: Object, **status: Any) -> Made:
        made = Made().record(0).job(spec, attempt=0, attemptRecord={"uid": "record-0", "attempt": 0})
        made.pod(0, bound()).pod(1).passed(DEADLINE + START_SLACK)
        return made.job(spec, **{"attempt": 0, "attemptRecord": {"uid": "record-0", "attempt": 0}, **status})

    def test_i11_a_gang_that_stays_partly_bound(self) -> None:
        spec = {"roles": [{"name": "worker", "replicas": 2}]}
        assert breach(self.half_bound(spec, ready="0/2")) == "I11"
        longer = {**spec, "scheduling": {"startDeadlineSeconds": DEADLINE + 10}}
        assert self.half_bound(longer, ready="0/2").found == []
        assert self.half_bound({"roles": [{"name": "worker"}]}, ready="0/1").found == [], "it is whole"

    def test_what_is_closed_whole_or_given_up_is_not_partly_bound(self) -> None:
        spec = {"roles": [{"name": "worker", "replicas": 2}]}
        assert self.half_bound(spec, attempt=1).found == []
        assert self.half_bound(spec, conditions=[RUNNING]).found == []
        assert self.half_bound(spec, finishing={"phase": "Failed"}).found == []
        assert Made().pod(0, bound()).pod(1).passed(9999).job(spec, attempt=0).found == []
