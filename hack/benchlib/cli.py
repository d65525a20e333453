"""`hack/bench`: what is measured, how large, how often; progress and table on stderr, one JSON line on stdout."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchlib.eyes import BenchFailed, Eyes
from benchlib.gang import gang_round
from benchlib.planner import planner_run
from benchlib.replay import replay_run
from benchlib.report import GANG, REPLAY, SCALE, SCRAPE, Line, medians, missed, planner_table, table
from benchlib.rig import NAMESPACE, Rig
from benchlib.scale import scale_run, small_run
from benchlib.scrape import SIZE, scrape_run
from trainyard.kube.client import Client
from trainyard.kube.credentials import from_kubeconfig

PARTS = ("planner", "scrape", "replay", "gang", "scale")


def main(argv: Sequence[str]) -> int:
    """0: measured and within all budgets; 1: measured, some missed; 2: could not be measured."""
    arguments = _parser().parse_args(argv)
    wanted = [part for part in PARTS if arguments.only in (None, part)]
    try:
        result, text, over = _measure(arguments, wanted)
    except (BenchFailed, AssertionError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    print("\n".join(text), file=sys.stderr)
    line = json.dumps(result)
    print(line)
    if arguments.out:
        arguments.out.write_text(line + "\n", encoding="utf-8")
    for budget in over:
        print(f"bench: over budget: {budget}", file=sys.stderr)
    return 1 if over else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hack/bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the gang and of the planner (default 5)")
    parser.add_argument("--nodes", type=int, default=1250, help="simulated nodes of 8 GPUs (default 1250)")
    parser.add_argument("--pods", type=int, help="pods of the gang (default: one a node)")
    parser.add_argument("--cluster", default="bench", help="name of the cluster to make (default bench)")
    parser.add_argument(
        "--profile",
        choices=("bench", "default"),
        default="bench",
        help="client limits of controller manager and scheduler: out of the way, or Kubernetes' own (default bench)",
    )
    parser.add_argument("--only", choices=PARTS, help="one part only")
    parser.add_argument("--out", type=Path, help="write the JSON line here too")
    parser.add_argument("--keep", action="store_true", help="leave the cluster for the next run")
    return parser


def _measure(arguments: argparse.Namespace, wanted: Sequence[str]) -> tuple[dict[str, Any], list[str], list[str]]:
    pods = arguments.pods or arguments.nodes
    if pods > arguments.nodes:
        raise BenchFailed(f"{pods} pods of 8 GPUs need as many nodes; there are {arguments.nodes}")
    result: dict[str, Any] = {"bench": "trainyard", "nodes": arguments.nodes, "pods": pods, "rounds": arguments.rounds}
    result["profile"] = arguments.profile
    result["load_average"] = [round(load, 2) for load in os.getloadavg()]
    text: list[str] = []
    over: list[str] = []
    if "planner" in wanted:
        _say("deciding functions alone")
        result["planner"] = cases = planner_run(max(3, arguments.rounds))
        text += planner_table(cases)
        over += [name for name, told in cases.items() if told["median_ms"] > told["budget_ms"]]
    if "scrape" in wanted:
        _say("scraping the metrics")
        figures = scrape_run()
        result["scrape"] = _rounded(figures)
        text += table(f"Metrics of {SIZE.jobs} jobs and {SIZE.pods} pods", SCRAPE, [figures])
        over += missed(SCRAPE, figures)
    if "replay" in wanted:
        _say("replaying pod events")
        figures = replay_run()
        result["replay"] = _rounded(figures)
        text += table("Pod events heard and stored, no pass made", REPLAY, [figures])
    if "gang" in wanted or "scale" in wanted:
        for key, (title, lines, rounds) in _on_a_cluster(arguments, wanted, pods).items():
            middle = medians(rounds)
            result[key] = {"median": _rounded(middle), "rounds": [_rounded(figures) for figures in rounds]}
            text += table(title, lines, rounds)
            over += missed(lines, middle)
    return result, text, over


Part = tuple[str, tuple[Line, ...], list[dict[str, float]]]


def _on_a_cluster(arguments: argparse.Namespace, wanted: Sequence[str], pods: int) -> dict[str, Part]:
    folder = Path(tempfile.mkdtemp(prefix="trainyard-bench-"))
    rig = Rig(arguments.cluster, arguments.nodes, folder, arguments.profile)
    try:
        rig.up()
        found = asyncio.run(_parts(rig, arguments.rounds, wanted, pods))
    finally:
        if not arguments.keep:
            rig.down()
    shutil.rmtree(folder)
    return found


async def _parts(rig: Rig, rounds: int, wanted: Sequence[str], pods: int) -> dict[str, Part]:
    found: dict[str, Part] = {}
    async with Client(from_kubeconfig(rig.kubeconfig, None), gather=0) as client:  # the eyes see at once
        await rig.prepare(client)
        async with Eyes(client, NAMESPACE) as eyes:
            if "gang" in wanted:
                figures = []
                for number in range(rounds):
                    _say(f"gang of {pods} pods, round {number + 1} of {rounds}")
                    figures.append(await gang_round(rig, client, eyes, number, pods))
                found["gang"] = (f"Gang of {pods} pods", GANG, figures)
            if "scale" in wanted:
                _say(f"{rig.nodes * 8} pods on {rig.nodes} nodes")
                small = await small_run(rig, client, eyes, pods)
                many = await scale_run(rig, client, eyes, rig.nodes * 8)
                found["scale"] = ("Many pods", SCALE, [{**small, **many}])
    return found


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 4) for key, value in figures.items()}


def _say(text: str) -> None:
    print(f"bench: {text} (load {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)
