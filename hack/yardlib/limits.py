"""Limits of this machine's kernel that several clusters side by side reach, raised where we may."""

from __future__ import annotations

import contextlib
from pathlib import Path

INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
ENOUGH = 1024
"""inotify instances of one user, all clusters together. Linux grants 128, and two clusters with their pods use them up:
kubelets then end at once with "inotify_init: too many open files"."""


def raise_limits() -> None:
    """Never lowered again: others may count on it by then. Where we may not, a single cluster does without."""
    with contextlib.suppress(OSError):
        if int(INSTANCES.read_text("ascii")) < ENOUGH:
            INSTANCES.write_text(f"{ENOUGH}\n", "ascii")
