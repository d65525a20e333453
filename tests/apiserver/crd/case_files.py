"""The manifests under `cases/`, read as data: what each holds, and what must be said about it.

A bad case begins with comment lines of `key: text`; every text must appear in the answer:

    field       path of the field at fault, said by the API server and by the operator
    message     what is wrong and how to mend it, said by both
    apiserver   said by the API server alone
    operator    said by the operator alone
    only        `apiserver`: the operator does not judge this case (a change, or the pod template's own schema)

One document is a creation; two are an object and its update.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CASES = Path(__file__).parent / "cases"


@dataclass(frozen=True, slots=True)
class Case:
    """One manifest file."""

    path: Path
    documents: tuple[dict[str, Any], ...]
    said: tuple[tuple[str, str], ...] = ()

    @property
    def job(self) -> dict[str, Any]:
        """The TrainingJob: the last document."""
        return self.documents[-1]

    @property
    def is_update(self) -> bool:
        return self.path.parent.name == "bad" and len(self.documents) == 2

    @property
    def judged_by_operator(self) -> bool:
        return ("only", "apiserver") not in self.said

    def expected(self, speaker: str) -> tuple[str, ...]:
        """What `apiserver` or `operator` must say."""
        fields = tuple(f"{text}:" for key, text in self.said if key == "field")
        return fields + tuple(text for key, text in self.said if key in ("message", speaker) and key != "only")


def load(kind: str) -> list[Case]:
    """All cases of a kind, `bad` or `good`."""
    return [_read(path) for path in sorted((CASES / kind).glob("*.yaml"))]


def _read(path: Path) -> Case:
    text = path.read_text(encoding="utf-8")
    documents = tuple(yaml.safe_load_all(text))
    if path.parent.name == "good":
        return Case(path, documents)
    header = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")]
    said = [line.partition(": ") for line in header]
    return Case(path, documents, tuple((key, what) for key, _, what in said))
