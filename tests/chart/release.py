"""A release of the chart, as `helm` installs, upgrades, rolls back and removes it. It judges nothing."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chartlib import chart
from support.yard import Cluster
from yardlib import build

Object = dict[str, Any]
NAME, HOME = chart.RELEASE, chart.NAMESPACE
OPERATOR = "trainyard-operator"
# Built from today's sources and loaded into the nodes; the chart's own default is a version's tag.
IMAGE = {"image": {"tag": "dev"}}
OLDER = "0.0.9"


@dataclass
class Release:
    """One release; `packages` is where older versions of the chart are made."""

    cluster: Cluster
    packages: Path
    home: str = HOME
    program: str = "helm"
    said: list[str] = field(default_factory=list)

    async def helm(self, *arguments: str, values: Object | None = None) -> str:
        """What one command says; it must succeed."""
        command = [str(build.binary(self.program)), *arguments, f"--kubeconfig={self.cluster.kubeconfig}"]
        if values is not None:
            path = self.packages / f"values-{len(self.said)}.json"
            path.write_text(json.dumps(merged(IMAGE, values)))
            command.append(f"--values={path}")
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        out, _ = await process.communicate()
        self.said.append(out.decode())
        assert process.returncode == 0, f"{' '.join(command)} failed:\n{out.decode()}"
        return out.decode()

    async def install(self, source: Path = chart.CHART, *flags: str, **values: Any) -> str:
        wait = ("--create-namespace", "--wait", "--timeout=2m", *flags)
        return await self.helm("install", NAME, str(source), "-n", self.home, *wait, values=values)

    async def upgrade(self, *flags: str, source: Path = chart.CHART, **values: Any) -> str:
        return await self.helm("upgrade", NAME, str(source), "-n", self.home, *flags, values=values)

    async def test(self) -> str:
        # Helm 3 looks for the log of a pod that it has just removed.
        logs = ["--logs"] if self.program == "helm" else []
        return await self.helm("test", NAME, "-n", self.home, "--timeout=3m", *logs)

    async def rollback(self, revision: int) -> str:
        return await self.helm("rollback", NAME, str(revision), "-n", self.home, "--wait", "--timeout=2m")

    async def uninstall(self) -> str:
        return await self.helm("uninstall", NAME, "-n", self.home, "--wait", "--ignore-not-found")

    async def kubectl(self, *commands: str) -> None:
        """Commands as they are typed, one after the other."""
        for command in commands:
            await asyncio.to_thread(self.cluster.kubectl, *command.split()[1:])

    async def older(self) -> Path:
        """The chart as it would have been in an older version, whose operators call themselves by another build."""
        package = self.packages / f"trainyard-{OLDER}.tgz"
        if not package.exists():
            flags = (f"--version={OLDER}", f"--app-version={OLDER}", f"--destination={self.packages}")
            await self.helm("package", str(chart.CHART), *flags)
        return package

    def leader(self) -> str:
        """The pod that holds the Lease; empty where nobody does."""
        lease = self.cluster.kubectl("-n", self.home, "get", "lease", OPERATOR, "-o", "json", check=False)
        holder = json.loads(lease.stdout)["spec"].get("holderIdentity") if lease.returncode == 0 else ""
        return (holder or "").partition("_")[0]

    def operators(self) -> list[Object]:
        """Their pods."""
        selector = "app.kubernetes.io/component=operator"
        told = self.cluster.kubectl("-n", self.home, "get", "pods", "-l", selector, "-o", "json").stdout
        items: list[Object] = json.loads(told)["items"]
        return items

    def log(self) -> str:
        return self.cluster.kubectl(
            "-n", self.home, "logs", "-l", "app.kubernetes.io/component=operator", "--tail=-1"
        ).stdout


def removal() -> list[str]:
    """What the notes of the chart have one type to be rid of jobs, pods and, by the last command, the kind."""
    _, _, told = chart.texts()["templates/NOTES.txt"].partition("To remove them too")
    return [line for line in told.splitlines() if line.startswith("kubectl ")]


def as_build(name: str) -> Object:
    """Values for operators that call themselves by this build."""
    return {"extraEnv": [{"name": "TRAINYARD_BUILD", "value": name}]}


def merged(base: Object, over: Object) -> Object:
    """`over` laid over `base`, mappings in mappings."""
    both = {key: merged(base[key], over[key]) for key in base.keys() & over.keys() if isinstance(base[key], dict)}
    return {**base, **over, **both}
