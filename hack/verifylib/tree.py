"""Which files there are to check. It reads names and shebangs, and judges nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Skipped(Exception):
    """A check could not be made, for a reason outside of the project; it has neither failed nor passed."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A checkout. Files that git ignores are not part of it."""

    root: Path = ROOT

    def files(self, *folders: str) -> Iterator[Path]:
        """Tracked files, and those that could be, below these folders (all: none named)."""
        command = ["git", "-C", str(self.root), "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--"]
        listed = subprocess.run([*command, *folders], check=True, capture_output=True, text=True).stdout
        for name in sorted(set(listed.split("\0")) - {""}):
            path = self.root / name
            if path.is_file() and not path.is_symlink():
                yield path

    def python(self, *folders: str) -> list[Path]:
        """Python files, scripts without a suffix included."""
        return [path for path in self.files(*folders) if path.suffix == ".py" or _is_python_script(path)]

    def name(self, path: Path) -> str:
        return str(path.relative_to(self.root))


def _is_python_script(path: Path) -> bool:
    if path.suffix:
        return False
    with path.open("rb") as file:
        first = file.readline()
    return first.startswith(b"#!") and b"python" in first
