"""Does text written line by line read back as what was meant, in both formats?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from support.series import families_of
from trainyard.telemetry.catalog import Group, Kind, Metric
from trainyard.telemetry.exposition import PIECE, end, family, instruments, labels, line

GAUGE = Metric(Group.JOB, Kind.GAUGE, "test_gauge", ("a", "b"), 'Says "what" it\\is.')
COUNTER = Metric(Group.JOB, Kind.COUNTER, "test_total", ("a",), "Counts.")


@pytest.mark.parametrize("openmetrics", [False, True])
@given(value=st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=20), number=st.floats(0, 1e12))
def test_any_label_value_comes_back(openmetrics: bool, value: str, number: float) -> None:
    pairs = labels(a=value, b="plain")
    text = "".join(family(GAUGE, [line(GAUGE, pairs, number)], openmetrics=openmetrics)) + end(openmetrics=openmetrics)
    (found,) = families_of(text, openmetrics=openmetrics)
    (sample,) = found.samples
    assert sample.labels == {"a": value, "b": "plain"}
    assert sample.value == number
    assert found.documentation == GAUGE.meaning


@pytest.mark.parametrize("openmetrics", [False, True])
def test_a_counter_is_named_as_each_format_wants_it(openmetrics: bool) -> None:
    text = "".join(family(COUNTER, [line(COUNTER, labels(a="x"), 3)], openmetrics=openmetrics))
    assert ("# TYPE trainyard_test counter" in text) == openmetrics
    assert 'trainyard_test_total{a="x"} 3\n' in text


def test_a_family_has_one_header_however_many_pieces() -> None:
    got = list(family(GAUGE, ["x\n"] * (3 * PIECE + 1), openmetrics=False))
    assert len(got) == 4
    assert [piece.count("# TYPE") for piece in got] == [1, 0, 0, 0]


@pytest.mark.parametrize("openmetrics", [False, True])
def test_instruments_in_pieces_are_what_they_are_in_one(openmetrics: bool) -> None:
    without_created: Callable[[], None] = disable_created_metrics  # of the whole process, as in the operator
    without_created()
    registry = CollectorRegistry()
    counter = Counter("trainyard_many_total", "Many.", ["n"], registry=registry)
    for number in range(3 * PIECE + 7):
        counter.labels(str(number)).inc(number)
    Gauge("trainyard_none", "Without a sample.", ["n"], registry=registry)
    Histogram("trainyard_spread_seconds", "Spread.", registry=registry).observe(0.3)
    encode = generate_openmetrics if openmetrics else generate_text
    whole = b"".join(instruments(registry, encode)) + end(openmetrics=openmetrics).encode()
    assert whole == encode(registry)


def test_a_family_without_samples_is_not_there() -> None:
    assert list(family(GAUGE, [], openmetrics=False)) == []
