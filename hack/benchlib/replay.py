"""What it costs to hear of a pod event and to keep it, without a cluster: a watch replayed over TLS, at a steady rate.

The informer and the store are the operator's own; no pass is made. The server is a process of its own. Nothing else is
in the figure, so it can be compared between two versions of the code, run in turns, even on a busy machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from benchlib.eyes import BenchFailed
from benchlib.load_bodies import Object, creates, training_job
from trainyard.engine.informers import build_informers
from trainyard.engine.queue import Target
from trainyard.engine.store import Store
from trainyard.kube.client import Client
from trainyard.kube.credentials import Credentials, static
from trainyard.kube.resources import PODS
from yardlib.pki import Authority, Identity

PODS_KNOWN, RATES = 1250, (150, 600)
"""Pods of one gang, and events a second: about what two cores can be made to tell, and four times as many."""
SECONDS = 8
FIRST_VERSION = 1000
_RUNNING = {"type": "Ready", "status": "True", "lastProbeTime": None, "lastTransitionTime": "2026-01-02T03:04:05Z"}


def replay_run() -> dict[str, float]:
    """Milliseconds of processor time an event, by rate."""
    return {f"replay_{rate}_cpu_ms": asyncio.run(_replay(rate)) for rate in RATES}


class _Nobody:
    """Listens to the store and plans nothing."""

    def job_changed(self, target: Target, *, urgent: bool) -> None:
        """Not wanted here."""

    def capacity_changed(self) -> None:
        """Not wanted here."""


async def _replay(rate: int) -> float:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = Authority(folder)
        authority.create()
        authority.issue("server", "server", names=["IP:127.0.0.1"])
        server = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchlib.replay",
            name,
            str(rate),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        try:
            assert server.stdout is not None
            port = int(await server.stdout.readline() or 0)
            if not port:
                raise BenchFailed("the server that replays a watch did not start")
            tls = ssl.create_default_context(cafile=str(authority.certificate))
            tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
            async with Client(static(Credentials(f"https://127.0.0.1:{port}", tls=tls))) as client:
                return await _hear(client)
        finally:
            server.kill()
            await server.wait()


async def _hear(client: Client) -> float:
    """The median second's cost: what else the machine does comes in bursts."""
    store = Store(_Nobody())
    informer = next(i for i in build_informers(client, store, ()) if i.resource is PODS)
    task = asyncio.create_task(informer.run())
    try:
        async with asyncio.timeout(60):
            while _newest(store) < FIRST_VERSION + PODS_KNOWN:  # noqa: ASYNC110 (the store tells nobody)
                await asyncio.sleep(0.05)
        costs = []
        for _ in range(SECONDS - 2):
            used, heard = time.process_time(), _newest(store)
            await asyncio.sleep(1)
            costs.append(1000 * (time.process_time() - used) / max(1, _newest(store) - heard))
        return statistics.median(costs)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _newest(store: Store) -> int:
    return max((pod.resource_version for pod in store.table.pods.values()), default=0)


# the server's process


def _watch_lines() -> Iterator[bytes]:
    """A gang's pods over and over, each time a newer version whose readiness has changed."""
    job = training_job("replay", "replay", PODS_KNOWN, 8)
    job["metadata"] |= {"uid": "00000000-0000-4000-8000-000000000000", "resourceVersion": "1", "generation": 1}
    bodies = [told["body"] for told in creates(job, [f"fake-{i:04d}" for i in range(PODS_KNOWN)])]
    version, ready = FIRST_VERSION, False
    while True:
        for number, body in enumerate(bodies):
            version += 1
            event = {"type": "MODIFIED", "object": _stored(body, number, version, ready=ready)}
            yield json.dumps(event, separators=(",", ":")).encode() + b"\n"
        ready = not ready


def _stored(body: Mapping[str, Any], number: int, version: int, *, ready: bool) -> Object:
    """As an API server has it: bound, running, half of it managedFields."""
    owned = {"manager": "trainyard", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": _fields(body)}
    meta = {
        **body["metadata"],
        "uid": f"00000000-0000-4000-9000-{number:012d}",
        "resourceVersion": str(version),
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "managedFields": [owned],
    }
    state = {"name": "trainer", "state": {"running": {"startedAt": "2026-01-02T03:04:05Z"}}, "ready": ready}
    conditions = [{**_RUNNING, "type": kind} for kind in ("PodScheduled", "Initialized", "ContainersReady")]
    conditions.append({**_RUNNING, "status": str(ready)})
    status = {"phase": "Running", "conditions": conditions, "containerStatuses": [state], "podIP": "10.0.0.1"}
    spec = {**body["spec"], "nodeName": f"fake-{number:04d}", "schedulerName": "default-scheduler", "priority": 0}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": meta, "spec": spec, "status": status}


def _fields(value: Any) -> Object:
    """The shape of an object as managedFields tell it."""
    if isinstance(value, Mapping):
        return {f"f:{key}": _fields(inner) for key, inner in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], Mapping) and "name" in value[0]:
        return {f'k:{{"name":"{inner["name"]}"}}': {".": {}, **_fields(inner)} for inner in value}
    return {}


async def _answer(request: web.Request) -> web.StreamResponse:
    if "watch" not in request.query:
        return web.json_response({"metadata": {"resourceVersion": str(FIRST_VERSION)}, "items": []})
    rate = request.app[_RATE]
    response = web.StreamResponse()
    await response.prepare(request)
    began = time.monotonic()
    for number, line in enumerate(_watch_lines()):
        await response.write(line)
        if number < PODS_KNOWN:
            began = time.monotonic()  # the first of each pod come as fast as they can
        else:
            await asyncio.sleep(max(0.0, began + (number - PODS_KNOWN) / rate - time.monotonic()))
    return response


_RATE = web.AppKey("rate", int)


async def _serve(folder: Path, rate: int) -> None:
    pair = Identity(folder / "server.crt", folder / "server.key")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    app = web.Application()
    app[_RATE] = rate
    app.router.add_get("/{tail:.*}", _answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))
