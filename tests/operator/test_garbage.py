"""Are full collections short, and is what became a cycle after all found in the end?"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from engine.fakes import Clock
from trainyard.handlers.garbage import THAW_SECONDS, short_pauses


class Node:
    """May point at itself."""

    itself: Node


@pytest.fixture
def clock() -> Iterator[Clock]:
    """The collector runs when it is asked to alone: what a test says happened must not have happened by itself."""
    clock = Clock(at=0.0)
    with short_pauses(clock):
        gc.disable()
        try:
            yield clock
        finally:
            gc.enable()


def cycle() -> tuple[Node, weakref.ref[Node]]:
    node = Node()
    node.itself = node
    return node, weakref.ref(node)


def test_what_survived_a_full_collection_is_left_out_of_the_next(clock: Clock) -> None:
    gc.collect()
    frozen = gc.get_freeze_count()
    assert frozen > 10_000
    node = Node()
    assert any(thing is node for thing in gc.get_objects())
    gc.collect()
    assert not any(thing is node for thing in gc.get_objects())
    assert gc.get_freeze_count() > frozen


def test_a_collection_of_the_younger_freezes_nothing(clock: Clock) -> None:
    gc.collect()
    gc.unfreeze()
    gc.collect(1)
    assert gc.get_freeze_count() == 0


def test_a_new_cycle_is_found_by_the_next_collection(clock: Clock) -> None:
    gc.collect()
    node, alive = cycle()
    del node
    gc.collect()
    assert alive() is None


def test_a_frozen_object_goes_at_once_by_its_count(clock: Clock) -> None:
    node = Node()
    alive = weakref.ref(node)
    gc.collect()
    del node
    assert alive() is None


def test_a_frozen_cycle_is_found_when_all_is_gone_through_again(clock: Clock) -> None:
    node, alive = cycle()
    gc.collect()
    del node
    clock.at = THAW_SECONDS - 1
    gc.collect()
    assert alive() is not None
    clock.at = THAW_SECONDS
    gc.collect()
    assert alive() is None
    node, alive = cycle()
    gc.collect()
    del node
    clock.at = THAW_SECONDS + 1
    gc.collect()
    assert alive() is not None, "all is gone through once an hour, not from then on"


def test_the_collector_is_as_before_afterwards() -> None:
    before, callbacks = gc.get_threshold(), list(gc.callbacks)
    with short_pauses():
        assert gc.get_threshold() != before
        gc.collect()
    assert (gc.get_threshold(), gc.callbacks, gc.get_freeze_count()) == (before, callbacks, 0)
