"""When does a refusal count, and what do others' pods look like to an operator of some namespaces?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

from engine.fakes import Clock, Listener
from trainyard.engine.informers import build_informers
from trainyard.engine.sight import LASTING, Sight
from trainyard.engine.sinks import pod_sink
from trainyard.engine.snapshots import cluster_snapshot
from trainyard.engine.store import Store
from trainyard.kube.client import Client
from trainyard.kube.errors import Forbidden
from trainyard.kube.informer import Informer
from trainyard.kube.resources import NODES, PODS, Resource
from trainyard.model.views import NodeView, PodView

NO = Forbidden(403, "Forbidden", "not you")


@dataclass(eq=False)
class FakeInformer:
    resource: Resource = NODES
    required: bool = False
    synced: bool = False
    refused: Forbidden | None = None
    sound: bool = False

    def healthy(self, now: float) -> bool:
        del now
        return self.sound


def sight(clock: Clock, *informers: FakeInformer) -> Sight:
    return Sight(cast(list[Informer[Any]], informers), clock)


def test_a_refusal_counts_once_it_has_lasted() -> None:
    clock, nodes = Clock(), FakeInformer()
    seen = sight(clock, nodes)
    assert not seen.settled() and seen.unseen() == set()
    nodes.refused = NO
    assert not seen.settled() and seen.unseen() == set()
    clock.at += LASTING
    assert seen.settled() and seen.unseen() == {"nodes"}
    nodes.refused, nodes.synced, nodes.sound = None, True, True
    assert seen.settled() and seen.unseen() == set()


def test_a_refusal_in_passing_is_forgotten() -> None:
    """An API server that has just started does not know its roles yet."""
    clock, nodes = Clock(), FakeInformer(refused=NO)
    seen = sight(clock, nodes)
    assert seen.unseen() == set()
    nodes.refused = None
    assert seen.unseen() == set()
    clock.at += LASTING
    nodes.refused = NO
    assert seen.unseen() == set()


def test_what_was_listed_is_believed_while_its_informer_is_sound() -> None:
    clock, nodes = Clock(), FakeInformer(refused=NO, synced=True, sound=True)
    seen = sight(clock, nodes)
    clock.at += LASTING
    assert seen.unseen() == set()
    nodes.sound = False
    seen.unseen()
    clock.at += LASTING
    assert seen.unseen() == {"nodes"}


def test_what_is_required_is_never_unseen() -> None:
    seen = sight(Clock(), FakeInformer(resource=PODS, required=True, refused=NO))
    assert seen.settled() and seen.unseen() == set()


def test_pods_elsewhere_are_watched_only_where_some_namespaces_are_served() -> None:
    def pods(*namespaces: str) -> list[bool]:
        store = Store(Listener(), Clock())
        return [i.required for i in build_informers(cast(Client, None), store, namespaces) if i.resource is PODS]

    assert (pods(), pods("a", "b")) == ([True], [True, False])


def test_a_whole_list_of_pods_elsewhere_replaces_none_of_ours() -> None:
    store = Store(Listener(), Clock())
    here, there = (PodView(namespace, "p", f"uid-{namespace}", 5, node="n") for namespace in ("a", "x"))
    for pod in (here, there):
        store.upsert_pod(pod)
    sink = pod_sink(store, besides=frozenset({"a"}))
    sink.replace(PODS, None, [replace(there, name="q", uid="uid-q")], unreadable=frozenset(), resource_version="9")
    assert set(store.table.pods) == {"uid-a", "uid-q"}


def test_the_scheduler_is_told_what_is_unseen() -> None:
    store = Store(Listener(), Clock())
    store.upsert_node(NodeView("n", "uid-n", {}))
    store.unseen = frozenset({"nodes"})
    assert cluster_snapshot(store).unseen == {"nodes"}
