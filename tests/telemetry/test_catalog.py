"""Do the metrics keep the rules of their trade: names, units, help, bounded labels, one catalog?"""

from __future__ import annotations

import re

import pytest

from builders.fleet import Crowd, crowd
from builders.job import NOW
from support.series import families_of
from trainyard.engine.fleet import freeze
from trainyard.telemetry.catalog import CATALOG, Kind, Metric
from trainyard.telemetry.endpoint import Endpoint, Subject
from trainyard.telemetry.fleet_text import FleetText, Limits
from trainyard.telemetry.metrics import Metrics
from trainyard.telemetry.reference import render_metrics_reference, unit_of

IDS = [metric.name for metric in CATALOG]
FREE = {"namespace", "job_name", "pod", "uid", "node", "role", "index", "rank", "attempt", "priority_class", "resource"}
"""Labels whose values others choose: each bounds its metric by something that is counted."""
OTHERS_UNITS = ("_milliseconds", "_minutes", "_hours", "_percent", "_kilobytes", "_mib", "_millis")


@pytest.mark.parametrize("metric", CATALOG, ids=IDS)
def test_a_metric_keeps_the_rules(metric: Metric) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*[a-z0-9]", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert metric.meaning.endswith(".")
    assert not metric.name.endswith(OTHERS_UNITS)
    if re.search(r"seconds|age|duration|timestamp", metric.name):
        assert unit_of(metric) == "seconds", "the unit comes last"
    assert metric.name.endswith("_info") == metric.meaning.startswith("Always 1")
    assert len(set(metric.labels)) == len(metric.labels)
    assert not {"job", "instance", "le", "quantile"} & set(metric.labels), "names that Prometheus itself gives"


@pytest.mark.parametrize("metric", CATALOG, ids=IDS)
def test_a_free_label_has_a_bound_that_says_what_is_counted(metric: Metric) -> None:
    if FREE & set(metric.labels) - {"resource"}:
        assert re.search(r"--metrics-jobs|1,000 namespaces|200 namespaces|2,000 nodes", metric.bound)
    elif metric.labels and metric.bound != "1":
        assert re.search(r"\d|resources", metric.bound)
    else:
        assert metric.bound == "1"


@pytest.mark.parametrize("metric", [m for m in CATALOG if m.kind is Kind.HISTOGRAM], ids=lambda m: m.name)
def test_buckets_grow(metric: Metric) -> None:
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert 8 <= len(metric.buckets) <= 16


def test_names_are_unique() -> None:
    assert len(set(IDS)) == len(IDS)


@pytest.mark.parametrize("openmetrics", [False, True])
async def test_everything_that_is_told_stands_in_the_catalog(openmetrics: bool) -> None:
    store = crowd(Crowd(jobs=30, pods_each=3, nodes=40, namespaces=4))
    metrics = Metrics()
    endpoint = Endpoint(metrics, FleetText(Limits()), Subject(fleet=lambda: freeze(store, NOW, ())))
    answer = await endpoint.answer("application/openmetrics-text; version=1.0.0" if openmetrics else "", compress=False)
    text = answer.body.decode()
    families = families_of(text, openmetrics=openmetrics)
    catalog = {metric.full_name: metric for metric in CATALOG}
    told = set()
    for family in families:
        if family.name.startswith("process_"):
            continue
        metric = catalog.get(family.name) or catalog[f"{family.name}_total"]
        told.add(metric.full_name)
        assert (family.type, family.documentation) == (metric.kind.value, metric.meaning)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels), sample
    assert told == set(catalog), "and everything in the catalog is told"


def test_the_reference_lists_every_metric() -> None:
    page = render_metrics_reference()
    for metric in CATALOG:
        assert f"| `{metric.full_name}` | {metric.kind.value}" in page
