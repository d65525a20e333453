"""The kinds of values that settings take, and how they are written: spans of time, lists, labels, levels, selectors.

Each reader says what it expected and how to write it. It must not know where the text came from.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LABEL_KEY = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
LEVEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


def read_span(value: object) -> float:
    """Seconds of `90`, `90s`, `1m30s`, `1h`."""
    seconds = _plain_number(value)
    if seconds is None and isinstance(value, str):
        text = value.replace(" ", "")
        parts = _SPAN.findall(text)
        if parts and "".join(number + unit for number, unit in parts) == text:
            seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        raise ValueError("is not a span of time; write seconds (90) or a span such as 90s, 1m30s, 1h")
    return seconds


def write_span(seconds: float) -> str:
    """The shortest text that `read_span` reads back."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:g}{unit}"
    return f"{seconds:g}s"


def read_list(value: object) -> tuple[str, ...]:
    """`a,b`, or a list in a file."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise ValueError("is not a list of texts; write a,b")
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def read_label_keys(value: object) -> tuple[str, ...]:
    """Names of labels, annotations or resources."""
    keys = read_list(value)
    for key in keys:
        if not LABEL_KEY.fullmatch(key):
            raise ValueError(f"{key!r} is not a name as labels and resources have; write team,example.com/cost-centre")
    return keys


def read_selector(value: object) -> tuple[tuple[str, str], ...]:
    """`key=value,key2=value2`, or a mapping in a file."""
    pairs = _read_pairs(value, "is not a list of labels; write key=value,other=value")
    for key, text in pairs:
        if not LABEL_KEY.fullmatch(key) or not LABEL_VALUE.fullmatch(text):
            raise ValueError(f"{key}={text} is not a label that a node can carry; write key=value,other=value")
    return pairs


def read_levels(value: object) -> tuple[tuple[str, str], ...]:
    """`rack=example.com/rack,host=kubernetes.io/hostname`, widest first, or a mapping in a file."""
    pairs = _read_pairs(value, "is not a list of levels; write rack=example.com/rack,host=kubernetes.io/hostname")
    for level, label in pairs:
        if not LEVEL.fullmatch(level) or not LABEL_KEY.fullmatch(label):
            raise ValueError(
                f"{level}={label} is not a level and its node label; "
                "write the widest level first: rack=example.com/rack,host=kubernetes.io/hostname"
            )
    if len({level for level, _ in pairs}) < len(pairs) or len({label for _, label in pairs}) < len(pairs):
        raise ValueError("names a level or a label twice; each level has one label of its own")
    return pairs


def read_ports(value: object) -> tuple[int, int]:
    """`20000-28999`, or two numbers in a file's list."""
    parts = value.split("-") if isinstance(value, str) else value
    try:
        first, last = (int(part) for part in parts)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise ValueError("is not a range of ports; write 20000-28999") from None
    if not 1024 <= first <= last <= 65535:
        raise ValueError("is not a range of ports between 1024 and 65535; write the lower first: 20000-28999")
    return first, last


def write_ports(ports: tuple[int, int]) -> str:
    """The text that `read_ports` reads back."""
    return f"{ports[0]}-{ports[1]}"


def write_pairs(pairs: tuple[tuple[str, str], ...]) -> str:
    """The text that `read_selector` and `read_levels` read back."""
    return ",".join(f"{key}={value}" for key, value in pairs)


def _read_pairs(value: object, complaint: str) -> tuple[tuple[str, str], ...]:
    if isinstance(value, Mapping):
        for key, text in value.items():
            if not isinstance(text, str):  # YAML's own reading of true, 1.10 or 007 is not what was written
                raise ValueError(f"has the value {text!r} for {key}, which is no text; put it in quotes")
        parts = [(str(key), text) for key, text in value.items()]
    elif isinstance(value, str):
        if any("=" not in part for part in value.split(",") if part.strip()):
            raise ValueError(complaint)
        parts = [(part.partition("=")[0], part.partition("=")[2]) for part in value.split(",") if part.strip()]
    elif isinstance(value, list | tuple) and all(isinstance(p, list | tuple) and len(p) == 2 for p in value):
        parts = [(str(key), str(text)) for key, text in value]
    else:
        raise ValueError(complaint)
    return tuple((key.strip(), text.strip()) for key, text in parts)


def _plain_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


Span = Annotated[float, BeforeValidator(read_span)]
Names = Annotated[tuple[str, ...], BeforeValidator(read_list)]
LabelKeys = Annotated[tuple[str, ...], BeforeValidator(read_label_keys)]
Selector = Annotated[tuple[tuple[str, str], ...], BeforeValidator(read_selector)]
Ports = Annotated[tuple[int, int], BeforeValidator(read_ports)]
Levels = Annotated[tuple[tuple[str, str], ...], BeforeValidator(read_levels)]
