"""A Prometheus on the operators of a test, with the chart's rules made quick, and an exporter that plays dcgm-exporter.

Quick means: what an alert waits for hours or minutes, it waits for seconds here. Nothing else of a rule is changed.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from dashboardlib.prometheus import Api
from observability.expressions import RULES
from support.operator import OperatorProcess
from support.ports import free_port
from support.world import World
from yardlib.prometheus import Prometheus

QUICK_FOR = "3s"
QUICK_WAITS = {"> 6 * 3600": "> 8"}
"""A wait of a job, in seconds: it stands in the expression, not in `for`."""


def quick_rules() -> dict[str, Any]:
    """The chart's rules with short spans."""
    groups = [g for path in sorted(RULES.glob("*.yaml")) for g in yaml.safe_load(path.read_text("utf-8"))["groups"]]
    for rule in (rule for group in groups for rule in group["rules"]):
        if "for" in rule:
            rule["for"] = QUICK_FOR
        for long, short in QUICK_WAITS.items():
            rule["expr"] = rule["expr"].replace(long, short)
    return {"groups": groups}


def config(rules: Path, operators: list[OperatorProcess], gpus: int, every: str) -> str:
    """As the documents say a plain Prometheus is to be set up, with addresses of this machine."""
    targets = [
        {
            "targets": [f"127.0.0.1:{operator.metrics_port}"],
            "labels": {"namespace": "trainyard-system", "pod": operator.log.stem},
        }
        for operator in operators
    ]
    exporter = {"targets": [f"127.0.0.1:{gpus}"], "labels": {"namespace": "gpu-operator", "pod": "dcgm-exporter-x"}}
    return yaml.safe_dump(
        {
            "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
            "rule_files": [str(rules)],
            "scrape_configs": [
                {"job_name": "trainyard-metrics", "honor_labels": True, "static_configs": targets},
                {"job_name": "dcgm-exporter", "static_configs": [exporter]},
            ],
        }
    )


class FakeDcgm:
    """Tells four series for every GPU of every running pod. `load` says how busy a job's GPUs are, from 0 to 1."""

    def __init__(self, world: World, load: Callable[[str], float], gpus_each: int = 1) -> None:
        self.port = free_port()
        self._world = world
        self._load = load
        self._gpus = gpus_each
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/metrics", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, _: web.Request) -> web.Response:
        return web.Response(text="".join(f"{line}\n" for line in self._lines()), content_type="text/plain")

    def _lines(self) -> Iterator[str]:
        for pod in self._world.all("Pod"):
            job = pod["metadata"].get("labels", {}).get("trainyard.dev/job", "")
            if pod["status"].get("phase") == "Running":
                for gpu in range(self._gpus):
                    yield from self._gpu(pod["metadata"]["name"], gpu, self._load(job))

    def _gpu(self, pod: str, gpu: int, load: float) -> Iterator[str]:
        phase = sum(map(ord, pod)) + gpu
        busy = load * (1 - 0.04 * (1 + math.sin(time.time() / 5 + phase)))  # never all at once the same
        labels = f'gpu="{gpu}",namespace="{self._world.namespace}",pod="{pod}",container="trainer"'
        yield f"DCGM_FI_DEV_GPU_UTIL{{{labels}}} {100 * busy:.0f}"
        yield f"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{{{labels}}} {0.55 * busy:.3f}"
        yield f"DCGM_FI_DEV_FB_USED{{{labels}}} {2048 + 66000 * load:.0f}"
        yield f"DCGM_FI_DEV_XID_ERRORS{{{labels}}} 0"


class Watcher:
    """The Prometheus of one test."""

    def __init__(self, folder: Path, operators: list[OperatorProcess], gpus: FakeDcgm, every: str = "1s") -> None:
        rules = folder / "rules.yaml"
        rules.write_text(yaml.safe_dump(quick_rules()), encoding="utf-8")
        self.server = Prometheus(folder / "prometheus", free_port(), config(rules, operators, gpus.port, every))
        self.api = Api(self.server.url)
        self.began = time.time()
        self.fired: dict[str, dict[str, Any]] = {}

    async def start(self) -> None:
        await asyncio.to_thread(self.server.start)

    async def stop(self) -> None:
        await asyncio.to_thread(self.server.stop)

    def firing(self, name: str) -> bool:
        """Whether an alert fires now; blocks."""
        for alert in self.api.alerts():
            if alert["state"] == "firing":
                self.fired.setdefault(alert["labels"]["alertname"], alert)
        return name in self.fired
