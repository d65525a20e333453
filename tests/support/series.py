"""Series as a test asks for them: by name and labels, from text that a scrape would have got."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

Labels = dict[str, str]


def families_of(text: str, *, openmetrics: bool = False) -> list[Metric]:
    """As a strict reader of either format understands it."""
    parse: Callable[[str], Iterable[Metric]] = parse_openmetrics if openmetrics else parse_text
    return list(parse(text))


class Scrape:
    """One answer of `/metrics`."""

    def __init__(self, text: str) -> None:
        self._samples: dict[str, list[tuple[Labels, float]]] = {}
        for family in families_of(text):
            for sample in family.samples:
                self._samples.setdefault(sample.name, []).append((sample.labels, sample.value))

    def all(self, name: str, **labels: str) -> list[tuple[Labels, float]]:
        """Every series of this name that has these labels among its own."""
        found = self._samples.get(f"trainyard_{name}", [])
        return [(have, value) for have, value in found if labels.items() <= have.items()]

    def value(self, name: str, **labels: str) -> float | None:
        """Of the one series that has these labels; None where there is none."""
        found = self.all(name, **labels)
        assert len(found) <= 1, found
        return found[0][1] if found else None

    def total(self, name: str, **labels: str) -> float:
        return sum(value for _, value in self.all(name, **labels))

    def by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """Value by one label."""
        return {have[label]: value for have, value in self.all(name, **labels)}

    def names(self, values: Iterable[str] = ()) -> set[str]:
        """Names of the series in which one of these label values stands; of all without any."""
        wanted = set(values)
        return {
            name
            for name, samples in self._samples.items()
            if not wanted or any(wanted & set(labels.values()) for labels, _ in samples)
        }
