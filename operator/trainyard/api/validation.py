"""Whether a job is sound, asked a second time when the operator reads it. Pure.

The schema and the CEL rules of the CRD refuse a bad spec at apply. What was stored under an older CRD, or past its
rules, is judged here by the same models and the same table (`rules.py`), in the same words.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from trainyard.api.rule import dig
from trainyard.api.rules import broken
from trainyard.api.types import JobSpec


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what, and how it is mended."""

    path: str
    what: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.what}" + (f"; {self.mend}" if self.mend else "")


class InvalidSpec(ValueError):
    """The job is unsound; `problems` says what to mend, `str()` all of it in one line."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(". ".join(map(str, problems)))
        self.problems = problems


def read_job(name: str, raw: Mapping[str, Any]) -> JobSpec:
    """Parse and judge in one go: the operator's entry for every job that it reads. Raises InvalidSpec."""
    spec = parse_job_spec(raw)
    validate_job(name, spec)
    return spec


def parse_job_spec(raw: Mapping[str, Any]) -> JobSpec:
    """Read a spec as the API server stores it. Raises InvalidSpec for what the schema refuses."""
    try:
        spec = JobSpec.model_validate(raw)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise InvalidSpec(tuple(_translate(detail) for detail in details if not _echoes(detail))) from None
    if problems := tuple(_shape(spec)):
        raise InvalidSpec(problems)
    return spec


def validate_job(name: str, spec: JobSpec) -> None:
    """Judge a parsed spec by the rules, and the job's name with it. Raises InvalidSpec with everything that is
    wrong."""
    stored = {"metadata": {"name": name}, "spec": spec.model_dump(mode="json", by_alias=True, exclude_none=True)}
    try:
        problems = tuple(Problem(*found) for found in broken(stored))
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        # Only a template that never passed the schema can break a rule's own reading of it.
        raise InvalidSpec((Problem("spec.roles", f"a template is malformed ({error!r})", "apply it again"),)) from None
    if problems:
        raise InvalidSpec(problems)


def _shape(spec: JobSpec) -> Iterator[Problem]:
    """What the schema promises about lists and templates, and the models do not."""
    yield from _twice("spec.roles", [role.name for role in spec.roles])
    for index, role in enumerate(spec.roles):
        path = f"spec.roles[{index}].template.spec"
        pod = role.template.get("spec")
        if not isinstance(pod, Mapping) or not pod.get("containers"):
            yield Problem(f"{path}.containers", "Required value", "a template needs at least one container")
            continue
        for kind in ("containers", "initContainers"):
            containers = pod.get(kind) or ()
            if isinstance(containers, Sequence) and all(
                dig(c, "name") and isinstance(c["name"], str) for c in containers
            ):
                yield from _twice(f"{path}.{kind}", [c["name"] for c in containers])
            else:
                yield Problem(f"{path}.{kind}", "Required value", "every container needs a name")


def _twice(path: str, names: list[str]) -> Iterator[Problem]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Problem(f"{path}[{index}]", f'Duplicate value: {{"name":"{name}"}}', "names are unique: rename one")


_WORDS = {
    "missing": "Required value",
    "extra_forbidden": "unknown field",
    "greater_than_equal": "{path} in body should be greater than or equal to {ge}",
    "less_than_equal": "{path} in body should be less than or equal to {le}",
    "string_too_long": "Too long: may not be more than {max_length} bytes",
    "string_too_short": "{path} in body should be at least {min_length} chars long",
    "too_long": "Too many: {actual_length}: must have at most {max_length} items",
    "too_short": "{path} in body should have at least {min_length} items",
    "enum": "Unsupported value: {input}: supported values: {expected}",
    "int_type": "{path} in body must be of type integer",
    "bool_type": "{path} in body must be of type boolean",
    "string_type": "{path} in body must be of type string",
    "dict_type": "{path} in body must be of type object",
    "model_type": "{path} in body must be of type object",
    "tuple_type": "{path} in body must be of type array",
}
"""pydantic's kinds of error in the API server's words, so that people meet one text for one mistake."""


def _echoes(detail: ErrorDetails) -> bool:
    """pydantic calls a list too short when its elements are bad; those have been named already."""
    return detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]


def _translate(detail: ErrorDetails) -> Problem:
    path = "spec"
    for part in detail["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    words = _WORDS.get(detail["type"])
    if words is None:
        return Problem(path, detail["msg"])
    return Problem(path, words.format(path=path, input=detail["input"], **detail.get("ctx", {})))
