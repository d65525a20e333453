"""Prometheus' own tool, for what only Prometheus can say of rules and expressions."""

from __future__ import annotations

import subprocess

import pytest

from yardlib.errors import YardError
from yardlib.prometheus import programs


def promtool(*arguments: str) -> str:
    try:
        program = programs().promtool
    except YardError as missing:
        pytest.skip(f"{missing.message}; {missing.hint}")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
