"""Are instants, ranges and quantities read and written as the API server does?"""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.model.instants import format_instant, format_span, parse_instant
from trainyard.model.ranges import format_ranges, parse_ranges
from trainyard.model.resources import add, amount, format_amount, maximum, parse_quantity, resources, scale

SECONDS = st.integers(0, 4_102_444_800)
NUMBERS = st.frozensets(st.integers(0, 10_000), max_size=300)
VECTORS = st.dictionaries(st.sampled_from(["cpu", "memory", "nvidia.com/gpu", "pods"]), st.integers(0, 10**12)).map(
    lambda d: tuple(sorted(d.items()))
)


@given(SECONDS)
def test_instants_survive_the_wire(instant: int) -> None:
    assert parse_instant(format_instant(instant)) == instant


@pytest.mark.parametrize(
    "text, instant",
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("2026-01-02T03:04:05Z", 1767323045.0),
        ("2026-01-02T03:04:05.250000Z", 1767323045.25),
        ("2026-01-02T04:04:05+01:00", 1767323045.0),
    ],
)
def test_instants_in_every_form_of_the_server(text: str, instant: float) -> None:
    assert parse_instant(text) == instant


def test_fractions_are_dropped_as_the_server_would() -> None:
    assert format_instant(1767323045.99) == "2026-01-02T03:04:05Z"


def test_what_is_no_instant_is_refused() -> None:
    with pytest.raises(ValueError):
        parse_instant("yesterday")


@pytest.mark.parametrize(
    "seconds, text",
    [
        (-5, "0s"),
        (0, "0s"),
        (119.9, "119s"),
        (120, "2m"),
        (7199, "119m"),
        (7200, "2h"),
        (11100, "3h5m"),
        (172800, "2d"),
        (187200, "2d4h"),
    ],
)
def test_spans_for_people(seconds: float, text: str) -> None:
    assert format_span(seconds) == text


@given(NUMBERS)
def test_ranges_survive(numbers: frozenset[int]) -> None:
    assert parse_ranges(format_ranges(numbers)) == numbers


@given(NUMBERS)
def test_ranges_are_the_shortest_and_in_order(numbers: frozenset[int]) -> None:
    spans = [tuple(map(int, part.split("-"))) for part in format_ranges(numbers).split(",") if part]
    ends = [(span[0], span[-1]) for span in spans]
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(ends))


@pytest.mark.parametrize("numbers, text", [((), ""), ((3,), "3"), ((0, 1, 2, 3, 4, 7), "0-4,7"), ((7, 7, 6), "6-7")])
def test_ranges_as_shown(numbers: tuple[int, ...], text: str) -> None:
    assert format_ranges(numbers) == text


@pytest.mark.parametrize("text", ["a", "1-b", "1-2-3"])
def test_odd_ranges_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_ranges(text)


@pytest.mark.parametrize(
    "text, value",
    [
        (5, "5"),
        ("100m", "0.1"),
        ("1Gi", "1073741824"),
        ("1G", "1000000000"),
        ("2e3", "2000"),
        ("2E3", "2000"),
        ("1E", "1000000000000000000"),
        ("1.5Ki", "1536"),
        ("-1", "-1"),
        (" 7 ", "7"),
        ("3n", "3e-9"),
        (0.5, "0.5"),
    ],
)
def test_quantities(text: str | int, value: str) -> None:
    assert parse_quantity(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "Gi", "1KiB", "one", "1 000", "NaN", "Infinity", "1e400k0"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_quantity(text)


@pytest.mark.parametrize(
    "name, text, value",
    [
        ("cpu", "1", 1000),
        ("cpu", "100m", 100),
        ("cpu", "1u", 1),
        ("requests.cpu", "2", 2000),
        ("memory", "1Ki", 1024),
        ("memory", "100m", 1),
        ("nvidia.com/gpu", "8", 8),
    ],
)
def test_amounts_round_up(name: str, text: str, value: int) -> None:
    assert amount(name, text) == value


def test_vectors_are_sorted() -> None:
    assert resources({"memory": "1Ki", "cpu": 2}) == (("cpu", 2000), ("memory", 1024))
    assert resources(None) == ()


@given(VECTORS, VECTORS)
def test_sum_and_maximum_agree_by_name(a: tuple[tuple[str, int], ...], b: tuple[tuple[str, int], ...]) -> None:
    total, top = dict(add(a, b)), dict(maximum(a, b))
    left, right = dict(a), dict(b)
    assert total.keys() == top.keys() == left.keys() | right.keys()
    for name, value in total.items():
        assert value == left.get(name, 0) + right.get(name, 0)
        assert top[name] == max(left.get(name, 0), right.get(name, 0))


@given(VECTORS, st.integers(0, 100))
def test_scaling_is_repeated_adding(vector: tuple[tuple[str, int], ...], factor: int) -> None:
    assert scale(vector, factor) == tuple((n, sum([v] * factor)) for n, v in vector)


@pytest.mark.parametrize(
    "name, value, text",
    [
        ("cpu", 1500, "1.5"),
        ("memory", 2**30, "1Gi"),
        ("memory", 3 * 2**39, "1.5Ti"),
        ("ephemeral-storage", 512, "512"),
        ("nvidia.com/gpu", 8, "8"),
    ],
)
def test_amounts_for_people(name: str, value: int, text: str) -> None:
    assert format_amount(name, value) == text


@pytest.mark.parametrize("text", ["1e999999", "7e999998", "9" * 5000, "1e19", "100E", "16Ei", "9223372036854775808"])
def test_what_is_larger_than_any_quantity_may_be_is_cut_off_at_once(text: str) -> None:
    """Anybody may create such a pod. As a whole number the first would take half a minute, and stop everything."""
    assert amount("memory", text) == 2**63 - 1
    assert amount("memory", f"-{text}") == -(2**63 - 1)
    assert amount("cpu", text) == 1000 * (2**63 - 1)


@pytest.mark.parametrize(("text", "whole"), [("1e-999999", 1), ("9223372036854775807", 2**63 - 1), ("7Ei", 7 * 2**60)])
def test_what_is_just_within_is_what_it_is(text: str, whole: int) -> None:
    assert amount("memory", text) == whole


def test_an_exponent_beyond_all_numbers_is_no_quantity() -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        parse_quantity("1e9999999999999999999")
