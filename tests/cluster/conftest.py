"""A machine that has only the programs a test gives it, and caches and sockets of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.fake_tools import FakeTools
from yardlib import build, images, slots, toolchain


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTools:
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    for module in (build, images, slots, toolchain):
        monkeypatch.setattr(module, "runtime_root", lambda: tmp_path / "run")
    return FakeTools(folder)
