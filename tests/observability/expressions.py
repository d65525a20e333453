"""What PromQL expressions are made of: which series they read, with which labels. It evaluates nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from trainyard.telemetry.catalog import CATALOG, Kind, Metric

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "charts" / "trainyard" / "rules"
DASHBOARDS = ROOT / "charts" / "trainyard" / "dashboards"

EXTERNAL = {
    "DCGM_FI_DEV_GPU_UTIL": "dcgm-exporter",
    "DCGM_FI_DEV_FB_USED": "dcgm-exporter",
    "DCGM_FI_DEV_XID_ERRORS": "dcgm-exporter",
    "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": "dcgm-exporter",
}
"""Series that other exporters tell, and which."""
LIBRARY = ("process_cpu_seconds_total", "process_resident_memory_bytes")
"""Series that the operator tells by prometheus_client's own collectors."""
TARGET = {"job", "instance", "namespace", "pod"}
"""Labels that scraping adds."""
GRAFANA = {"$__rate_interval": "5m", "$__interval": "1m", "$__range": "1h"}


@dataclass(frozen=True, slots=True)
class Selector:
    """One series selector: its name and the labels that it matches on."""

    name: str
    labels: frozenset[str]


def selectors(expr: str) -> list[Selector]:
    """Every series that an expression reads; raises where it is no PromQL."""
    found: list[Selector] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(Selector(str(node.name), frozenset(m.name for m in node.matchers.matchers)))
        elif isinstance(node, promql_parser.MatrixSelector):
            visit(node.vector_selector)

    promql_parser.walk(promql_parser.parse(plain(expr)), visit)
    return found


def plain(expr: str) -> str:
    """The expression with Grafana's own variables filled in; others stand within quotes and may stay."""
    for name, value in GRAFANA.items():
        expr = expr.replace(name, value)
    return expr


def known() -> dict[str, Metric]:
    """Every series name of the operator's own metrics."""
    names: dict[str, Metric] = {}
    for metric in CATALOG:
        endings = ("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",)
        names |= {metric.full_name + ending: metric for ending in endings}
    return names


def rules() -> Iterator[dict[str, Any]]:
    """Every rule of the chart."""
    for path in sorted(RULES.glob("*.yaml")):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            yield from group["rules"]


def alerts() -> dict[str, dict[str, Any]]:
    """The alerts by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def records() -> set[str]:
    """The names of recorded series."""
    return {rule["record"] for rule in rules() if "record" in rule}


def wrong(expr: str, recorded: set[str]) -> list[str]:
    """Series that nobody tells, and labels that they do not have."""
    ours, found = known(), []
    for selector in selectors(expr):
        if selector.name in EXTERNAL or selector.name in LIBRARY or selector.name in recorded:
            continue
        metric = ours.get(selector.name)
        if metric is None:
            found.append(f"{selector.name} is nobody's metric")
        elif extra := selector.labels - set(metric.labels) - TARGET - {"le"}:
            found.append(f"{selector.name} has no label {', '.join(sorted(extra))}")
    return found


def labels_in(template: str) -> set[str]:
    """Labels that an annotation refers to."""
    return set(re.findall(r"\$labels\.(\w+)", template))
