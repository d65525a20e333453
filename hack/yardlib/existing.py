"""The provider `existing`: whatever cluster the current kubeconfig points at; it is used, never made nor removed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from yardlib import build
from yardlib.errors import YardError
from yardlib.progress import say
from yardlib.shell import run


def kubeconfig() -> Path:
    """The file that kubectl would read."""
    files = os.environ.get("KUBECONFIG", "").split(os.pathsep)
    return Path(files[0]) if files[0] else Path.home() / ".kube" / "config"


def kubectl() -> str:
    """A kubectl: the one on PATH, else the one we built."""
    found = shutil.which("kubectl")
    if found:
        return found
    if build.binary("kubectl").exists():
        return str(build.binary("kubectl"))
    raise YardError("kubectl is not installed", "install it, or build one: hack/yard build")


def up() -> None:
    """Checks that the cluster answers."""
    path = kubeconfig()
    if not path.exists():
        raise YardError(
            f"there is no kubeconfig at {path}",
            "export KUBECONFIG=..., or make a cluster: hack/yard up --provider local",
        )
    run([kubectl(), "--kubeconfig", str(path), "get", "--raw", "/readyz"], hint=f"does the cluster of {path} run?")
    say(f"using the cluster of {path}")
