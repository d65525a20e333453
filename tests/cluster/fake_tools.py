"""Programs that only note how they were called, for tests of what would be called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FakeTools:
    """A folder of such programs and what they noted."""

    folder: Path

    def add(self, name: str, script: str = "") -> None:
        """A program that notes its words and then does what the shell script says."""
        tool = self.folder / name
        tool.write_text(f'#!/bin/sh\necho "{name} $*" >> "{self.folder}/calls"\n{script}\n')
        tool.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """Every call so far."""
        noted = self.folder / "calls"
        return noted.read_text().splitlines() if noted.exists() else []

    def called(self, beginning: str) -> list[str]:
        """The calls that begin so."""
        return [call for call in self.calls if call.startswith(beginning)]
