"""Which processes belong to a cluster: the kernel's own account, which survives lost pid files and forks.

Every process of a cluster lives below the control group `trainyard/<slot>`. Works on both versions of control
groups; on version 1 each controller has its own tree, and `pids` is the one asked for membership.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from yardlib.errors import YardError

ROOT = Path("/sys/fs/cgroup")
TOP = "trainyard"
CONTROLLERS = (
    "pids", "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "hugetlb", "net_cls", "perf_event",
    "systemd",
    "unified",  # where both versions are mounted, the runtime makes a folder there too
)  # fmt: skip
KILL_SECONDS = 20.0


def is_v2() -> bool:
    """True where one unified tree is all there is."""
    return (ROOT / "cgroup.controllers").exists()


def available() -> bool:
    """True where this user may make control groups."""
    return os.geteuid() == 0 and (is_v2() or (ROOT / "pids").is_dir())


def trees() -> list[Path]:
    """The root of every tree a node needs a folder in; the first one holds the processes."""
    if is_v2():
        return [ROOT]
    return [ROOT / name for name in CONTROLLERS if (ROOT / name).is_dir()]


def path_of(slot: int, *parts: str) -> str:
    """The name of a group as kubelets and runtimes are told it."""
    return "/".join(("", TOP, str(slot), *parts))


def create(group: str) -> Path:
    """Makes the group in every tree and returns its folder in the one that holds the processes."""
    for tree in trees():
        folder = tree
        for part in group.strip("/").split("/"):
            if is_v2():
                _delegate(folder)
            parent, folder = folder, folder / part
            folder.mkdir(exist_ok=True)
            if tree.name == "cpuset":
                _inherit_cpuset(parent, folder)
    return trees()[0] / group.strip("/")


def _delegate(folder: Path) -> None:
    """Lets children of a version 2 group use its controllers; one that cannot be handed down is left out."""
    for controller in (folder / "cgroup.controllers").read_text().split():
        with contextlib.suppress(OSError):
            (folder / "cgroup.subtree_control").write_text(f"+{controller}")


def _inherit_cpuset(parent: Path, folder: Path) -> None:
    """A fresh cpuset group is empty and takes no process before it has CPUs and memory."""
    for file in ("cpuset.cpus", "cpuset.mems"):
        if not (folder / file).read_text().strip():
            (folder / file).write_text((parent / file).read_text())


def processes(group: str) -> set[int]:
    """Every process in the group and below it, in whatever tree it was seen."""
    found: set[int] = set()
    for tree in trees():
        for file in _walk(tree / group.strip("/")):
            with contextlib.suppress(OSError, ValueError):
                found.update(int(line) for line in (file / "cgroup.procs").read_text().split())
    found.discard(os.getpid())
    return found


def kill(group: str) -> None:
    """Kills all of it, as a power cut would, and waits until nothing is left."""
    deadline = time.monotonic() + KILL_SECONDS
    while members := processes(group):
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise YardError(
                f"processes {sorted(members)} of group {group} do not die",
                "look at them with ps; they may hang in the kernel",
            )
        time.sleep(0.02)


def remove(group: str) -> None:
    """Removes the empty group and all below it."""
    for tree in trees():
        for folder in reversed(list(_walk(tree / group.strip("/")))):
            _rmdir(folder)
    if not any((tree / TOP).is_dir() and _children(tree / TOP) for tree in trees()):
        for tree in trees():
            _rmdir(tree / TOP)


def _rmdir(folder: Path) -> None:
    for _ in range(50):  # a group just emptied stays busy for a moment
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.02)
        else:
            return


def _children(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return [child for child in folder.iterdir() if child.is_dir()]
    return []


def _walk(folder: Path) -> Iterable[Path]:
    """The folder and all below it, parents first."""
    if folder.is_dir():
        yield folder
        for child in _children(folder):
            yield from _walk(child)
