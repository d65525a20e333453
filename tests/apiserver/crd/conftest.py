"""A kubectl in a namespace of its own, on the control plane that all suites of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from support.yard import ROOT, Cluster

CRDS = ROOT / "crds"


@dataclass(frozen=True, slots=True)
class Answer:
    """What kubectl said."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Runs kubectl in one namespace."""

    cluster: Cluster
    namespace: str

    def __call__(self, *arguments: str, documents: tuple[dict[str, Any], ...] = ()) -> Answer:
        stdin = yaml.safe_dump_all(documents) if documents else None
        done = self.cluster.kubectl("--namespace", self.namespace, *arguments, stdin=stdin, check=False)
        return Answer(done.returncode, done.stdout + done.stderr)

    def must(self, *arguments: str, documents: tuple[dict[str, Any], ...] = ()) -> str:
        answer = self(*arguments, documents=documents)
        assert answer.code == 0, answer.text
        return answer.text

    def apply(self, *documents: dict[str, Any]) -> Answer:
        return self("apply", "--validate=strict", "-f", "-", documents=documents)

    def apply_file(self, path: Path, *arguments: str) -> Answer:
        return self("apply", "--validate=strict", *arguments, "-f", str(path))


@pytest.fixture(scope="module")
def kubectl(cluster: Cluster) -> Iterator[Kubectl]:
    """kubectl in a fresh namespace, which goes at the end."""
    kubectl = Kubectl(cluster, f"crd-{uuid4().hex[:8]}")
    kubectl.must("create", "namespace", kubectl.namespace)
    yield kubectl
    kubectl("delete", "namespace", kubectl.namespace, "--wait=false")
