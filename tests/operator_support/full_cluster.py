"""An API server full of pods and nodes, of which nothing ever changes; its Lease is another operator's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from trainyard.api.constants import API_VERSION, KIND, POD_LABELS

Make = Callable[[int], dict[str, Any]]


class FullCluster:
    """Pages are made as they are asked for: the server must not need what it tells about."""

    def __init__(self, pods: int, nodes: int) -> None:
        self._kinds: dict[str, tuple[int, Make]] = {"pods": (pods, lambda n: _pod(n, nodes)), "nodes": (nodes, _node)}
        self._ending = asyncio.Event()
        app = web.Application()
        app.router.add_route("GET", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        self.url = ""

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*self._runner.addresses[0][:2])

    async def stop(self) -> None:
        self._ending.set()
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if "/leases/" in request.path:
            return web.json_response(_lease(request.path.rpartition("/")[2]))
        if "watch" in request.query:
            stream = web.StreamResponse()
            await stream.prepare(request)
            await self._ending.wait()
            return stream
        if request.path in ("/api", "/apis"):
            return web.json_response({"versions": [], "groups": []})
        return self._page(request)

    def _page(self, request: web.Request) -> web.Response:
        count, make = self._kinds.get(request.path.rpartition("/")[2], (0, _node))
        first = int(request.query.get("continue", 0))
        last = min(count, first + int(request.query.get("limit", count or 1)))
        meta = {"resourceVersion": "10", "continue": str(last) if last < count else ""}
        return web.json_response({"metadata": meta, "items": [make(n) for n in range(first, last)]})


def _pod(number: int, nodes: int) -> dict[str, Any]:
    """About 6 KB, as pods of training jobs are: many variables, managed fields, a full status."""
    job, index = divmod(number, 1250)
    name = f"job-{job}-abcde-a0-worker-{index}"
    owner = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": f"job-{job}",
        "uid": f"uid-{job}",
        "controller": True,
    }
    values = (f"job-{job}", f"uid-{job}", "worker", str(index), str(index), "0")
    container = {
        "name": "trainer",
        "image": "registry.example.com/team/trainer:2026-11-01",
        "env": [{"name": f"VARIABLE_{n}", "value": f"{name}-{n}-" + "x" * 60} for n in range(25)],
        "resources": {
            "limits": {"nvidia.com/gpu": "1", "cpu": "12", "memory": "96Gi"},
            "requests": {"nvidia.com/gpu": "1"},
        },
    }
    state = {"name": "trainer", "ready": True, "state": {"running": {"startedAt": "2026-11-01T00:00:00Z"}}}
    return {
        "metadata": {
            "name": name,
            "namespace": "research",
            "uid": f"uid-{number:08d}-0000-0000-000000000000",
            "resourceVersion": str(1000 + number),
            "creationTimestamp": "2026-11-01T00:00:00Z",
            "labels": dict(zip(POD_LABELS, values, strict=True)),
            "ownerReferences": [owner],
            "managedFields": [{"manager": "kubelet", "fieldsV1": {f"f:{n}": {} for n in range(150)}}],
        },
        "spec": {"nodeName": f"node-{number % nodes:04d}", "containers": [container], "restartPolicy": "Never"},
        "status": {
            "phase": "Running",
            "podIP": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
            "conditions": [{"type": t, "status": "True"} for t in ("PodScheduled", "Initialized", "Ready")],
            "containerStatuses": [state],
        },
    }


def _node(number: int) -> dict[str, Any]:
    resources = {"cpu": "96", "memory": "1Ti", "pods": "110", "nvidia.com/gpu": "8"}
    return {
        "metadata": {
            "name": f"node-{number:04d}",
            "uid": f"uid-node-{number}",
            "resourceVersion": str(number + 1),
            "labels": {
                "kubernetes.io/hostname": f"node-{number:04d}",
                "topology.trainyard.dev/rack": f"r{number // 16}",
            }
            | {f"example.com/label-{n}": f"value-{n}" for n in range(30)},
        },
        "spec": {},
        "status": {
            "allocatable": resources,
            "capacity": resources,
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-01T00:00:00Z"}],
            "images": [{"names": [f"registry.example.com/image-{n}"]} for n in range(50)],
        },
    }


def _lease(name: str) -> dict[str, Any]:
    spec = {"holderIdentity": "another", "leaseDurationSeconds": 3600, "renewTime": "2026-11-01T00:00:00.000000Z"}
    return {"metadata": {"name": name, "namespace": "trainyard-system", "resourceVersion": "1"}, "spec": spec}
