"""The provider `kind`: the same nodes, labels and resources where a container engine runs. Thin on purpose."""

from __future__ import annotations

import json
import os
import platform
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from yardlib import engine, images, remote
from yardlib.errors import YardError
from yardlib.paths import cluster_dir
from yardlib.progress import say, step
from yardlib.shell import run
from yardlib.spec import ClusterSpec, check_name
from yardlib.topology import (
    GPUS_PER_NODE,
    LABEL_BLOCK,
    LABEL_RACK,
    RDMA_PER_NODE,
    RESOURCE_GPU,
    RESOURCE_RDMA,
    real_place,
)

NODE_IMAGE = "TRAINYARD_KIND_IMAGE"
"""The environment variable that names a node image; without it kind takes the one it was released with."""
RENDERED = "kind.json"
KIND_HINT = "install kind (https://kind.sigs.k8s.io/docs/user/quick-start), or use --provider local"
Json = dict[str, object]


def usable() -> bool:
    """True where a cluster of kind's can be had: an engine answers, and kind is there or nothing else would do."""
    return (shutil.which("kind") is not None or platform.system() != "Linux") and engine.find() is not None


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


def made(name: str) -> bool:
    """True when such a cluster was asked for here and not taken down."""
    return (cluster_dir(name) / RENDERED).exists()


def get(name: str) -> Path:
    """The kubeconfig of a cluster that is there; raises where there is none."""
    if not made(name):
        raise YardError(f"kind has no cluster '{name}'", f"make one: hack/yard up --provider kind --name {name}")
    return kubeconfig(name)


def up(spec: ClusterSpec) -> None:
    """Creates the cluster unless it is there, and gives its workers their made-up resources."""
    spec.check()
    if spec.fake_nodes:
        raise YardError("the provider kind has no fake nodes", "use --provider local for those")
    if shutil.which("kind") is None:
        raise YardError("kind is not installed", KIND_HINT)
    state = cluster_dir(spec.name)
    state.mkdir(parents=True, exist_ok=True)
    rendered = state / RENDERED
    rendered.write_text(json.dumps(config(spec), indent=1) + "\n")
    if exists(spec.name):
        export = ["kind", "export", "kubeconfig", "--name", cluster_name(spec.name)]
        run([*export, "--kubeconfig", str(kubeconfig(spec.name))])
    else:
        with step("creating the kind cluster", "1 min"):
            create = ["kind", "create", "cluster", "--config", str(rendered), "--wait", "180s", *_image()]
            run([*create, "--kubeconfig", str(kubeconfig(spec.name))], hint=KIND_HINT)
    patch = json.dumps({"status": {"capacity": {RESOURCE_GPU: str(GPUS_PER_NODE), RESOURCE_RDMA: str(RDMA_PER_NODE)}}})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda node: _patch(spec.name, node, patch), worker_names(spec)))
    say(f"cluster '{spec.name}' is ready: export KUBECONFIG={kubeconfig(spec.name)}")


def _image() -> list[str]:
    chosen = os.environ.get(NODE_IMAGE)
    return ["--image", chosen] if chosen else []


def worker_names(spec: ClusterSpec) -> list[str]:
    """The names kind gives: `-worker`, `-worker2`, `-worker3`."""
    base = f"{cluster_name(spec.name)}-worker"
    return [base if index == 1 else f"{base}{index}" for index in range(1, spec.nodes + 1)]


def _patch(name: str, node: str, patch: str) -> None:
    """Extended resources without a device plugin; the kubelet copies capacity to allocatable."""
    remote.ask(kubeconfig(name), "patch", "node", node, "--subresource=status", "--type=merge", "--patch", patch)


def down(name: str) -> bool:
    """Deletes the cluster; True when there was one."""
    check_name(name)
    existed = exists(name)
    if existed:
        run(["kind", "delete", "cluster", "--name", cluster_name(name)])
    shutil.rmtree(cluster_dir(name), ignore_errors=True)
    return existed


def load_image(name: str, what: str) -> None:
    """Loads an archive as it is, the operator's image as the Dockerfile makes it, any other from the engine.

    Those of our own that the engine lacks are made as for the provider local, where the machine can do that.
    """
    get(name)
    if Path(what).is_file():
        _load_archive(name, Path(what))
        return
    program = engine.require()
    ours = images.BY_NAME.get(what)
    if ours is images.OPERATOR:
        _load_held(name, program, engine.build_operator(program))
        return
    reference = ours.reference if ours else what
    if engine.has(program, reference):
        _load_held(name, program, reference)
    elif ours:
        _load_archive(name, _built_here(ours, program))
    else:
        raise YardError(
            f"{program} has no image {reference}",
            f"{program} pull or build it first; or give a docker-archive's path, or one of {', '.join(images.BY_NAME)}",
        )


def _built_here(image: images.Image, program: str) -> Path:
    try:
        return images.build(image)
    except YardError as broken:
        raise YardError(
            f"{program} has no image {image.reference}, and it cannot be made here: {broken.message}",
            f"{broken.hint}; or tag one of your own so: {program} tag IMAGE {image.reference}".removeprefix("; or "),
        ) from broken


def _load_archive(name: str, archive: Path) -> None:
    with step(f"loading {archive.name} into the nodes"):
        run(["kind", "load", "image-archive", str(archive), "--name", cluster_name(name)], hint=KIND_HINT)


def _load_held(name: str, program: str, reference: str) -> None:
    """From the engine to the nodes; kind asks docker by itself, podman's images go by way of a file."""
    if program == "docker":
        with step(f"loading {reference} into the nodes"):
            run(["kind", "load", "docker-image", reference, "--name", cluster_name(name)], hint=KIND_HINT)
        return
    archive = cluster_dir(name) / "image.tar"
    archive.unlink(missing_ok=True)  # podman writes over nothing
    try:
        engine.save(program, reference, archive)
        _load_archive(name, archive)
    finally:
        archive.unlink(missing_ok=True)
