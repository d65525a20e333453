"""Do the metrics count what the engine tells, forget what is no longer told, and stay within their names and labels?"""

from __future__ import annotations

import re

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from trainyard.engine.telemetry_port import NullTelemetry, Telemetry
from trainyard.telemetry.metrics import Metrics
from trainyard.telemetry.reference import render_metrics_reference


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("b1")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"trainyard_{name}", labels)


def test_it_fits_the_engines_port() -> None:
    port: Telemetry = Metrics()
    told = [name for name in vars(NullTelemetry) if not name.startswith("_")]
    assert told
    assert all(callable(getattr(port, name)) for name in told)


def test_work_is_counted(metrics: Metrics) -> None:
    metrics.planned(0.002, "acted")
    metrics.planned(0.001, "settled")
    metrics.step("CreatePods", "done")
    metrics.request("create", "pods", "200", 0.01)
    metrics.request("watch", "pods", "200", 300.0)
    metrics.opened()
    metrics.closed("Disruption")
    metrics.finished("Succeeded")
    metrics.pods(created=8, deleted=3)
    metrics.scheduled(0.01, requests=3, grants=2, refusals={"NoRoom": 1})
    assert value(metrics, "reconcile_total", outcome="acted") == 1
    assert value(metrics, "reconcile_duration_seconds_count") == 2
    assert value(metrics, "plan_steps_total", step="CreatePods", outcome="done") == 1
    assert value(metrics, "api_requests_total", verb="create", resource="pods", code="200") == 1
    assert value(metrics, "api_request_duration_seconds_count", verb="create", resource="pods") == 1
    assert value(metrics, "api_requests_total", verb="watch", resource="pods", code="200") == 1
    assert value(metrics, "api_request_duration_seconds_count", verb="watch", resource="pods") is None
    assert value(metrics, "attempts_opened_total") == 1
    assert value(metrics, "attempts_closed_total", cause="Disruption") == 1
    assert value(metrics, "jobs_finished_total", phase="Succeeded") == 1
    assert (value(metrics, "pods_created_total"), value(metrics, "pods_deleted_total")) == (8, 3)
    assert (value(metrics, "grants_total"), value(metrics, "scheduling_requests")) == (2, 3)


def test_gauges_forget_what_is_no_longer_told(metrics: Metrics) -> None:
    metrics.scheduled(0.01, 1, 0, {"NoRoom": 4})
    metrics.scheduled(0.01, 1, 0, {"QuotaExceeded": 1})
    assert value(metrics, "jobs_waiting", reason="NoRoom") is None
    assert value(metrics, "jobs_waiting", reason="QuotaExceeded") == 1
    metrics.jobs({"Running": 2})
    assert (value(metrics, "jobs", phase="Running"), value(metrics, "jobs", phase="Pending")) == (2, 0)
    metrics.objects({"pods": 5})
    metrics.watches({"pods": 1.5})
    metrics.queue(1, 2, 3, 0.5)
    assert value(metrics, "cache_objects", resource="pods") == 5
    assert value(metrics, "watch_silence_seconds", resource="pods") == 1.5
    assert value(metrics, "queue_depth", state="waiting") == 2
    assert value(metrics, "queue_oldest_seconds") == 0.5


def test_leadership_is_told(metrics: Metrics) -> None:
    assert value(metrics, "leader") == 0
    metrics.leading(True)
    assert value(metrics, "leader") == 1
    metrics.leading(False)
    assert value(metrics, "leader") == 0


def test_two_registries_do_not_meet() -> None:
    first, second = Metrics(), Metrics()
    first.opened()
    assert value(second, "attempts_opened_total") == 0


def test_names_follow_the_rules(metrics: Metrics) -> None:
    metrics.request("get", "pods", "200", 0.1)
    families = list(text_string_to_metric_families(generate_latest(metrics.registry).decode()))
    ours = [family for family in families if family.name.startswith("trainyard_")]
    assert {f.name for f in families} - {f.name for f in ours} <= {
        f.name for f in families if f.name.startswith("process_")
    }
    for family in ours:
        assert re.fullmatch(r"trainyard_[a-z_]+", family.name)
        assert family.documentation
    assert "trainyard_grants_created" not in {f.name for f in ours}
    for metric in metrics.described:
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert not set(metric.labels) & {"job", "name", "pod", "uid", "node"}


def test_the_reference_lists_every_metric(metrics: Metrics) -> None:
    page = render_metrics_reference()
    for metric in metrics.described:
        assert f"| `{metric.name}` | {metric.kind} |" in page
