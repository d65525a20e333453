"""Images on nodes: which a node has, and how it gets another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from yardlib import images, seed
from yardlib.node_config import RealNode
from yardlib.shell import run


def _ctr(node: RealNode, *arguments: str) -> str:
    return run(["ctr", "--address", str(node.socket), "--namespace", "k8s.io", *arguments])


def load(node: RealNode, archive: Path) -> bool:
    """Imports a docker-archive into the node; False when the node has that very archive already."""
    noted = _note(node, archive)
    if noted.exists() and noted.read_text() == _identity(archive):
        return False
    _ctr(node, "images", "import", str(archive))
    note(node, archive)
    return True


def note(node: RealNode, archive: Path) -> None:
    """Remembers that the node has this archive."""
    noted = _note(node, archive)
    noted.parent.mkdir(parents=True, exist_ok=True)
    noted.write_text(_identity(archive))


def _note(node: RealNode, archive: Path) -> Path:
    return node.folder / "loaded" / images.image_name(archive)


def _identity(archive: Path) -> str:
    facts = archive.stat()
    return f"{archive} {facts.st_size} {facts.st_mtime_ns}"


def load_everywhere(nodes: list[RealNode], archive: Path) -> int:
    """Imports into several nodes at a time; how many needed it."""
    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(lambda node: load(node, archive), nodes))


def plant(node: RealNode) -> None:
    """Gives a new node every image that the seed holds."""
    store = node.folder / "containerd"
    if not store.exists():
        seed.plant(seed.ensure(), store)
        for archive in seed.archives():
            note(node, archive)
