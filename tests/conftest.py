"""Where a test lies says what it needs: everything under apiserver/ and nodes/ is marked so."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is slow; that says nothing about the code. What has to be quick is measured by the bench.
settings.register_profile("trainyard", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("trainyard")

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        suite = item.path.relative_to(HERE).parts[0]
        if suite in ("apiserver", "nodes"):
            item.add_marker(suite)
