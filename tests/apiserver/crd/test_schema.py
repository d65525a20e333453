"""Does the CRD behave in a cluster as its models promise: defaults, columns, texts, status, size?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from apiserver.crd.conftest import CRDS, Kubectl
from trainyard.api.crdgen import MAX_ANNOTATION, annotation_size
from trainyard.api.reasons import Cause, ConditionType, Phase, Reason
from trainyard.api.validation import parse_job_spec
from trainyard.model.status import (
    AttemptRecordRef,
    Condition,
    Episode,
    Finishing,
    JobStatus,
    Restarts,
    RoleStatus,
    Streaks,
    parse_status,
    render_status,
)

pytestmark = pytest.mark.apiserver

CRD = "trainingjobs.trainyard.dev"
MINIMAL = Path(__file__).parent / "cases/good/minimal.yaml"


def get(kubectl: Kubectl, *what: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl.must("get", *what, "-o", "json"))
    return found


@pytest.fixture
def minimal(kubectl: Kubectl) -> str:
    assert kubectl.apply_file(MINIMAL).code == 0
    return "minimal"


def test_plain_apply_works_and_its_annotation_is_as_long_as_reckoned(kubectl: Kubectl) -> None:
    kubectl.must("apply", "--server-side=false", "-f", str(CRDS))
    manifest = yaml.safe_load((CRDS / "trainyard.dev_trainingjobs.yaml").read_text(encoding="utf-8"))
    stored = get(kubectl, "crd", CRD)["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    assert abs(len(stored.encode()) - annotation_size(manifest)) < 200  # kubectl adds empty metadata of its own
    assert len(stored.encode()) < MAX_ANNOTATION


def test_the_schema_is_structural_and_established(kubectl: Kubectl) -> None:
    conditions = {c["type"]: c["status"] for c in get(kubectl, "crd", CRD)["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


def test_a_minimal_job_is_short() -> None:
    lines = [line for line in MINIMAL.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert len(lines) < 15


def test_the_server_sets_the_defaults_of_the_models(minimal: str, kubectl: Kubectl) -> None:
    stored = get(kubectl, "trainingjob", minimal)["spec"]
    given = yaml.safe_load(MINIMAL.read_text(encoding="utf-8"))["spec"]
    assert stored == parse_job_spec(given).model_dump(mode="json", by_alias=True, exclude_none=True)


def test_explain_reads_well(kubectl: Kubectl) -> None:
    text = kubectl.must("explain", "trainingjob.spec.roles")
    for words in ("all pods of all roles run together or not at all", "Accelerators per pod", "The trainer is"):
        assert words in " ".join(text.split())
    deep = kubectl.must("explain", "trainingjob.spec.failurePolicy.deadNode.action")
    assert "ENUM: Auto Proceed Wait" in " ".join(deep.split())


def test_every_field_but_the_pods_own_is_explained(kubectl: Kubectl) -> None:
    text = kubectl.must("explain", "trainingjob", "--recursive")
    assert "template" in text
    schema = get(kubectl, "crd", CRD)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    assert list(_unexplained("spec", schema["spec"])) == []
    assert list(_unexplained("status", schema["status"])) == []


def _unexplained(path: str, schema: dict[str, Any]) -> list[str]:
    if path.endswith(".template"):
        return []
    found = [] if schema.get("description") else [path]
    inner = schema.get("items", schema)
    for name, field in inner.get("properties", {}).items():
        found += _unexplained(f"{path}.{name}", field)
    return found


def test_columns(minimal: str, kubectl: Kubectl) -> None:
    head = kubectl.must("get", "tj", minimal).splitlines()[0].split()
    assert head == ["NAME", "PHASE", "READY", "RESTARTS", "GPUS", "AGE"]
    wide = kubectl.must("get", "tj", minimal, "-o", "wide").splitlines()[0].split()
    assert wide == [*head, "ATTEMPT", "REASON"]
    assert "minimal" in kubectl.must("get", "trainyard")


def write_status(kubectl: Kubectl, name: str, status: JobStatus) -> dict[str, Any]:
    patch = json.dumps({"status": render_status(status)})
    answer = kubectl.must("patch", "trainingjob", name, "--subresource=status", "--type=merge", "-p", patch)
    assert "unknown field" not in answer
    stored: dict[str, Any] = get(kubectl, "trainingjob", name)["status"]
    return stored


def test_every_part_of_a_status_is_kept(minimal: str, kubectl: Kubectl) -> None:
    status = full_status(replicas=4, episodes=1, charged=1)
    assert parse_status(write_status(kubectl, minimal, status)) == status


def test_the_largest_status_fits(minimal: str, kubectl: Kubectl) -> None:
    status = full_status(replicas=10_000, episodes=20, charged=1001)
    stored = write_status(kubectl, minimal, status)
    assert parse_status(stored) == status
    assert len(json.dumps(stored)) < 500_000


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_may_be_written(phase: Phase, minimal: str, kubectl: Kubectl) -> None:
    assert write_status(kubectl, minimal, JobStatus(phase=phase))["phase"] == phase


def full_status(replicas: int, episodes: int, charged: int) -> JobStatus:
    """A status with everything set; every second replica completed is the longest text."""
    at = 1_800_000_000.0
    return JobStatus(
        phase=Phase.RUNNING,
        reason=Reason.ALL_RANKS_RUNNING,
        ready=f"{replicas}/{replicas}",
        gpus=replicas * 8,
        observed_generation=3,
        attempt=99_999,
        attempt_record=AttemptRecordRef("n" * 63, "0" * 36, 99_999),
        gang_created=True,
        started_at=at,
        finishing=Finishing(Phase.FAILED, Reason.MAX_RESTARTS_EXCEEDED, "m" * 1024),
        streaks=Streaks(2, 3),
        roles=(RoleStatus("worker", *(replicas,) * 4, 1, frozenset(range(0, replicas, 2))),),
        restarts=Restarts(5, 1, 4, tuple(at + i for i in range(charged))),
        episodes=tuple(
            Episode(i, at, Cause.APPLICATION_FAILURE, Reason.APPLICATION_FAILURE, 3, "p" * 63, "n" * 253, 1, "m" * 1024)
            for i in range(episodes)
        ),
        conditions=tuple(Condition(kind, None, Reason.GANG_PLACED, "m" * 1024, 3, at) for kind in ConditionType),
    )
