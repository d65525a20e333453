"""Do the operator's models and rules judge every case as the API server does, in the same words?"""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.crd.case_files import Case, load
from trainyard.api.types import JobSpec
from trainyard.api.validation import InvalidSpec, read_job


def name(case: Case) -> str:
    return case.path.stem


def read(job: dict[str, Any]) -> JobSpec:
    return read_job(job["metadata"]["name"], job.get("spec", {}))


def role_names(job: dict[str, Any]) -> list[str]:
    return [role["name"] for role in job["spec"]["roles"]]


@pytest.mark.parametrize("case", [c for c in load("bad") if c.judged_by_operator], ids=name)
def test_bad_is_refused_in_the_same_words(case: Case) -> None:
    with pytest.raises(InvalidSpec) as refusal:
        read(case.job)
    missing = [words for words in case.expected("operator") if words not in str(refusal.value)]
    assert not missing, f"it lacks {missing}: {refusal.value}"


@pytest.mark.parametrize("case", load("good"), ids=name)
def test_unusual_is_accepted(case: Case) -> None:
    assert [role.name for role in read(case.job).roles] == role_names(case.job)


@pytest.mark.parametrize("case", [c for c in load("bad") if c.is_update], ids=name)
def test_only_the_change_is_bad_in_an_update(case: Case) -> None:
    before = case.documents[0]
    assert [role.name for role in read(before).roles] == role_names(before)
