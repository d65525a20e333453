"""Quantiles of the operator's own histograms, between two scrapes, as Prometheus reckons them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

Buckets = Mapping[float, float]
"""Upper bound in seconds → how many were at most that, infinity for all."""


def buckets(text: str, name: str) -> dict[float, float]:
    """Of one histogram without labels, from the text of a scrape."""
    found = re.findall(rf'^{name}_bucket{{le="([^"]+)"}} (\S+)$', text, re.MULTILINE)
    return {float(bound): float(count) for bound, count in found}


def quantile(share: float, after: Buckets, before: Buckets) -> float:
    """Interpolated within its bucket; the highest bound where it lies beyond it; 0 where nothing happened."""
    counts = [(bound, after[bound] - before.get(bound, 0.0)) for bound in sorted(after)]
    total = counts[-1][1] if counts else 0.0
    if not total:
        return 0.0
    wanted, low, below = share * total, 0.0, 0.0
    for bound, count in counts:
        if count >= wanted:
            if math.isinf(bound):
                return low
            return low + (bound - low) * (wanted - below) / (count - below)
        low, below = bound, count
    return low
