"""Says on stderr what is being done, and keeps saying so while it takes long.

Standard output is left to answers (`kubeconfig`, `status`), so that scripts can read them.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

HEARTBEAT_SECONDS = 15.0


def say(text: str) -> None:
    """One line for the person who waits."""
    print(f"yard: {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str, expect: str = "") -> Iterator[None]:
    """Announces a step, shows that it lives every few seconds, and how long it took when that was noticeable."""
    started = time.monotonic()
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            say(f"  … still {text} ({time.monotonic() - started:.0f} s{', usually ' + expect if expect else ''})")

    say(text + (f" (usually {expect})" if expect else ""))
    watcher = threading.Thread(target=beat, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    took = time.monotonic() - started
    if took >= 2.0:
        say(f"  done in {took:.0f} s")
