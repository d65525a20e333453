"""A containerd store with large images unpacked once, from which every new node starts: hard links instead of imports.

Blobs and unpacked layers never change once they are committed, so that nodes may share their files; containerd's
databases are written to and are therefore copied.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from yardlib import images, process
from yardlib.paths import runtime_root
from yardlib.process import Program
from yardlib.progress import step
from yardlib.shell import run, succeeds, wait_until
from yardlib.slots import locked

SEEDED = (*images.BASE, images.TORCH)


def archives() -> list[Path]:
    """The archives that a seed is made of: those that nodes need anyway, and the large ones somebody has built."""
    return [images.build(image) for image in SEEDED if image in images.BASE or images.is_built(image)]


def ensure() -> Path:
    """The seed for today's archives, made if need be; an older one goes."""
    wanted = archives()
    name = hashlib.sha256("\n".join(archive.name for archive in wanted).encode()).hexdigest()[:12]
    seed = images.layers_folder() / f"seed-{name}"
    with locked(runtime_root() / "seed.lock"):
        if not seed.exists():
            images.forget(images.layers_folder().glob("seed-*"))
            shutil.rmtree(seed.with_suffix(".new"), ignore_errors=True)  # of a run that was killed
            with step("unpacking images once for all nodes", "30 s with PyTorch"):
                _fill(seed.with_suffix(".new"), wanted)
            seed.with_suffix(".new").rename(seed)
    return seed


def _fill(folder: Path, wanted: list[Path]) -> None:
    """Runs a containerd of its own just long enough to import the archives."""
    runtime = runtime_root() / "seed"
    socket = runtime / "containerd.sock"
    folder.mkdir(parents=True)
    config = folder / "containerd.toml"
    config.write_text(
        f'version = 2\nroot = "{folder}"\nstate = "{runtime}/state"\n[grpc]\n  address = "{socket}"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]\n'
    )
    helper = Program("containerd", ["containerd", "--config", str(config)], runtime)
    process.stop(helper.pid_file, kill=True)  # of a run that was killed
    process.ensure(helper)
    try:
        wait_until(lambda: succeeds(["ctr", "--address", str(socket), "version"]), seconds=30, what="containerd")
        for archive in wanted:
            run(["ctr", "--address", str(socket), "--namespace", "k8s.io", "images", "import", str(archive)])
    finally:
        process.stop(helper.pid_file)
        shutil.rmtree(runtime, ignore_errors=True)
    config.unlink()


def plant(seed: Path, store: Path) -> None:
    """Gives a node that has no store yet one that holds everything the seed does."""
    if store.exists():
        return
    fresh = store.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    run(["cp", "--archive", "--link", str(seed), str(fresh)])
    for database in fresh.rglob("*.db"):
        copy = database.with_suffix(".copy")
        shutil.copy2(database, copy)
        copy.replace(database)
    fresh.rename(store)
