"""Is every word that the reference explains one that the operator can really say?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import trainyard
from trainyard.api.reasons import Cause, ConditionType, Documented, Phase, Reason
from trainyard.api.waits import WAITS

PACKAGE = Path(trainyard.__file__).parent
SPOKEN = {
    tuple(match)
    for path in PACKAGE.rglob("*.py")
    if path.parent.name != "api"
    for match in re.findall(r"\b(Phase|ConditionType|Cause|Reason)\.([A-Z][A-Z_]+)\b", path.read_text(encoding="utf-8"))
}


@pytest.mark.parametrize("kind", [Phase, ConditionType, Cause, Reason])
def test_every_word_is_said_somewhere(kind: type[Documented]) -> None:
    assert [word.name for word in kind if (kind.__name__, word.name) not in SPOKEN] == []


def test_a_word_is_its_text_and_knows_its_meaning() -> None:
    assert Reason("Backoff") is Reason.BACKOFF
    assert f"{Reason.BACKOFF}" == "Backoff"
    assert Reason.BACKOFF.meaning


def _said_in(*files: str) -> set[str]:
    paths = [path for name in files for path in sorted(PACKAGE.glob(name))]
    assert paths
    return {name for path in paths for name in re.findall(r"\bReason\.([A-Z_]+)\b", path.read_text(encoding="utf-8"))}


def test_every_reason_to_wait_tells_what_ends_it() -> None:
    """Gates and the scheduler's refusals are all that keeps an attempt from opening (I24)."""
    waits = _said_in("planning/opening.py", "planning/pod_security.py", "scheduling/*.py")
    assert waits - {reason.name for reason in WAITS} == set()


@pytest.mark.parametrize("reason", WAITS)
def test_a_wait_has_a_deadline_or_somebody_outside(reason: Reason) -> None:
    assert WAITS[reason].deadline or WAITS[reason].outside
