"""Is a claim that waits for a first pod known as one, whichever came first, the claim or its storage class?"""

from __future__ import annotations

from typing import Any, cast

import pytest

from engine.fakes import Bench
from trainyard.engine.informers import build_informers
from trainyard.engine.snapshots import cluster_snapshot
from trainyard.kube.client import Client
from trainyard.kube.informer import Informer
from trainyard.kube.resources import PERSISTENT_VOLUME_CLAIMS, STORAGE_CLASSES, Resource
from trainyard.model.views import Key

LATE, SOON = "WaitForFirstConsumer", "Immediate"
Raw = dict[str, Any]


class Watches:
    """What the operator's own informers make of what their watches tell."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._by_resource = {i.resource: i for i in build_informers(cast(Client, bench.api), bench.store, ())}
        self._version = 100

    def tell(self, kind: str, resource: Resource, raw: Raw) -> None:
        self._version += 1
        meta = {**raw["metadata"], "resourceVersion": str(self._version)}
        informer: Informer[Any] = self._by_resource[resource]
        informer._streams[0]._apply(kind, {**raw, "metadata": meta})

    def has_class(self, mode: str, name: str = "fast", event: str = "ADDED") -> None:
        raw = {"metadata": {"name": name, "uid": f"uid-{mode}"}, "volumeBindingMode": mode}
        self.tell(event, STORAGE_CLASSES, raw)

    def has_claim(self, storage_class: str | None = "fast", phase: str = "Pending", name: str = "c") -> None:
        meta = {"namespace": "default", "name": name, "uid": f"uid-{name}"}
        spec = {} if storage_class is None else {"storageClassName": storage_class}
        self.tell("MODIFIED", PERSISTENT_VOLUME_CLAIMS, {"metadata": meta, "spec": spec, "status": {"phase": phase}})

    def waits(self, name: str = "c") -> bool:
        """For a first pod, as the scheduler sees it."""
        return cluster_snapshot(self._bench.store).claims[Key("default", name)].wait_for_consumer

    def woken(self) -> bool:
        """Whether the scheduler was told of anything since."""
        told, self._bench.listener.capacity = self._bench.listener.capacity, 0
        return told > 0


@pytest.fixture
def watches(bench: Bench) -> Watches:
    return Watches(bench)


def test_a_claim_of_a_class_that_is_there(watches: Watches) -> None:
    watches.has_class(LATE)
    watches.has_class(SOON, "other")
    watches.has_claim()
    watches.has_claim("other", name="d")
    assert (watches.waits("c"), watches.waits("d")) == (True, False)


def test_a_class_that_comes_after_its_claim(watches: Watches) -> None:
    watches.has_claim()
    watches.has_claim("other", name="d")
    assert watches.woken() and not watches.waits()
    watches.has_class(LATE)
    assert watches.woken() and watches.waits("c") and not watches.waits("d")
    watches.has_class(LATE, event="MODIFIED")
    assert not watches.woken() and watches.waits(), "somebody wrote a label"


def test_a_class_that_is_made_again_with_another_mode(watches: Watches) -> None:
    watches.has_class(SOON)
    watches.has_claim()
    for old, new in ((SOON, LATE), (LATE, SOON)):
        watches.has_class(old, event="DELETED")
        assert not watches.waits()
        watches.has_class(new)
        assert watches.woken()
        assert watches.waits() == (new == LATE)


def test_a_class_that_goes_leaves_its_claim_pending(watches: Watches) -> None:
    watches.has_class(LATE)
    watches.has_claim()
    watches.woken()
    watches.has_class(LATE, event="DELETED")
    assert watches.woken() and not watches.waits()


def test_a_claim_that_is_bound_waits_for_nobody(watches: Watches) -> None:
    watches.has_claim()
    watches.has_class(LATE)
    watches.has_claim(phase="Bound")
    assert not watches.waits()
    watches.woken()
    watches.has_class(LATE, event="DELETED")
    watches.has_class(LATE)
    assert not watches.waits() and not watches.woken()


@pytest.mark.parametrize("storage_class", [None, ""])
def test_a_claim_without_a_class_waits_for_none_until_it_is_given_the_default(
    watches: Watches, storage_class: str | None
) -> None:
    watches.has_claim(storage_class)
    watches.woken()
    watches.has_class(LATE)
    assert not watches.waits() and not watches.woken()
    watches.has_claim("fast")
    assert watches.waits() and watches.woken(), "Kubernetes has written the default's name into it"
