"""Starts the operator as a process of its own, and asks its probes."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import yaml

from support.ports import free_port

ROOT = Path(__file__).parents[2]


def write_kubeconfig(path: Path, server: str, token: str = "t") -> Path:
    cluster = {"name": "c", "cluster": {"server": server}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    users = [{"name": "u", "user": {"token": token}}]
    config = {"clusters": [cluster], "contexts": [context], "users": users, "current-context": "x"}
    path.write_text(yaml.safe_dump(config))
    return path


@dataclass
class Ended:
    code: int | None
    out: str
    err: str


async def start(*arguments: str) -> asyncio.subprocess.Process:
    """With a port of its own for the metrics, unless the arguments name one."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("TRAINYARD_", "KUBERNETES_"))}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "trainyard",
        *arguments,
        env={**clean, "PYTHONPATH": str(ROOT / "operator"), "TRAINYARD_METRICS_PORT": str(free_port())},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def end(child: asyncio.subprocess.Process) -> Ended:
    out, err = await asyncio.wait_for(child.communicate(), 20)
    return Ended(child.returncode, out.decode(), err.decode())


async def probe(port: int, path: str) -> tuple[int, str]:
    """The answer, once there is somebody to answer."""
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                    return answer.status, await answer.text()
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.05)
