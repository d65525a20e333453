"""What a rule is: one judgement, said once as CEL for the API server and once in Python for the operator.

Both see the same thing: the stored JSON with its defaults, at the place where the rule is attached.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trainyard.api.hashing import ATTEMPT_FIELDS

Json = Mapping[str, Any]

CONTAINER_NAMES = "roles.map(r, r.template.spec.containers.map(c, c.name))"
"""CEL over a spec: who stands where in each role's pod."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule over the value at each of its places (`self` in CEL)."""

    id: str
    at: tuple[str, ...]
    """Places, as paths from the object's root: `spec.roles[].template.spec`; the root itself is empty."""
    cel: str
    what: str
    """What is wrong. Names the field in full where the place does not."""
    mend: str
    """What to write instead."""
    holds: Callable[[Any], bool] | None
    """The same judgement in Python. None: the rule compares with the old object, which only the API server sees."""
    field: str = ""
    """Path from the place to the field at fault, where that is a single one."""
    what_cel: str = ""
    """CEL for `what` with the numbers of the case filled in; `say` is its Python."""
    say: Callable[[Any], str] | None = None

    @property
    def message(self) -> str:
        """The text without the case's own numbers."""
        return f"{self.what}; {self.mend}"

    def manifest(self, place: str) -> dict[str, str | bool]:
        """The entry of `x-kubernetes-validations` at one of its places.

        At the root and at the spec every change of the spec brings the rule up again. A job that was stored before the
        rule came could then not be suspended, and so not be mended, because roles change only while suspended. Hence
        the entry there lets two kinds of writes past: see `_past`.
        """
        entry: dict[str, str | bool] = {"rule": self.cel, "message": self.message}
        if self.holds is not None and place in ("", "spec"):
            entry["rule"] = f"({self.cel}) || oldSelf.optMap(old, {self._past(place)}).orValue(false)"
            entry["optionalOldSelf"] = True
        if self.what_cel:
            entry["messageExpression"] = f"{self.what_cel} + {quote('; ' + self.mend)}"
        if self.field:
            entry["fieldPath"] = "." + self.field
        return entry

    def _past(self, place: str) -> str:
        """CEL over `self` and `old`: the write is let past though the rule does not hold.

        * The spec is unchanged: a status, a label, a finalizer. The API server spares unchanged values by itself, but
          never in a rule that names the old object, and at the root no value is unchanged. Lists with keys are equal in
          any order, so that of the containers is compared where the first may be the trainer by its place alone.
        * The write suspends the job. What shapes an attempt cannot change in it (`rules_update`), so the fault is the
          old one. A field that may change at any time is compared here.
        """
        spec, old = ("self", "old") if place else ("self.spec", "old.spec")
        suspends = f"{spec}.suspend && !{old}.suspend"
        if place and self.field.partition(".")[0] not in ATTEMPT_FIELDS:
            suspends += f" && {spec}.{self.field} == {old}.{self.field}"
        same = f"{spec} == {old}"
        if place and self.field == "roles":
            same += f" && {spec}.{CONTAINER_NAMES} == {old}.{CONTAINER_NAMES}"
        return f"{same} || {suspends}"


def role_rule(
    id: str, *, cel: str, what: str, mend: str, holds: Callable[[Json, Json], bool], need: str = "true"
) -> Rule:
    """A rule over each role `r` together with its job's spec `self`; its message names the first role that breaks it.

    `need` narrows it to specs that it concerns, so that CEL stops early.
    """
    each = f"self.roles.all(r, {cel})"

    def first(spec: Json) -> str:
        return next(str(role["name"]) for role in spec["roles"] if not holds(spec, role))

    return Rule(
        id=id,
        at=("spec",),
        field="roles",
        cel=each if need == "true" else f"!({need}) || {each}",
        what=what,
        mend=mend,
        holds=lambda spec: all(holds(spec, role) for role in spec["roles"]),
        what_cel=f"'role ' + {first_role('self.roles', cel)} + {quote(': ' + what)}",
        say=lambda spec: f"role {first(spec)}: {what}",
    )


def first_role(roles: str, holds: str) -> str:
    """CEL: the name of the first role `r` for which `holds` is false. Filtering names is cheap, filtering roles is
    not."""
    return f"{roles}.map(r, {holds} ? '' : r.name).filter(n, n != '')[0]"


def quote(text: str) -> str:
    """A CEL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def matching(expression: str, pattern: str) -> str:
    """CEL: the whole of `expression` matches the pattern (which has no anchors)."""
    return f"{expression}.matches({quote(f'^({pattern})$')})"


def fits(pattern: str, text: object) -> bool:
    """Python: the whole text matches the pattern."""
    return re.fullmatch(pattern, str(text)) is not None


def dig(value: Any, *keys: str) -> Any:
    """The value under nested keys, None where any is absent."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
