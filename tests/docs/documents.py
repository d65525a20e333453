"""Reads the project's documents: fenced blocks, code spans, headings, links. It parses and judges nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^\s*(```+|~~~+)\s*([\w-]*)\s*$")
_SPAN = re.compile(r"(`+)(.+?)\1(?!`)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$")
_FOREIGN = re.compile(r"^[a-z]+:|^//")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: where it begins, what it says it is, what it holds."""

    line: int
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """One Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def blocks(self) -> list[Block]:
        """Its fenced blocks."""
        return [block for block, _ in self._parts() if block is not None]

    def prose(self) -> list[tuple[int, str]]:
        """Its lines outside of fenced blocks, numbered from 1."""
        return [line for _, line in self._parts() if line is not None]

    def spans(self) -> list[tuple[int, str]]:
        """What stands between backticks in the prose; a table's escaped bars are bars."""
        return [
            (number, found[2].strip().replace("\\|", "|"))
            for number, line in self.prose()
            for found in _SPAN.finditer(line)
        ]

    def commands(self) -> list[tuple[int, str]]:
        """Everything that a reader may type: spans, and the lines of blocks that hold no configuration."""
        typed = [
            (block.line + offset, line.strip().removeprefix("$ "))
            for block in self.blocks()
            if block.language in ("", "console", "bash", "sh")
            for offset, line in enumerate(block.text.splitlines(), 1)
        ]
        return [*self.spans(), *typed]

    def links(self) -> list[tuple[int, str, str]]:
        """Line, path and anchor of each link that does not leave the project."""
        found = []
        for number, line in self.prose():
            for match in _LINK.finditer(_SPAN.sub("", line)):
                if not _FOREIGN.match(match[1]):
                    path, _, anchor = match[1].partition("#")
                    found.append((number, path, anchor))
        return found

    def anchors(self) -> set[str]:
        """What a link to one of its headings may say."""
        headings = [match[1] for _, line in self.prose() if (match := _HEADING.match(line))]
        return {slug(heading) for heading in headings}

    def _parts(self) -> Iterator[tuple[Block | None, tuple[int, str] | None]]:
        fence, start, language = "", 0, ""
        held: list[str] = []
        for number, line in enumerate(self.text.splitlines(), 1):
            match = _FENCE.match(line)
            if not fence and match:
                fence, start, language, held = match[1], number, match[2], []
            elif fence and match and match[1].startswith(fence) and not match[2]:
                yield Block(start, language, "\n".join(held)), None
                fence = ""
            elif fence:
                held.append(line)
            else:
                yield None, (number, line)
        assert not fence, f"{self.name}:{start}: the block is never closed"


def slug(heading: str) -> str:
    """A heading's anchor, as Git hosts make it."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def all_documents() -> list[Document]:
    """The pages of the project."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return [Document(page) for page in sorted(pages)]
