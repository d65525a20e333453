"""Kubernetes quantities and vectors of resources: parsing, adding, comparing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from trainyard.model.views import Resources

_SUFFIXES: Mapping[str, Decimal] = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}

_LARGEST = Decimal(2**63 - 1)
_DIGITS = 19
"""As many the largest has."""


@lru_cache(maxsize=4096)
def parse_quantity(text: str | int | float) -> Decimal:
    """Value of a quantity (`100m`, `1Gi`, `2e3`, 5), cut off where Kubernetes says that quantities end. Raises
    ValueError on anything else.

    Anybody's pod is read, and an API server takes `1e999999`: as a whole number that has a million digits.
    """
    body = str(text).strip()
    suffix = ""
    for length in (2, 1):
        tail = body[-length:]
        if len(body) > length and tail in _SUFFIXES and not tail[0].isdigit():
            body, suffix = body[:-length], tail
            break
    try:
        value = Decimal(body)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a quantity") from None
    if not value.is_finite():
        raise ValueError(f"{text!r} is not a finite quantity")
    if value.adjusted() >= _DIGITS:  # before anything is reckoned with it
        return _LARGEST.copy_sign(value)
    return max(-_LARGEST, min(_LARGEST, value * _SUFFIXES[suffix]))


@lru_cache(maxsize=4096)
def amount(name: str, text: str | int | float) -> int:
    """A quantity as this package counts: thousandths for `cpu`, whole base units otherwise; rounded up."""
    value = parse_quantity(text) * (1000 if name == "cpu" or name.endswith(".cpu") else 1)
    return int(value.to_integral_value(rounding="ROUND_CEILING"))


def resources(raw: Mapping[str, str | int] | None) -> Resources:
    """A raw map of quantities as a sorted vector."""
    return tuple(sorted((name, amount(name, text)) for name, text in (raw or {}).items()))


def add(*vectors: Iterable[tuple[str, int]]) -> Resources:
    """Sum by resource name."""
    total: dict[str, int] = {}
    for vector in vectors:
        for name, value in vector:
            total[name] = total.get(name, 0) + value
    return tuple(sorted(total.items()))


def maximum(*vectors: Iterable[tuple[str, int]]) -> Resources:
    """Largest amount by resource name."""
    top: dict[str, int] = {}
    for vector in vectors:
        for name, value in vector:
            top[name] = max(top.get(name, 0), value)
    return tuple(sorted(top.items()))


def scale(vector: Resources, factor: int) -> Resources:
    return tuple((name, value * factor) for name, value in vector)


def format_amount(name: str, value: int) -> str:
    """An amount for people: cores for cpu, the largest fitting binary unit for sizes, else a plain number."""
    if name == "cpu" or name.endswith(".cpu"):
        return f"{value / 1000:g}"
    if "memory" in name or "storage" in name:
        for unit in ("Ti", "Gi", "Mi", "Ki"):
            size = int(_SUFFIXES[unit])
            if value >= size:
                return f"{value / size:.4g}{unit}"
    return str(value)
