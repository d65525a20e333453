"""What a cluster that others run says of itself, asked through kubectl: for the providers `kind` and `existing`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from yardlib import build
from yardlib.api import Json
from yardlib.errors import YardError
from yardlib.nodes import is_ready
from yardlib.shell import run


def kubectl() -> str:
    """A kubectl: the one on PATH, else the one we built."""
    found = shutil.which("kubectl")
    if found:
        return found
    if build.binary("kubectl").exists():
        return str(build.binary("kubectl"))
    raise YardError("kubectl is not installed", "install it, or build one: hack/yard build --no-images")


def ask(kubeconfig: Path | None, *words: str) -> str:
    """What kubectl answers; without a kubeconfig it finds one as it always does."""
    chosen = [] if kubeconfig is None else [f"--kubeconfig={kubeconfig}"]
    return run([kubectl(), *chosen, *words], hint="does that cluster run, and is it the one you mean?")


def nodes(kubeconfig: Path | None) -> list[Json]:
    """All nodes."""
    items: list[Json] = json.loads(ask(kubeconfig, "get", "nodes", "--output=json"))["items"]
    return items


def status(kubeconfig: Path | None) -> None:
    """One line for the API server and one a node; raises when a node is not ready, so that scripts see it."""
    print(f"  {'API server':28} {ask(kubeconfig, 'get', '--raw', '/readyz').strip()}")
    unready = []
    for node in nodes(kubeconfig):
        name, ready = node["metadata"]["name"], is_ready(node)
        kubelet = node["status"].get("nodeInfo", {}).get("kubeletVersion", "")
        print(f"  {name:28} {'ready' if ready else 'NOT READY'} {kubelet}")
        if not ready:
            unready.append(name)
    if unready:
        raise YardError(f"not ready: {', '.join(unready)}", f"kubectl describe node {unready[0]}")
