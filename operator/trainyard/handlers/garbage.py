"""Python's cyclic garbage collector, kept from pausing the event loop.

A full collection goes through every object that may be part of a cycle, and all stands still for it: with 10,000 pods
in the store up to 0.4 s, in which nothing is decided, nobody is answered and no Lease is renewed. Nearly all of what
it goes through are the store's values, which form no cycles and go by their reference counts as soon as nobody holds
them. So what has survived one full collection is left out of the next ones (`gc.freeze`), which are then as short as
what came since. What was frozen and became a cycle later is found when, now and then, all is gone through again.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trainyard.kube.clock import steady

FULL = 2
"""The generation whose collection goes through all objects."""
THRESHOLDS = (5_000, 5, 2)
"""Python's 700 new objects are fewer than one job's snapshot holds: each of its tuples would be gone through for being
young, many times a second. After as many collections as told of the younger, the older generation has its turn."""
THAW_SECONDS = 3600.0
"""How often a full collection goes through all again."""


@contextmanager
def short_pauses(clock: Callable[[], float] = steady) -> Iterator[None]:
    """While it is entered, full collections go through what came since the last one, and once an hour through all."""
    before, thawed = gc.get_threshold(), clock()

    def around(phase: str, info: dict[str, int]) -> None:
        nonlocal thawed
        if info["generation"] != FULL:
            return
        if phase == "stop":
            gc.freeze()
        elif clock() - thawed >= THAW_SECONDS:
            thawed = clock()
            gc.unfreeze()

    gc.callbacks.append(around)
    gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(around)
        gc.unfreeze()
