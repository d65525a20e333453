"""Images on nodes: which a node has, and how it gets another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from yardlib import images
from yardlib.node_config import RealNode
from yardlib.shell import run


def _ctr(node: RealNode, *arguments: str) -> str:
    return run(["ctr", "--address", str(node.socket), "--namespace", "k8s.io", *arguments])


def present(node: RealNode) -> set[str]:
    """The references of the images that the node has."""
    return set(_ctr(node, "images", "list", "--quiet").split())


def load(node: RealNode, archive: Path) -> bool:
    """Imports a docker-archive into the node; False when the node has that very archive already."""
    noted, facts = node.folder / "loaded" / images.image_name(archive), archive.stat()
    identity = f"{archive} {facts.st_size} {facts.st_mtime_ns}"
    if noted.exists() and noted.read_text() == identity:
        return False
    _ctr(node, "images", "import", str(archive))
    noted.parent.mkdir(parents=True, exist_ok=True)
    noted.write_text(identity)
    return True


def load_everywhere(nodes: list[RealNode], archive: Path) -> int:
    """Imports into several nodes at a time; how many needed it."""
    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(lambda node: load(node, archive), nodes))


def ensure_base(node: RealNode) -> None:
    """busybox and the pause image, without which no pod starts."""
    have = present(node)
    for image in images.BASE:
        if image.reference not in have:
            load(node, images.build(image))
