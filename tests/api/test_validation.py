"""Does the operator's own check say everything at once, and survive what never passed the schema?"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from api.builders import container, parsed, role, spec
from apiserver.crd.case_files import load
from trainyard.api.rules import RULES
from trainyard.api.types import Role
from trainyard.api.validation import InvalidSpec, Problem, parse_job_spec, read_job

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def problems(name: str, raw: dict[str, Any]) -> tuple[Problem, ...]:
    with pytest.raises(InvalidSpec) as refusal:
        read_job(name, raw)
    return refusal.value.problems


def test_all_that_is_wrong_is_said_at_once() -> None:
    found = problems("Bad", spec(role(completes=False, pod={"nodeName": "n"})))
    assert [p.path for p in found] == ["metadata.name", "spec.roles", "spec.roles[0].template.spec"]


def test_every_problem_says_how_to_mend_it() -> None:
    (found,) = problems("gpt", spec(role(pod={"restartPolicy": "Always"})))
    assert found.path == "spec.roles[0].template.spec.restartPolicy"
    assert str(found) == f"{found.path}: {found.what}; {found.mend}"


def test_whole_numbers_may_come_as_floats() -> None:
    assert parsed(role(replicas=8.0)).roles[0].replicas == 8


@pytest.mark.parametrize("value", [True, "8", 8.5, float("nan"), float("inf"), [8], {}], ids=str)
def test_what_is_no_whole_number_is_refused(value: Any) -> None:
    assert [p.path for p in problems("gpt", spec(role(replicas=value)))] == ["spec.roles[0].replicas"]


def test_models_are_frozen() -> None:
    only: Role = parsed().roles[0]
    with pytest.raises(ValidationError):
        only.replicas = 2  # type: ignore[misc]


@pytest.mark.parametrize("template", [{}, {"spec": None}, {"spec": []}, {"spec": {"containers": [1]}}], ids=str)
def test_a_template_that_never_passed_the_schema(template: Any) -> None:
    assert problems("gpt", spec({"name": "worker", "template": template}))


@given(JSON)
def test_any_spec_at_all_is_answered(raw: Any) -> None:
    with pytest.raises(InvalidSpec):
        parse_job_spec(raw)


PARTS = ("env", "envFrom", "resources", "volumeMounts", "restartPolicy", "image")


@given(
    st.dictionaries(st.sampled_from(PARTS), JSON), st.dictionaries(st.sampled_from(["volumes", "initContainers"]), JSON)
)
def test_any_template_at_all_is_answered(parts: dict[str, Any], pod: dict[str, Any]) -> None:
    """Judged one way or the other; nothing but InvalidSpec ever comes out."""
    try:
        read = read_job("gpt", spec(role("worker", {**container(), **parts}, pod=pod)))
    except InvalidSpec as refusal:
        assert refusal.problems
    else:
        assert read.roles[0].name == "worker"


def test_rule_ids_are_unique() -> None:
    ids = [rule.id for rule in RULES]
    assert len(ids) == len(set(ids))


def test_every_rule_is_broken_by_a_case() -> None:
    said = "\n".join(text for case in load("bad") for _, text in case.said)
    found: set[str] = set()
    for case in load("bad"):
        if case.judged_by_operator:
            refusal = problems(case.job["metadata"]["name"], case.job.get("spec", {}))
            found |= {p.what for p in refusal}
    unbroken = [
        rule.id
        for rule in RULES
        if (rule.what not in said and rule.holds is None)
        or (rule.holds is not None and not rule.say and rule.what not in found)
    ]
    assert unbroken == []
