"""Do clusters side by side get what the kernel must grant them, and is nothing taken from others?"""

from __future__ import annotations

from pathlib import Path

import pytest

from yardlib import limits


@pytest.mark.parametrize(("granted", "after"), [("128\n", limits.ENOUGH), ("1024\n", 1024), ("65536\n", 65536)])
def test_a_limit_is_raised_and_never_lowered(
    granted: str, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "max_user_instances"
    told.write_text(granted)
    monkeypatch.setattr(limits, "INSTANCES", told)
    limits.raise_limits()
    assert int(told.read_text()) == after


def test_where_it_may_not_be_raised_nothing_else_goes_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INSTANCES", tmp_path / "not-on-this-system")
    limits.raise_limits()
    assert not limits.INSTANCES.exists(), "nothing was made up"
