"""The deciding functions alone, as the scripts in tests/bench measure them: no cluster, no network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from benchlib.eyes import BenchFailed
from support.yard import ROOT

SCRIPTS = ("scheduler_bench.py", "planner_bench.py")


def planner_run(rounds: int) -> dict[str, Any]:
    """Every case of both scripts: median and budget in milliseconds."""
    cases: dict[str, Any] = {}
    for script in SCRIPTS:
        path = ROOT / "tests" / "bench" / script
        done = subprocess.run(
            [sys.executable, str(path), f"--rounds={rounds}"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "operator"), str(ROOT / "tests")))},
        )
        # They exit 1 where a budget is missed, which is for the table to tell.
        if not done.stdout.strip():
            raise BenchFailed(f"{script} failed:\n{done.stderr}")
        cases |= json.loads(done.stdout.splitlines()[-1])["cases"]
    return cases
