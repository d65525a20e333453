"""Ten thousand pods: what one pod event costs, how much memory they take, and how soon a restarted operator decides.

Writes are the operator's own counters; CPU and memory are the kernel's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from benchlib.eyes import Eyes
from benchlib.gang import Figures
from benchlib.histogram import buckets, quantile
from benchlib.load_bodies import Object, flips, touches, training_job
from benchlib.rig import NAMESPACE, Reading, Rig
from trainyard.kube.client import Client
from trainyard.kube.resources import TRAINING_JOBS

JOBS = 8
PATIENCE = 900.0
LEAST_EVENTS = 5000
"""Fewer are not told apart from the process's idling."""
SETTLE = 2.0
COUNTED = 22.0
"""The longest that a change of counts waits for its status write, and a little more."""
STILL = 20.0
"""How long nothing may be written while nothing happens."""
LATENESS = {
    "scraped_p99_lag_s": "trainyard_event_loop_lag_seconds",
    "scraped_p99_plan_s": "trainyard_plan_duration_seconds",
    "scraped_p99_visit_s": "trainyard_reconcile_duration_seconds",
}


async def scale_run(rig: Rig, client: Client, eyes: Eyes, pods: int) -> Figures:
    """Fill the cluster with pods of one GPU, eight to a node, in eight jobs; then touch them, rest, and restart."""
    await rig.start_operator()
    try:
        figures = await _fill(rig, client, eyes, pods)
        figures |= await _events(rig, eyes, "scale")
        figures |= await _scraped(rig, eyes)
        figures |= await _rest(rig)
        figures |= await _restart_unneeded(rig)
        figures |= await _restart_awaited(rig, client, eyes)
    finally:
        await rig.stop_operator()
    return figures


async def small_run(rig: Rig, client: Client, eyes: Eyes, pods: int) -> Figures:
    """The cost of an event at a smaller size, for the slope; then the job is deleted while nobody runs the operator."""
    name = "few"
    await rig.start_operator()
    try:
        stored = await client.create(TRAINING_JOBS, training_job(name, NAMESPACE, pods, 1))
        await eyes.reached(name, "running", pods, PATIENCE)
        await eyes.until(lambda: eyes.phase(name) == "Running", f"{name} Running", PATIENCE)
        await asyncio.sleep(SETTLE)
        figures = await _events(rig, eyes, "small")
    finally:
        await rig.stop_operator()
    began = time.monotonic()
    await client.delete(TRAINING_JOBS, name, NAMESPACE, uid=stored["metadata"]["uid"], propagation_policy="Background")
    await eyes.until(lambda: not eyes.pods_of(name), f"all pods of {name} gone", PATIENCE)
    return {**figures, "small_unattended_gone_s": time.monotonic() - began}


async def _fill(rig: Rig, client: Client, eyes: Eyes, pods: int) -> Figures:
    before, events, began = await rig.read(), eyes.pod_events, time.monotonic()
    names = [f"many-{number}" for number in range(JOBS)]
    for name in names:
        await client.create(TRAINING_JOBS, training_job(name, NAMESPACE, pods // JOBS, 1))
    for name in names:
        await eyes.reached(name, "running", pods // JOBS, PATIENCE)
    ran = time.monotonic()
    for name in names:
        await eyes.until(lambda name=name: eyes.phase(name) == "Running", f"{name} Running", PATIENCE)  # type: ignore[misc]
    await asyncio.sleep(SETTLE)
    after = await rig.read()
    seen = eyes.pod_events - events
    return {
        "scale_pods": float(pods // JOBS * JOBS),
        "scale_created_s": max(eyes.tally(name).last["created"] for name in names) - began,
        "scale_running_s": ran - began,
        "scale_fill_cpu_ms_per_event": 1000 * (after.cpu - before.cpu) / seen,
        "scale_status_writes": float(after.status_writes_since(before)),
    }


async def _events(rig: Rig, eyes: Eyes, prefix: str) -> Figures:
    """What it costs to hear of others' doings: first of such as mean nothing, then of such as move a count."""
    pods = list(eyes.pods.values())
    turns = max(1, LEAST_EVENTS // len(pods))
    quiet = await _cpu_per_event(
        rig, eyes, [touches(NAMESPACE, [p.name for p in pods], f"{turn}") for turn in range(turns)]
    )
    counted = await _cpu_per_event(
        rig, eyes, [flips(NAMESPACE, [p.name for p in pods], ready) for _ in range(turns) for ready in (False, True)]
    )
    after = await rig.read()
    return {f"{prefix}_touch_cpu_ms": quiet, f"{prefix}_flip_cpu_ms": counted, f"{prefix}_rss_mib": after.rss_mib}


async def _cpu_per_event(rig: Rig, eyes: Eyes, loads: list[Iterator[Object]]) -> float:
    """In milliseconds, with everything it led to: passes, status writes."""
    before, events = await rig.read(), eyes.pod_events
    sent = 0
    for load in loads:
        requests = list(load)
        sent += len(requests)
        await rig.load(requests)
    await eyes.until(lambda: eyes.pod_events - events >= sent, f"all {sent} changes seen", PATIENCE)
    await asyncio.sleep(SETTLE)
    after = await rig.read()
    return 1000 * (after.cpu - before.cpu) / (eyes.pod_events - events)


async def _scraped(rig: Rig, eyes: Eyes) -> Figures:
    """How late the operator is while counts move as fast as the API server takes it, and is scraped all the while."""
    over = asyncio.Event()
    names = [pod.name for pod in eyes.pods.values()]
    before = await rig.metrics()
    scraper = asyncio.create_task(_scrape(rig, over))
    for ready in (False, True):
        await rig.load(flips(NAMESPACE, names, ready))
    over.set()
    scrapes = await scraper
    await asyncio.sleep(COUNTED)
    after, reading = await rig.metrics(), await rig.read()
    figures = {"scraped_times": float(scrapes), "scraped_rss_mib": reading.rss_mib}
    for key, name in LATENESS.items():
        figures[key] = quantile(0.99, buckets(after, name), buckets(before, name))
    return figures


async def _scrape(rig: Rig, over: asyncio.Event) -> int:
    """Once a second; how often."""
    times = 0
    while not over.is_set():
        await rig.metrics()
        times += 1
        await asyncio.sleep(1)
    return times


async def _rest(rig: Rig) -> Figures:
    before = await rig.read()
    await asyncio.sleep(STILL)
    after = await rig.read()
    return {
        "steady_writes": float(sum(after.writes_since(before).values())),
        "steady_cpu_percent": 100 * (after.cpu - before.cpu) / (after.at - before.at),
    }


async def _restart_unneeded(rig: Rig) -> Figures:
    """Killed and started as a container is: nothing is to be done, so nothing may be written."""
    await rig.kill_operator()
    started = await rig.start_operator()
    led = time.monotonic()
    await asyncio.sleep(STILL)
    after = await rig.read()
    return {
        "restart_leading_s": led - started,
        "restart_writes": float(sum(after.writes_since(Reading(0.0, 0.0, 0.0, {})).values())),
        "restart_rss_mib": after.rss_mib,
        "restart_cpu_s": after.cpu,
    }


async def _restart_awaited(rig: Rig, client: Client, eyes: Eyes) -> Figures:
    """The same, with a job waiting that was applied while the operator was away."""
    name = "waiting"
    await rig.kill_operator()
    await client.create(TRAINING_JOBS, training_job(name, NAMESPACE, 1, 0))
    started = await rig.start_operator(wait=False)
    await eyes.reached(name, "created", 1, PATIENCE)
    created = eyes.tally(name).first["created"]
    return {
        "restart_first_decision_s": created - started,
        "restart_decision_after_lead_s": created - rig.led_at(),
    }
