"""How long does one pass over a large job take? Pure planner, no cluster: `python tests/bench/planner_bench.py`.

Prints a table for people on stderr and one JSON line on stdout. Medians; building the snapshot is not counted.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable

from builders import JobBuilder, make_job
from builders.job import BUILD
from trainyard.api.reasons import Cause, Reason
from trainyard.model.plan import PlanningPolicy
from trainyard.planning import plan

POLICY = PlanningPolicy(build=BUILD)
PASSES = 20


def opening(pods: int) -> JobBuilder:
    return make_job().workers(pods, gpus=8).probed().granted()


def opened(pods: int) -> JobBuilder:
    return make_job().workers(pods, gpus=8).opened()


def starting(pods: int) -> JobBuilder:
    """All are created, half of them run."""
    return opened(pods).created_gang().bound().started(*range(pods // 2))


def running(pods: int) -> JobBuilder:
    return opened(pods).created_gang().running(since=make_job().now - 1000)


def failed(pods: int) -> JobBuilder:
    return running(pods).failed(rank=pods // 2)


def ending(pods: int) -> JobBuilder:
    """The attempt is closed, half of its pods are being deleted."""
    job = failed(pods).closed(Cause.APPLICATION_FAILURE, Reason.APPLICATION_FAILURE, rank=pods // 2)
    for name in list(job.pods)[: pods // 2]:
        del job.pods[name]
    return job


CASES: dict[str, tuple[Callable[[int], JobBuilder], float]] = {
    "commit a grant": (opening, 50.0),
    "create the pods": (opened, 50.0),
    "half of the gang started": (starting, 50.0),
    "at rest": (running, 50.0),
    "one rank failed: close": (failed, 50.0),
    "delete the pods": (ending, 50.0),
}


def measure(build: Callable[[int], JobBuilder], pods: int) -> float:
    job = build(pods)
    times = []
    for _ in range(PASSES):
        snapshot = job.snapshot()
        gc.collect()
        start = time.perf_counter()
        plan(snapshot, job.now, POLICY)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help=f"rounds of {PASSES} passes per case (default 5)")
    parser.add_argument("--pods", type=int, default=1250, help="size of the gang (default 1250)")
    arguments = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    for name, (build, budget) in CASES.items():
        median = statistics.median(measure(build, arguments.pods) for _ in range(arguments.rounds))
        found[f"plan, {arguments.pods:,} ranks: {name}"] = {"median_ms": round(median, 2), "budget_ms": budget}
        print(f"{name:<42} {median:>9.2f} ms", file=sys.stderr)
    print(json.dumps({"bench": "planner", "rounds": arguments.rounds, "cases": found}))
    return 0 if all(case["median_ms"] <= case["budget_ms"] for case in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
