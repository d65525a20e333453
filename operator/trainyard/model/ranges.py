"""Sets of small integers as short text (`0-4,7`), so that a status of 10,000 ranks stays bounded and readable."""

from __future__ import annotations

from collections.abc import Iterable


def format_ranges(numbers: Iterable[int]) -> str:
    """`{0,1,2,3,4,7}` → `0-4,7`; the empty set → the empty text."""
    parts: list[str] = []
    start = end = -2
    for n in sorted(set(numbers)):
        if n == end + 1:
            end = n
            continue
        if start >= 0:
            parts.append(_span(start, end))
        start = end = n
    if start >= 0:
        parts.append(_span(start, end))
    return ",".join(parts)


def parse_ranges(text: str) -> frozenset[int]:
    """Inverse of `format_ranges`. Raises ValueError on anything else."""
    numbers: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return frozenset(numbers)


def _span(start: int, end: int) -> str:
    return str(start) if start == end else f"{start}-{end}"
