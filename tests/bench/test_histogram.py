"""Does the bench reckon quantiles as Prometheus does?"""

from __future__ import annotations

import pytest

from benchlib.histogram import buckets, quantile

BEFORE = """
wait_seconds_bucket{le="0.1"} 5
wait_seconds_bucket{le="1.0"} 5
wait_seconds_bucket{le="+Inf"} 5
"""
AFTER = """
wait_seconds_bucket{le="0.1"} 55
wait_seconds_bucket{le="1.0"} 95
wait_seconds_bucket{le="+Inf"} 105
other_wait_seconds_bucket{le="0.1"} 7
"""


@pytest.mark.parametrize(("share", "seconds"), [(0.25, 0.05), (0.5, 0.1), (0.7, 0.55), (0.9, 1.0), (0.99, 1.0)])
def test_a_quantile_of_what_happened_in_between(share: float, seconds: float) -> None:
    before, after = buckets(BEFORE, "wait_seconds"), buckets(AFTER, "wait_seconds")
    assert quantile(share, after, before) == pytest.approx(seconds)


def test_nothing_happened() -> None:
    after = buckets(AFTER, "wait_seconds")
    assert quantile(0.99, after, after) == quantile(0.5, {}, {}) == 0.0
