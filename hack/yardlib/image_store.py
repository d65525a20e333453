"""Images on nodes: which a node has, and how it gets another."""

from __future__ import annotations

from pathlib import Path

from yardlib import images
from yardlib.node_config import RealNode
from yardlib.shell import run


def _ctr(node: RealNode, *arguments: str) -> str:
    return run(["ctr", "--address", str(node.socket), "--namespace", "k8s.io", *arguments])


def present(node: RealNode) -> set[str]:
    """The references of the images that the node has."""
    return set(_ctr(node, "images", "list", "--quiet").split())


def load(node: RealNode, archive: Path) -> None:
    """Imports a docker-archive into the node."""
    _ctr(node, "images", "import", str(archive))


def ensure_base(node: RealNode) -> None:
    """busybox and the pause image, without which no pod starts."""
    have = present(node)
    for image in images.BASE:
        if image.reference not in have:
            load(node, images.build(image))
