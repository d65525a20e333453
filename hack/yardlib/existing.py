"""The provider `existing`: whatever cluster the current kubeconfig points at; it is used, never made nor removed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

from yardlib import remote
from yardlib.errors import YardError
from yardlib.progress import say
from yardlib.spec import ClusterSpec


def kubeconfig() -> str:
    """What kubectl would read: a path, or several as KUBECONFIG lists them."""
    return os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")


def up(spec: ClusterSpec) -> None:
    """Checks that the cluster answers."""
    if spec.fake_nodes:
        raise YardError("the provider existing makes no nodes", "use --provider local for fake ones")
    if not any(Path(path).exists() for path in kubeconfig().split(os.pathsep) if path):
        raise YardError(
            f"there is no kubeconfig at {kubeconfig()}",
            "export KUBECONFIG=..., or make a cluster: hack/yard up --provider local",
        )
    remote.ask(None, "get", "--raw", "/readyz")
    say(f"using the cluster of {kubeconfig()}")


def load_image(image: str) -> NoReturn:
    """Refuses: nodes that were not made here are not reached into."""
    raise YardError(
        f"'{image}' cannot be put on nodes that were not made here",
        "push it to a registry that they pull from (the operator's: hack/image, then docker tag and docker push), and "
        "name that reference in manifests: hack/manifests --image REFERENCE | kubectl apply -f -",
    )
