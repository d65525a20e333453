"""The provider `kind`: the same nodes, labels and resources where a container engine runs. Thin on purpose."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from yardlib import images
from yardlib.errors import YardError
from yardlib.paths import REPOSITORY, cluster_dir
from yardlib.progress import say, step
from yardlib.shell import run, succeeds
from yardlib.spec import ClusterSpec
from yardlib.topology import (
    GPUS_PER_NODE,
    LABEL_BLOCK,
    LABEL_RACK,
    RDMA_PER_NODE,
    RESOURCE_GPU,
    RESOURCE_RDMA,
    real_place,
)

NODE_IMAGE = "kindest/node:v1.37.2"
KIND_HINT = "install kind: https://kind.sigs.k8s.io/docs/user/quick-start"
Json = dict[str, object]


def engine() -> str | None:
    """The container engine whose daemon answers, if any."""
    return next((name for name in ("docker", "podman") if succeeds([name, "info"])), None)


def config(spec: ClusterSpec) -> Json:
    """The kind cluster: one control plane, workers labelled like the nodes of the local provider."""
    workers: list[Json] = []
    for index in range(1, spec.nodes + 1):
        place = real_place(index)
        workers.append({"role": "worker", "labels": {LABEL_BLOCK: place.block, LABEL_RACK: place.rack}})
    nodes: list[Json] = [{"role": "control-plane"}, *workers]
    return {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "name": cluster_name(spec.name), "nodes": nodes}


def cluster_name(name: str) -> str:
    """As kind lists it: ours are told apart from others."""
    return f"trainyard-{name}"


def kubeconfig(name: str) -> Path:
    """Where the cluster's kubeconfig is written."""
    return cluster_dir(name) / "kubeconfig"


def exists(name: str) -> bool:
    """True when kind knows the cluster."""
    return shutil.which("kind") is not None and cluster_name(name) in run(["kind", "get", "clusters"]).split()


def up(spec: ClusterSpec) -> None:
    """Creates the cluster unless it is there, and gives its workers their made-up resources."""
    spec.check()
    if spec.fake_nodes:
        raise YardError("the provider kind has no fake nodes", "use --provider local for those")
    state = cluster_dir(spec.name)
    state.mkdir(parents=True, exist_ok=True)
    if exists(spec.name):
        run(
            [
                "kind",
                "export",
                "kubeconfig",
                "--name",
                cluster_name(spec.name),
                "--kubeconfig",
                str(kubeconfig(spec.name)),
            ]
        )
    else:
        rendered = state / "kind.json"
        rendered.write_text(json.dumps(config(spec), indent=1) + "\n")
        with step("creating the kind cluster", "1 min"):
            run(
                [
                    "kind", "create", "cluster", "--config", str(rendered), "--image", NODE_IMAGE,
                    "--kubeconfig", str(kubeconfig(spec.name)), "--wait", "180s",
                ],
                hint=KIND_HINT,
            )  # fmt: skip
    patch = json.dumps({"status": {"capacity": {RESOURCE_GPU: str(GPUS_PER_NODE), RESOURCE_RDMA: str(RDMA_PER_NODE)}}})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda node: _patch(spec.name, node, patch), worker_names(spec)))
    say(f"cluster '{spec.name}' is ready: export KUBECONFIG={kubeconfig(spec.name)}")


def worker_names(spec: ClusterSpec) -> list[str]:
    """The names kind gives: `-worker`, `-worker2`, `-worker3`."""
    base = f"{cluster_name(spec.name)}-worker"
    return [base if index == 1 else f"{base}{index}" for index in range(1, spec.nodes + 1)]


def _patch(name: str, node: str, patch: str) -> None:
    """Extended resources without a device plugin; the kubelet copies capacity to allocatable."""
    run(
        [
            "kubectl", "--kubeconfig", str(kubeconfig(name)), "patch", "node", node, "--subresource=status",
            "--type=merge", "--patch", patch,
        ],
        hint="install kubectl",
    )  # fmt: skip


def down(name: str) -> bool:
    """Deletes the cluster; True when there was one."""
    existed = exists(name)
    if existed:
        run(["kind", "delete", "cluster", "--name", cluster_name(name)])
    shutil.rmtree(cluster_dir(name), ignore_errors=True)
    return existed


def load_image(name: str, what: str) -> None:
    """The operator's image is built by its Dockerfile, other references are taken from the engine as they are."""
    tar = Path(what)
    if tar.is_file():
        run(["kind", "load", "image-archive", str(tar), "--name", cluster_name(name)], hint=KIND_HINT)
        return
    reference = images.BY_NAME[what].reference if what in images.BY_NAME else what
    if what == images.OPERATOR.name:
        program = engine()
        if program is None:
            raise YardError("no container engine answers", "start docker or podman")
        run([program, "build", "--tag", reference, str(REPOSITORY)])
    run(["kind", "load", "docker-image", reference, "--name", cluster_name(name)], hint=KIND_HINT)
