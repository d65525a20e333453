"""Runs other programs and waits for conditions; a failure becomes a YardError that shows what the program said."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from yardlib.errors import YardError

TAIL_LINES = 15


def run(
    argv: Sequence[str],
    *,
    hint: str = "",
    stdin: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Runs a program to its end and returns its standard output; anything but exit 0 raises."""
    try:
        done = subprocess.run(list(argv), input=stdin, cwd=cwd, env=env, text=True, capture_output=True, check=False)
    except FileNotFoundError as missing:
        raise YardError(f"the program `{argv[0]}` is not installed", hint) from missing
    if done.returncode != 0:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-TAIL_LINES:])
        raise YardError(f"`{' '.join(argv)}` failed with exit code {done.returncode}:\n{said}", hint)
    return done.stdout


def succeeds(argv: Sequence[str]) -> bool:
    """True when the program exists and ends with exit 0."""
    try:
        return subprocess.run(list(argv), capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str, hint: str = "", pause: float = 0.1) -> None:
    """Polls until the condition holds; raises with `what` was awaited when the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise YardError(f"waited {seconds:.0f} s in vain for {what}", hint)
        time.sleep(pause)
