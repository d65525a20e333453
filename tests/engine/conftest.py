"""A bench for one job."""

from __future__ import annotations

import pytest

from engine.fakes import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()
