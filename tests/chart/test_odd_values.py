"""Does the chart stay right, or say what is wrong, with values that few people set and that do not go together?"""

from __future__ import annotations

import json
from typing import Any

import pytest
from helm_python import HelmError

from chartlib import chart
from trainyard.api.validation import read_job

Object = dict[str, Any]


def deployment(values: Object) -> Object:
    (found,) = [thing for thing in chart.objects(values) if thing["kind"] == "Deployment"]
    spec: Object = found["spec"]
    return spec


def test_operators_may_be_replaced_one_after_the_other() -> None:
    assert deployment({"strategy": {"type": "Recreate"}})["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize("values", ["podLabels", "commonLabels"])
def test_labels_that_find_the_pods_cannot_be_taken(values: str) -> None:
    with pytest.raises(HelmError, match=r"may not set app\.kubernetes\.io/instance"):
        chart.objects({values: {"app.kubernetes.io/instance": "x"}})
    labels = deployment({values: {"app.kubernetes.io/version": "x"}})["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/version"] == "x"


def test_metrics_and_probes_do_not_share_a_port() -> None:
    with pytest.raises(HelmError, match="the probes are served on 8080"):
        chart.objects({"metrics": {"port": 8080}})


def test_a_policy_does_not_deny_and_warn() -> None:
    with pytest.raises(HelmError, match="exclude each other"):
        chart.objects({"admissionPolicy": {"actions": ["Deny", "Warn"]}})
    assert chart.objects({"admissionPolicy": {"actions": ["Deny", "Audit"]}})


@pytest.mark.parametrize("name", ["settings", "commonLabels", "commonAnnotations", "podLabels", "podAnnotations"])
def test_null_is_nothing(name: str) -> None:
    assert chart.objects({name: None}) == chart.objects()


def test_the_tests_job_has_a_name_that_jobs_may_have_however_long_the_releases_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chart, "RELEASE", "r" * 53)
    (tester,) = [thing for thing in chart.objects() if thing["kind"] == "Pod"]
    job = json.loads(next(e["value"] for e in tester["spec"]["containers"][0]["env"] if e["name"] == "JOB"))
    assert read_job(f"{job['metadata']['name']}-abcdef", job["spec"])


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"fullnameOverride": "Team_A"}, "fullnameOverride"),
        ({"nameOverride": "-a"}, "nameOverride"),
        ({"admissionPolicy": {"capabilities": ["IPC' + 'LOCK"]}}, "capabilities"),
        ({"admissionPolicy": {"protectedTaints": ["a'b"]}}, "protectedTaints"),
    ],
)
def test_what_would_render_no_object_is_refused_by_name(values: Object, named: str) -> None:
    with pytest.raises(HelmError, match=named):
        chart.objects(values)
