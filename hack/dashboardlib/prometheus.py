"""Asks a Prometheus for what a panel would ask it for. It fills in Grafana's variables and judges nothing."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its labels, and its points in the order of time."""

    labels: Mapping[str, str]
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """What Grafana knows when it asks: the time shown, the step, how often targets are scraped, the choices made."""

    start: float
    end: float
    step: float
    scrape: float
    choices: Mapping[str, str]

    def fill(self, expr: str) -> str:
        """An expression as Grafana would send it."""
        spans = {
            "$__rate_interval": max(4 * self.scrape, self.step + self.scrape),
            "$__interval": max(self.step, self.scrape),
            "$__range": self.end - self.start,
        }
        for name, seconds in spans.items():
            expr = expr.replace(name, f"{max(1, round(seconds))}s")
        for name, value in self.choices.items():
            expr = expr.replace(f"${name}", value)
        return expr


class Api:
    """The HTTP API of one Prometheus."""

    def __init__(self, url: str) -> None:
        self._url = url

    def range(self, expr: str, window: Window) -> list[Series]:
        """The series of an expression over the window."""
        asked = {"query": window.fill(expr), "start": window.start, "end": window.end, "step": window.step}
        return [_series(one["metric"], one["values"]) for one in self._get("query_range", asked)["result"]]

    def instant(self, expr: str, window: Window) -> list[Series]:
        """The series of an expression at the window's end."""
        found = self._get("query", {"query": window.fill(expr), "time": window.end})
        if found["resultType"] == "scalar":
            return [_series({}, [found["result"]])]
        return [_series(one["metric"], [one["value"]]) for one in found["result"]]

    def value(self, expr: str) -> float:
        """The one number that an expression is now; 0 where it is nothing."""
        found = self._get("query", {"query": expr})["result"]
        return float(found[0]["value"][1]) if found else 0.0

    def alerts(self) -> list[dict[str, Any]]:
        """Alerts that are pending or firing."""
        alerts: list[dict[str, Any]] = self._get("alerts", {})["alerts"]
        return alerts

    def targets(self) -> list[dict[str, Any]]:
        """What is scraped, and how that goes."""
        targets: list[dict[str, Any]] = self._get("targets", {})["activeTargets"]
        return targets

    def _get(self, path: str, asked: Mapping[str, object]) -> dict[str, Any]:
        body = urllib.parse.urlencode(asked).encode() or None
        url = f"{self._url}/api/v1/{path}"
        try:
            with urllib.request.urlopen(url, data=body, timeout=60) as answer:
                told = json.load(answer)
        except urllib.error.HTTPError as refused:
            raise ValueError(f"{asked.get('query', path)}: {refused.read().decode()}") from refused
        data: dict[str, Any] = told["data"]
        return data


def _series(labels: Mapping[str, str], points: list[list[Any]]) -> Series:
    return Series(labels, tuple((float(at), float(value)) for at, value in points))
