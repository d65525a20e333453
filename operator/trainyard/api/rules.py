"""The one table of rules that no schema can say, and the walk that judges a job by it. Pure.

`crdgen` writes their CEL into the CRD; `validation` asks their Python again. Both say the same words.
"""

from collections.abc import Iterator
from typing import Any

from trainyard.api.rule import Json, Rule
from trainyard.api.rules_job import JOB_RULES
from trainyard.api.rules_template import TEMPLATE_RULES
from trainyard.api.rules_update import UPDATE_RULES

RULES: tuple[Rule, ...] = (*JOB_RULES, *TEMPLATE_RULES, *UPDATE_RULES)


def broken(job: Json) -> Iterator[tuple[str, str, str]]:
    """Everything that a stored job (with its defaults) breaks, as (path, what is wrong, how to mend it)."""
    for rule in RULES:
        if rule.holds is None:
            continue
        for place in rule.at:
            for path, value in _places(job, place):
                if not rule.holds(value):
                    yield _join(path, rule.field), rule.say(value) if rule.say else rule.what, rule.mend


def _join(*parts: str) -> str:
    return ".".join(part for part in parts if part)


def _places(value: Any, place: str, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value at a place, with its own path: `[]` stands for each element of a list."""
    if not place:
        yield path, value
        return
    key, _, rest = place.partition(".")
    name = key.removesuffix("[]")
    if name not in value:
        return
    if name == key:
        yield from _places(value[name], rest, _join(path, name))
        return
    for index, element in enumerate(value[name]):
        yield from _places(element, rest, f"{_join(path, name)}[{index}]")
