"""A kubectl that talks to a real API server with the CRDs applied."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Answer:
    """What kubectl said."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Runs kubectl in one namespace."""

    binary: str
    kubeconfig: str
    namespace: str = "default"

    def __call__(self, *arguments: str, documents: tuple[dict[str, Any], ...] = ()) -> Answer:
        done = subprocess.run(
            [self.binary, "--kubeconfig", self.kubeconfig, "--namespace", self.namespace, *arguments],
            input=yaml.safe_dump_all(documents) if documents else None,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Answer(done.returncode, done.stdout + done.stderr)

    def must(self, *arguments: str, documents: tuple[dict[str, Any], ...] = ()) -> str:
        answer = self(*arguments, documents=documents)
        assert answer.code == 0, answer.text
        return answer.text

    def apply(self, *documents: dict[str, Any]) -> Answer:
        return self("apply", "--validate=strict", "-f", "-", documents=documents)


@pytest.fixture(scope="session")
def kubectl_binary() -> str:
    """`TRAINYARD_TEST_KUBECTL`, else the one built for the local cluster, else the one on the path."""
    built = sorted(Path("~/.cache/trainyard/bin").expanduser().glob("kubernetes-*/kubectl"))
    return os.environ.get("TRAINYARD_TEST_KUBECTL") or (str(built[-1]) if built else "kubectl")


@pytest.fixture(scope="session")
def crd_kubeconfig(kubectl_binary: str) -> str:
    """The kubeconfig of a control plane without nodes, with the CRDs applied."""
    path = os.environ.get("TRAINYARD_TEST_KUBECONFIG")
    if path is None:
        yard = str(ROOT / "hack/yard")
        subprocess.run([yard, "up", "--name", "api", "--nodes", "0"], check=True, timeout=280)
        asked = [yard, "kubeconfig", "--name", "api"]
        path = subprocess.run(asked, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
    kubectl = Kubectl(kubectl_binary, path)
    kubectl.must("apply", "--server-side=false", "-f", str(ROOT / "crds"))
    kubectl.must("wait", "--for=condition=Established", "crd/trainingjobs.trainyard.dev", "--timeout=30s")
    return path


@pytest.fixture(scope="module")
def kubectl(kubectl_binary: str, crd_kubeconfig: str) -> Iterator[Kubectl]:
    """kubectl in a fresh namespace, which goes at the end."""
    namespace = f"crd-{uuid.uuid4().hex[:8]}"
    kubectl = Kubectl(kubectl_binary, crd_kubeconfig, namespace)
    kubectl.must("create", "namespace", namespace)
    yield kubectl
    kubectl("delete", "namespace", namespace, "--wait=false")
