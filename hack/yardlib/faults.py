"""The file by which a node's device plugin is told which devices broke: one `RESOURCE NUMBER` a line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def read(file: Path) -> set[tuple[str, int]]:
    """The broken devices."""
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return set()
    return {(resource, int(number)) for resource, number in (line.split(" ") for line in lines)}


def break_devices(file: Path, resource: str, numbers: Iterable[int]) -> None:
    """Adds devices to those that are broken."""
    broken = read(file) | {(resource, number) for number in numbers}
    fresh = file.with_suffix(".new")
    fresh.write_text("".join(f"{name} {number}\n" for name, number in sorted(broken)))
    fresh.replace(file)  # whole or not at all: the plugin reads it all the time


def heal(file: Path) -> None:
    """Nothing is broken any more."""
    file.unlink(missing_ok=True)
