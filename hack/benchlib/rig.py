"""The cluster under the measurement, the operator as a process of its own, and what can be read off it from outside."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp

from benchlib.eyes import BenchFailed
from benchlib.machine import Machine, processor_seconds
from support.operator import OperatorProcess
from support.yard import ROOT, YARD, Cluster, run_yard
from trainyard.kube.client import Client
from trainyard.kube.errors import AlreadyExists, NotFound
from trainyard.kube.resources import NAMESPACES, NODES, TRAINING_JOBS

NAMESPACE = "bench"
WRITES = ("create", "dry-run", "update", "patch", "delete")
_REQUEST = re.compile(
    r'^trainyard_api_requests_total\{code="([^"]*)",resource="([^"]*)",verb="([^"]*)"\} ([0-9.e+]+)$', re.MULTILINE
)
CALM_PROCESSORS, CALM_WITHIN = 0.2, 60.0
"""The cluster is at rest when it uses less than this; after so many seconds it is measured all the same."""

Requests = Mapping[tuple[str, str], int]
"""(verb, resource) → how many were answered or failed."""


@dataclass(frozen=True)
class Reading:
    """What the operator had used at one moment."""

    at: float
    cpu: float
    rss_mib: float
    requests: Requests

    def requests_since(self, before: Reading) -> dict[tuple[str, str], int]:
        moved = {key: count - before.requests.get(key, 0) for key, count in self.requests.items()}
        return {key: count for key, count in moved.items() if count}

    def status_writes_since(self, before: Reading) -> int:
        kind = f"{TRAINING_JOBS}/status"
        return sum(count for (_, resource), count in self.requests_since(before).items() if resource == kind)

    def writes_since(self, before: Reading) -> dict[str, int]:
        """All writes but those of the Lease, by verb and resource."""
        return {
            f"{verb} {resource}": count
            for (verb, resource), count in self.requests_since(before).items()
            if verb in WRITES and not resource.startswith("leases")
        }


class Rig:
    """A cluster and at most one operator on it."""

    def __init__(self, name: str, nodes: int, folder: Path, profile: str) -> None:
        self.name = name
        self.profile = profile
        self.nodes = nodes
        self.folder = folder
        self.machine = Machine(name, self._client_seconds)
        self._sent_seconds = 0.0
        self.kubeconfig = ""
        self.operator: OperatorProcess | None = None

    def up(self) -> None:
        """Bring the cluster up, its progress shown, and give it the CRD."""
        sizes = ("--nodes", "0", "--fake-nodes", str(self.nodes), "--profile", self.profile)
        if subprocess.run([str(YARD), "up", "--name", self.name, *sizes], check=False).returncode != 0:
            raise BenchFailed("hack/yard up failed; its words are above")
        self.kubeconfig = run_yard("kubeconfig", "--name", self.name).strip()
        Cluster(self.name, self.kubeconfig).kubectl(
            "apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds")
        )

    def down(self) -> None:
        subprocess.run([str(YARD), "down", "--name", self.name], check=False)

    async def prepare(self, client: Client) -> None:
        """Our kind is served, the namespace is there, and every node is Ready and untainted: a pinned pod must never
        have to wait."""
        try:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
            await client.create(NAMESPACES, body)
        except AlreadyExists:
            pass
        deadline = time.monotonic() + 180
        while not await _served(client):
            if time.monotonic() > deadline:
                raise BenchFailed("the API server does not serve TrainingJobs")
            await asyncio.sleep(0.2)
        while True:
            usable = sum(1 for node in (await client.list(NODES)).items if _usable(node))
            if usable >= self.nodes:
                return
            if time.monotonic() > deadline:
                raise BenchFailed(f"only {usable} of {self.nodes} nodes became Ready")
            await asyncio.sleep(1)

    async def calm(self, at_least: float) -> None:
        """Rest, until nobody pays for what came before."""
        deadline = time.monotonic() + CALM_WITHIN
        await asyncio.sleep(max(0.0, at_least - 1))
        while True:
            before = self.machine.read()
            await asyncio.sleep(1)
            after = self.machine.read()
            if (after.work - before.work) / (after.at - before.at) < CALM_PROCESSORS or after.at > deadline:
                return

    # the load generator

    async def load(self, requests: Iterable[Mapping[str, Any]], in_flight: int = 64) -> tuple[float, float]:
        """Send them; when the first was sent and the last was answered. Any refusal voids it."""
        path = self.folder / "requests.jsonl"
        path.write_text("".join(json.dumps(request) + "\n" for request in requests), encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchlib.load",
            self.kubeconfig,
            str(path),
            f"--in-flight={in_flight}",
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "operator"), str(ROOT / "hack")))},
        )
        out, _ = await process.communicate()
        if process.returncode != 0:
            raise BenchFailed(f"the load generator ended with {process.returncode}")
        told = json.loads(out)
        refused = {code: count for code, count in told["codes"].items() if not code.startswith("2")}
        if refused:
            raise BenchFailed(f"the API server refused the load generator: {refused}")
        self._sent_seconds += told["processor"]
        return told["began"], told["ended"]

    # the operator

    async def start_operator(self, *, wait: bool = True) -> float:
        """Start it under the same identity as before, as a restarted container has it; when it was started."""
        self.operator = OperatorProcess(
            self.kubeconfig,
            self.folder / "operator.log",
            **{"lease-namespace": NAMESPACE, "pod-name": "bench", "pod-uid": "bench", "pod-namespace": NAMESPACE},
        )
        started = time.monotonic()
        await self.operator.start()
        if wait:
            await self.leading()
        return started

    async def leading(self, seconds: float = 120.0) -> float:
        """When it led, its store filled."""
        deadline = time.monotonic() + seconds
        while True:
            text = await self.metrics()
            if "trainyard_leader 1.0" in text:
                return time.monotonic()
            if time.monotonic() > deadline or self.operator is None or not self.operator.running:
                raise BenchFailed(f"the operator did not come to lead:\n{self.operator and self.operator.tail()}")
            await asyncio.sleep(0.05)

    def led_at(self) -> float:
        """When the operator last came to lead, by its own log; asking its metrics would tell some time later."""
        assert self.operator is not None
        lines = [json.loads(line) for line in self.operator.log.read_text().splitlines() if '"leading"' in line]
        if not lines:
            raise BenchFailed(f"the operator never led:\n{self.operator.tail()}")
        since = time.time() - datetime.fromisoformat(lines[-1]["time"]).timestamp()
        return time.monotonic() - since

    async def stop_operator(self) -> None:
        if self.operator is not None and self.operator.running:
            await self.operator.stop()

    async def kill_operator(self) -> None:
        assert self.operator is not None
        await self.operator.kill()

    def _client_seconds(self) -> float:
        pid = self._operator_pid()
        return self._sent_seconds + (processor_seconds(pid) if pid is not None else 0.0)

    def _operator_pid(self) -> int | None:
        running = self.operator is not None and self.operator.running
        return self.operator.process.pid if running and self.operator and self.operator.process else None

    async def read(self) -> Reading:
        """CPU and memory from the kernel, requests from the operator's own counters."""
        pid = self._operator_pid()
        assert pid is not None
        cpu, rss = processor_seconds(pid), _resident(pid)
        requests: dict[tuple[str, str], int] = {}
        for _, resource, verb, count in _REQUEST.findall(await self.metrics()):
            requests[verb, resource] = requests.get((verb, resource), 0) + int(float(count))
        return Reading(time.monotonic(), cpu, rss, requests)

    async def metrics(self) -> str:
        """A scrape; empty where it could not be had."""
        assert self.operator is not None
        url = f"http://127.0.0.1:{self.operator.metrics_port}/metrics"
        try:
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                return await answer.text()
        except aiohttp.ClientConnectorError:
            return ""


def _resident(pid: int) -> float:
    """MiB of memory, as the kernel counts them."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


async def _served(client: Client) -> bool:
    try:
        await client.list(TRAINING_JOBS)
    except NotFound:
        return False
    return True


def _usable(node: Mapping[str, Any]) -> bool:
    conditions = node["status"].get("conditions", [])
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and not node["spec"].get("taints")
