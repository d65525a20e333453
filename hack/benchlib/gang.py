"""One gang's life at full size, first by the bare load generator, then by the operator, on the same cluster.

A round: the generator creates the pods and deletes them; the operator starts a gang of the same pods, one of them
fails, the whole gang restarts, the job is deleted. Every other round the operator goes first. Ratios are taken within
the round, of seconds and of processor time: what cluster and client together spent on the same pods.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from benchlib.eyes import Eyes
from benchlib.load_bodies import NOT_OURS, creates, deletes, training_job
from benchlib.rig import NAMESPACE, Reading, Rig
from trainyard.kube.client import Client
from trainyard.kube.resources import PODS, TRAINING_JOBS

GPUS = 8
PATIENCE = 300.0
GRACE = 10
"""The operator's default for pods of a broken attempt."""
REST = 2.0
"""For what a phase still causes: the last status write, the garbage collector's look."""
QUIET = 5.0
"""Before whatever is timed, so that nobody pays for what came before."""

Figures = dict[str, float]


@dataclass(frozen=True)
class Cost:
    """What the operator spent on one phase."""

    events: int
    cpu: float
    creates: int
    status_writes: int
    writes: int

    def figures(self, phase: str, pods: int) -> Figures:
        return {
            f"{phase}_cpu_s": self.cpu,
            f"{phase}_cpu_ms_per_event": 1000 * self.cpu / max(1, self.events),
            f"{phase}_creates_per_pod": self.creates / pods,
            f"{phase}_status_writes": self.status_writes,
            f"{phase}_writes": self.writes,
        }


async def gang_round(rig: Rig, client: Client, eyes: Eyes, number: int, pods: int) -> Figures:
    """One round of everything about a gang."""
    figures: Figures = {}
    for whose in ("raw", "ours") if number % 2 == 0 else ("ours", "raw"):
        if whose == "raw":
            figures |= await _raw(rig, client, eyes, f"raw-{number}", pods)
            continue
        await rig.start_operator()
        try:
            figures |= await _ours(rig, client, eyes, f"gang-{number}", pods)
        finally:
            await rig.stop_operator()
    return {**figures, **_ratios(figures)}


async def _raw(rig: Rig, client: Client, eyes: Eyes, name: str, pods: int) -> Figures:
    body = training_job(name, NAMESPACE, pods, GPUS, managed_by=NOT_OURS)
    stored = await client.create(TRAINING_JOBS, body)
    await rig.calm(QUIET)
    use = rig.machine.read()
    began, answered = await rig.load(creates(stored, [f"fake-{i:04d}" for i in range(pods)]))
    figures = {"raw_posts_s": answered - began}
    for stage in ("created", "bound", "running"):
        figures[f"raw_{stage}_s"] = await eyes.reached(name, stage, pods, PATIENCE) - began
    figures |= rig.machine.since(use, "raw_start")
    await rig.calm(QUIET)
    use = rig.machine.read()
    began, answered = await rig.load(deletes(NAMESPACE, [(p.name, p.uid) for p in eyes.pods_of(name)], GRACE))
    figures["raw_delete_calls_s"] = answered - began
    figures["raw_gone_s"] = await eyes.reached(name, "gone", pods, PATIENCE) - began
    figures |= rig.machine.since(use, "raw_delete")
    await client.delete(TRAINING_JOBS, name, NAMESPACE, uid=stored["metadata"]["uid"])
    await eyes.until(lambda: name not in eyes.jobs, f"{name} gone", PATIENCE)
    return figures


async def _ours(rig: Rig, client: Client, eyes: Eyes, name: str, pods: int) -> Figures:
    await rig.calm(QUIET)
    before, events, use = await rig.read(), eyes.pod_events, rig.machine.read()
    began = time.monotonic()
    stored = await client.create(TRAINING_JOBS, training_job(name, NAMESPACE, pods, GPUS))
    figures = await _gang_up(eyes, name, pods, began, 0, "gang")
    figures |= rig.machine.since(use, "gang_start")
    figures["gang_first_pod_s"] = eyes.tally(name).first["created"] - began
    after = await _rested(rig)
    figures |= _cost(before, after, eyes.pod_events - events).figures("gang", pods)
    figures["gang_rss_mib"] = after.rss_mib

    await rig.calm(QUIET)
    before, events, use = await rig.read(), eyes.pod_events, rig.machine.read()
    figures |= await _restart(client, eyes, name, pods)
    figures |= rig.machine.since(use, "restart")
    after = await _rested(rig)
    figures |= _cost(before, after, eyes.pod_events - events).figures("restart", pods)

    await rig.calm(QUIET)
    before, events, use = await rig.read(), eyes.pod_events, rig.machine.read()
    began = time.monotonic()
    await client.delete(TRAINING_JOBS, name, NAMESPACE, uid=stored["metadata"]["uid"], propagation_policy="Background")
    await eyes.until(lambda: not eyes.pods_of(name), f"all pods of {name} gone", PATIENCE)
    figures["delete_gone_s"] = time.monotonic() - began
    figures |= rig.machine.since(use, "delete")
    after = await _rested(rig)
    figures |= _cost(before, after, eyes.pod_events - events).figures("delete", pods)
    return figures


async def _gang_up(eyes: Eyes, name: str, pods: int, began: float, attempt: int, prefix: str) -> Figures:
    figures = {
        f"{prefix}_{stage}_s": await eyes.reached(name, stage, pods, PATIENCE, attempt) - began
        for stage in ("created", "bound", "running")
    }
    await eyes.until(lambda: eyes.phase(name) == "Running", f"{name} Running", PATIENCE)
    figures[f"{prefix}_status_running_s"] = time.monotonic() - began
    return figures


async def _restart(client: Client, eyes: Eyes, name: str, pods: int) -> Figures:
    """One rank in the middle exits 1. All instants count from the watch event that shows it."""
    old = eyes.tally(name, 0)
    victim = next(pod for pod in eyes.pods_of(name) if pod.name.endswith(f"-worker-{pods // 2}"))
    fails = {"metadata": {"annotations": {"kwok.trainyard.dev/exit-code": "1"}}}
    await client.patch(PODS, victim.name, fails, NAMESPACE)
    seen = await eyes.reached(name, "failed", 1, PATIENCE)
    # The failed pod itself stays to be read.
    gone = await eyes.reached(name, "gone", pods - 1, PATIENCE)
    figures = await _gang_up(eyes, name, pods, seen, 1, "restart")
    new = eyes.tally(name, 1)
    return {
        **figures,
        "restart_decided_s": eyes.attempt_seen[name, 1] - seen,
        "restart_first_delete_s": old.first["doomed"] - seen,
        "restart_last_delete_s": old.last["doomed"] - seen,
        "restart_gone_s": gone - seen,
        "restart_gap_s": new.first["created"] - gone,
        "restart_create_span_s": new.last["created"] - new.first["created"],
        "restart_gone_to_created_s": new.last["created"] - gone,
    }


async def _rested(rig: Rig) -> Reading:
    await asyncio.sleep(REST)
    return await rig.read()


def _cost(before: Reading, after: Reading, events: int) -> Cost:
    requests, writes = after.requests_since(before), after.writes_since(before)
    return Cost(
        events=events,
        cpu=after.cpu - before.cpu,
        creates=requests.get(("create", "pods"), 0),
        status_writes=after.status_writes_since(before),
        writes=sum(writes.values()),
    )


def _ratios(figures: Figures) -> Figures:
    """Rates, and work done, against the raw ones: 1.0 is as fast, or as cheap, as the bare load generator."""
    raw_gone, raw_created = figures["raw_gone_s"], figures["raw_created_s"]
    raw_start, raw_delete = figures["raw_start_work_s"], figures["raw_delete_work_s"]
    return {
        "ratio_created": raw_created / figures["gang_created_s"],
        "ratio_running": figures["raw_running_s"] / figures["gang_running_s"],
        "ratio_restart_gone": raw_gone / figures["restart_gone_s"],
        "ratio_restart_created": raw_created / figures["restart_gone_to_created_s"],
        "ratio_restart_all": (raw_gone + raw_created) / figures["restart_created_s"],
        "ratio_deleted": raw_gone / figures["delete_gone_s"],
        "ratio_start_work": raw_start / figures["gang_start_work_s"],
        "ratio_restart_work": (raw_delete + raw_start) / figures["restart_work_s"],
        "ratio_delete_work": raw_delete / figures["delete_work_s"],
        "others_percent": max(value for key, value in figures.items() if key.endswith("_others_percent")),
    }
