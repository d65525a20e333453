"""Does a real API server refuse what is bad, with words that help, and accept what is unusual but legal?"""

from __future__ import annotations

import pytest

from apiserver.crd.case_files import Case, load
from apiserver.crd.conftest import Kubectl

pytestmark = pytest.mark.apiserver

BAD = load("bad")
GOOD = load("good")


def name(case: Case) -> str:
    return case.path.stem


def test_there_are_enough_cases() -> None:
    assert len(BAD) >= 60
    assert len(GOOD) >= 25


@pytest.mark.parametrize("case", BAD, ids=name)
def test_bad_is_refused_with_words_that_help(case: Case, kubectl: Kubectl) -> None:
    if case.is_update:
        kubectl.must("apply", "-f", "-", documents=case.documents[:1])
        answer = kubectl.apply(case.job)
        kubectl.must("delete", "trainingjob", case.job["metadata"]["name"])
    else:
        answer = kubectl.apply_file(case.path)
    assert answer.code != 0, "it was accepted"
    missing = [words for words in case.expected("apiserver") if words not in answer.text]
    assert not missing, f"the answer lacks {missing}:\n{answer.text}"


@pytest.mark.parametrize("case", GOOD, ids=name)
def test_unusual_is_accepted(case: Case, kubectl: Kubectl) -> None:
    answer = kubectl.apply_file(case.path, "--dry-run=server")
    assert answer.code == 0, answer.text
