"""Reads values.yaml with its comments: each value's path, default, meaning and limits. It writes nothing.

A value is a mapping's key with a `# --` comment right above it. What lies below such a key is its default.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

MEANING, LIMITS, HEADING = "# --", "# @schema", "## "


@dataclass(frozen=True, slots=True)
class Value:
    """One thing that a user may set."""

    path: tuple[str, ...]
    default: Any
    meaning: str
    limits: dict[str, Any]
    heading: str

    @property
    def name(self) -> str:
        return ".".join(self.path)


def read(text: str) -> list[Value]:
    """All values in the order of the file. Raises ValueError for one that is not explained."""
    lines = text.splitlines()
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("values.yaml holds no mapping")
    return list(_values(root, (), lines))


def _values(node: yaml.MappingNode, above: tuple[str, ...], lines: list[str]) -> Iterator[Value]:
    for key, content in node.value:
        path = (*above, str(key.value))
        comment = _comment_above(lines, key.start_mark.line)
        if comment:
            meaning, limits = _parsed(comment)
            yield Value(path, _plain(content), meaning, limits, _heading_above(lines, key.start_mark.line))
        elif isinstance(content, yaml.MappingNode) and content.value:
            yield from _values(content, path, lines)
        else:
            raise ValueError(f"values.yaml: {'.'.join(path)} has no `{MEANING}` comment")


def _comment_above(lines: list[str], line: int) -> list[str]:
    """The comment lines right above a key that begin with a marker."""
    first = line
    while first > 0 and lines[first - 1].strip().startswith("#"):
        first -= 1
    found = [text.strip() for text in lines[first:line]]
    starts = [number for number, text in enumerate(found) if text.startswith((MEANING, LIMITS))]
    return found[starts[0] :] if starts else []


def _parsed(comment: list[str]) -> tuple[str, dict[str, Any]]:
    limits: dict[str, Any] = {}
    words: list[str] = []
    for line in comment:
        if line.startswith(LIMITS):
            limits |= yaml.safe_load(line.removeprefix(LIMITS))
        else:
            words.append(line.removeprefix(MEANING).removeprefix("#").strip())
    return " ".join(words), limits


def _heading_above(lines: list[str], line: int) -> str:
    headings = [text.removeprefix(HEADING) for text in lines[:line] if text.startswith(HEADING)]
    return headings[-1] if headings else ""


def _plain(node: yaml.Node) -> Any:
    return yaml.SafeLoader("").construct_object(node, deep=True)
