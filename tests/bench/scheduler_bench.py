"""How long does one round of the scheduler take? Pure planner, no cluster: `python tests/bench/scheduler_bench.py`.

Prints a table for people on stderr and one JSON line on stdout. Every figure is the median of several rounds, each on a
snapshot built anew (so that nothing is remembered from the round before); building the snapshot is not counted.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from trainyard.model.cluster import ClusterSnapshot, Decision, GangRequest, RoleRequest, SchedulingPolicy
from trainyard.model.resources import resources
from trainyard.model.views import Key, NodeView
from trainyard.scheduling import schedule

GPU, RDMA = "nvidia.com/gpu", "rdma/hca_shared_devices_a"
NOW = 1_000_000.0
Case = Callable[[], tuple[ClusterSnapshot, list[GangRequest]]]


def cluster(
    nodes: int, per_rack: int = 16, racks_per_block: int = 8, used_gpus: Callable[[int], int] = lambda _: 0
) -> ClusterSnapshot:
    """Nodes of 8 GPUs in racks and blocks; every node also runs a few daemons' worth of cpu."""
    views, usage = {}, {}
    for i in range(nodes):
        rack = i // per_rack
        name = f"node-{i}"
        views[name] = NodeView(
            name=name,
            uid=f"uid-{i}",
            labels={
                "kubernetes.io/hostname": name,
                "topology.trainyard.dev/rack": f"rack-{rack}",
                "topology.trainyard.dev/block": f"block-{rack // racks_per_block}",
                "accelerator": "h100",
            },
            allocatable=resources({"cpu": 96, "memory": "1Ti", "pods": 110, GPU: 8, RDMA: 100}),
        )
        usage[name] = {"cpu": 1500, "memory": 2 << 30, "pods": 6, GPU: used_gpus(i)}
    return ClusterSnapshot(nodes=views, usage=usage)


def gang(
    name: str, pods: int, gpus: int = 8, age: float = 60.0, selector: tuple[tuple[str, str], ...] = (), level: str = ""
) -> GangRequest:
    role = RoleRequest(
        "worker",
        pods,
        0,
        resources({"cpu": 4 * gpus, "memory": "64Gi", GPU: gpus, RDMA: 1}),
        GPU,
        gpus,
        node_selector=selector,
    )
    return GangRequest(Key("team", name), f"uid-{name}", 0, "hash", NOW - age, (role,), required_level=level)


def one_gang(nodes: int, pods: int) -> Case:
    return lambda: (cluster(nodes), [gang("big", pods)])


def restart(nodes: int, pods: int) -> Case:
    """All ranks but one are healthy and keep their nodes."""

    def build() -> tuple[ClusterSnapshot, list[GangRequest]]:
        request = gang("big", pods)
        keep = {rank: f"node-{rank}" for rank in range(1, pods)}
        return cluster(nodes), [replace(request, keep=keep, held_until=NOW + 60)]

    return build


def queue(jobs: int, nodes: int, distinct: bool) -> Case:
    """A cluster with a few free GPUs here and there, and a long queue of which hardly anything fits."""

    def build() -> tuple[ClusterSnapshot, list[GangRequest]]:
        requests = [
            gang(
                f"job-{j}",
                pods=(j + 2) if distinct else (2, 4, 8, 16, 64)[j % 5],
                gpus=8 if distinct else (1, 2, 4, 8)[j % 4],
                age=10_000.0 - j,
                selector=(("accelerator", "h100"),) if j % 2 else (),
                level=("", "rack", "block")[j % 3],
            )
            for j in range(jobs)
        ]
        return cluster(nodes, used_gpus=lambda i: 8 if i % 7 else 3 + i % 5), requests

    return build


def outage(jobs: int, nodes: int) -> Case:
    """Every job of a full cluster restarts at once, and each has lost one rank with a node that is gone."""

    def build() -> tuple[ClusterSnapshot, list[GangRequest]]:
        size = nodes // jobs
        requests = []
        for j in range(jobs):
            request = gang(f"job-{j}", size, age=10_000.0 - j)
            keep = {rank: f"node-{j * size + rank}" for rank in range(1, size)}
            requests.append(replace(request, keep=keep, held_until=NOW + 60))
        lost = {f"node-{j * size}" for j in range(jobs)}
        whole = cluster(nodes)
        return replace(whole, nodes={name: view for name, view in whole.nodes.items() if name not in lost}), requests

    return build


CASES: dict[str, tuple[Case, float]] = {
    "1,250-pod gang on 2,000 nodes": (one_gang(2000, 1250), 0.1),
    "the same, restarted: 1,249 ranks kept": (restart(2000, 1250), 0.1),
    "500 pending jobs, 2,000 nodes, full": (queue(500, 2000, distinct=False), 1.0),
    "the same, every job of its own shape": (queue(500, 2000, distinct=True), 1.0),
    "500 jobs restart at once on 2,000 nodes": (outage(500, 2000), 1.0),
    "12,500-pod gang on 12,500 nodes": (one_gang(12500, 12500), 1.0),
}


@dataclass(frozen=True)
class Figure:
    median: float
    worst: float
    grants: int
    refusals: int


def measure(case: Case, rounds: int) -> Figure:
    times: list[float] = []
    decision = Decision()
    for _ in range(rounds):
        snapshot, requests = case()
        gc.collect()
        start = time.perf_counter()
        decision = schedule(snapshot, requests, SchedulingPolicy(), NOW)
        times.append(time.perf_counter() - start)
    return Figure(statistics.median(times), max(times), len(decision.grants), len(decision.refusals))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds per case (default 5)")
    rounds = parser.parse_args().rounds
    figures = {name: measure(case, rounds) for name, (case, _) in CASES.items()}
    print(f"{'case':<42} {'median':>9} {'worst':>9} {'budget':>9}  granted/refused", file=sys.stderr)
    for name, figure in figures.items():
        budget = CASES[name][1]
        print(
            f"{name:<42} {figure.median * 1000:>6.0f} ms {figure.worst * 1000:>6.0f} ms {budget * 1000:>6.0f} ms  "
            f"{figure.grants}/{figure.refusals}{'' if figure.median <= budget else '  OVER BUDGET'}",
            file=sys.stderr,
        )
    print(
        json.dumps(
            {
                "bench": "scheduler",
                "rounds": rounds,
                "cases": {
                    name: {
                        "median_ms": round(f.median * 1000, 1),
                        "budget_ms": CASES[name][1] * 1000,
                        "grants": f.grants,
                    }
                    for name, f in figures.items()
                },
            }
        )
    )
    return 0 if all(f.median <= CASES[name][1] for name, f in figures.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
