"""Whether a spec is sound, asked a second time when the operator reads it. Pure.

The schema and the CEL rules of the CRD refuse a bad spec at apply. What was stored under an older CRD, or under none of its
rules, is judged here by the same table (`rules.py`) with the same words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from trainyard.api.types import JobSpec


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, where, and how it is mended."""

    path: str
    what: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.what}" + (f"; {self.mend}" if self.mend else "")


class InvalidSpec(ValueError):
    """The spec is unsound; `problems` says what to mend, `str()` all of it in one line."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(". ".join(map(str, problems)))
        self.problems = problems


def parse_job_spec(raw: Mapping[str, Any]) -> JobSpec:
    """Read a spec as the API server stores it. Raises InvalidSpec for anything the schema refuses."""
    try:
        return JobSpec.model_validate(raw)
    except ValidationError as error:
        raise InvalidSpec(tuple(_problem(detail) for detail in error.errors(include_url=False))) from None


def validate_job(name: str, spec: JobSpec) -> None:
    """Judge a parsed spec, and the job's name with it. Raises InvalidSpec with everything that is wrong."""


def read_job(name: str, raw: Mapping[str, Any]) -> JobSpec:
    """Parse and judge in one go: the operator's entry for every job that it reads."""
    spec = parse_job_spec(raw)
    validate_job(name, spec)
    return spec


def _problem(detail: ErrorDetails) -> Problem:
    path = "spec"
    for part in detail["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return Problem(path, detail["msg"])
