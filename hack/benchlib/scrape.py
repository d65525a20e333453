"""What a scrape costs with 1,000 jobs and 10,000 pods in the store, and how long it holds up the work beside it.

No cluster: the store is filled by hand, the endpoint is the operator's own, and the reader is a process of its own that
scrapes without a pause. Beside it plans are made for one job after the other, as the reconciler makes them.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable
from functools import partial

from benchlib.eyes import BenchFailed
from builders.fleet import Crowd, crowd
from builders.job import NOW
from trainyard.engine.fleet import freeze
from trainyard.engine.queue import Target
from trainyard.engine.snapshots import job_snapshot
from trainyard.engine.store import Store
from trainyard.kube.clock import steady
from trainyard.launch import LaunchSettings
from trainyard.model.plan import PlanningPolicy
from trainyard.planning import plan
from trainyard.telemetry.endpoint import Endpoint, Subject, serve_metrics
from trainyard.telemetry.fleet import Fleet
from trainyard.telemetry.fleet_text import FleetText, Limits
from trainyard.telemetry.metrics import Metrics

SIZE = Crowd(jobs=1000, pods_each=12, nodes=1350)
SCRAPES = 30
ALONE = 10
"""Scrapes whose processor time is taken."""
EVERY = 0.005
"""A plan is due so often."""

_READER = """
import json, sys, time, urllib.request
url, count, gzip = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "gzip"
took, size = [], 0
for _ in range(count):
    started = time.perf_counter()
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"} if gzip else {})
    with urllib.request.urlopen(request) as answer:
        size = len(answer.read())
    took.append(time.perf_counter() - started)
print(json.dumps({"took": took, "size": size}))
"""


def scrape_run() -> dict[str, float]:
    """Milliseconds and bytes; lags are from when a plan was due to when it was made."""
    return asyncio.run(_run())


async def _run() -> dict[str, float]:
    store = crowd(SIZE)
    metrics, text = Metrics(), FleetText(Limits(jobs=SIZE.jobs))
    subject = Subject(fleet=lambda: freeze(store, NOW, ()))
    endpoint = Endpoint(metrics, text, subject, fresh_seconds=0)
    async with serve_metrics("127.0.0.1", 0, endpoint) as port:
        url = f"http://127.0.0.1:{port}/metrics"
        alone = await _plan_until(store, asyncio.sleep(SCRAPES * EVERY * 10))
        plain_lags, plain = await _scraped(store, url, "plain")
        packed_lags, packed = await _scraped(store, url, "gzip")
    frozen, fleet = _timed_freeze(store)
    holds = _holds(endpoint)
    series = sum(line.count("\n") - line.count("\n#") for line in text.render(fleet, openmetrics=False))
    return {
        "scrape_series": float(series),
        "scrape_bytes": float(plain["size"][0]),
        "scrape_gzip_bytes": float(packed["size"][0]),
        "scrape_freeze_ms": frozen * 1000,
        "scrape_cpu_ms": sum(holds) / ALONE * 1000,
        "scrape_hold_ms": max(holds) * 1000,
        "scrape_ms": statistics.median(plain["took"]) * 1000,
        "scrape_gzip_ms": statistics.median(packed["took"]) * 1000,
        "scrape_worst_ms": max(*plain["took"], *packed["took"]) * 1000,
        "plan_alone_p99_ms": _p99(alone) * 1000,
        "plan_scraped_p99_ms": _p99([*plain_lags, *packed_lags]) * 1000,
        "plan_scraped_worst_ms": max(*plain_lags, *packed_lags) * 1000,
    }


async def _scraped(store: Store, url: str, how: str) -> tuple[list[float], dict[str, list[float]]]:
    reader = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _READER, url, str(SCRAPES), how, stdout=asyncio.subprocess.PIPE
    )
    lags = await _plan_until(store, reader.wait())
    assert reader.stdout is not None
    answer = json.loads((await reader.stdout.read()) or b"{}")
    if not answer:
        raise BenchFailed("the metrics could not be read")
    return lags, {"took": answer["took"], "size": [answer["size"]]}


async def _plan_until(store: Store, end: Awaitable[object]) -> list[float]:
    """Plan one job after the other, one each 5 ms, until `end` is over; how late each plan was made."""
    decide, policy = partial(plan, launch=LaunchSettings()), PlanningPolicy(build="bench")
    over = asyncio.ensure_future(end)
    lags: list[float] = []
    keys = list(store.jobs)
    while not over.done():
        due = steady() + EVERY
        await asyncio.sleep(EVERY)
        snapshot = job_snapshot(store, Target(keys[len(lags) % len(keys)]))
        if snapshot is not None:
            decide(snapshot, NOW, policy)
        lags.append(max(0.0, steady() - due))
    return lags


def _holds(endpoint: Endpoint) -> list[float]:
    """Processor time between two moments at which a scrape lets others run; no neighbour on the machine changes it."""
    holds: list[float] = []
    for _ in range(ALONE):
        answer = endpoint.answer("", compress=True)
        try:
            while True:
                started = time.thread_time()
                answer.send(None)
                holds.append(time.thread_time() - started)
        except StopIteration:
            pass
    return holds


def _timed_freeze(store: Store) -> tuple[float, Fleet]:
    took = []
    for _ in range(5):
        started = steady()
        fleet = freeze(store, NOW, ())
        took.append(steady() - started)
    return statistics.median(took), fleet


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98] if len(values) > 1 else values[0]
