"""The list of what is watched: one informer for every kind, ours included, all into the one store.

Kinds that an installation may keep from the operator are not required: without them it knows less, and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from trainyard.api.constants import LABEL_JOB
from trainyard.engine import sinks
from trainyard.engine.pods import owned_by_nobody
from trainyard.engine.store import Store
from trainyard.kube.client import MAP_PAGE_SIZE, SILENCE, Client, Object
from trainyard.kube.informer import Informer
from trainyard.kube.resources import (
    CONFIG_MAPS,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    PRIORITY_CLASSES,
    RESOURCE_QUOTAS,
    SERVICES,
    STORAGE_CLASSES,
    TRAINING_JOBS,
    Resource,
)
from trainyard.model import translate
from trainyard.model.views import JobView, Key, PodView

Watch = Callable[..., Informer[Any]]
"""An informer in the making: client and patience are given."""


def build_informers(
    client: Client, store: Store, namespaces: tuple[str, ...], silence: float = SILENCE
) -> list[Informer[Any]]:
    """One for each kind and place; in whichever order they are filled, the store comes to hold the same."""
    watch = partial(Informer, client, silence=silence)
    scope = namespaces or None
    return [
        *_of_the_cluster(watch, store),
        *_of_jobs(watch, store, scope),
        *_around(watch, store, scope),
        *_elsewhere(watch, store, namespaces),
    ]


async def catch_up(client: Client, store: Store, namespaces: tuple[str, ...]) -> None:
    """The jobs and records as they are now, by live lists: the watches of a new leader may lag behind what the last
    one wrote, and a record unseen is room given away twice."""
    for namespace in namespaces or (None,):
        await sinks.take_over(client, sinks.job_sink(store), _job_reader(store), TRAINING_JOBS, namespace)
        maps = sinks.config_map_sink(store)
        await sinks.take_over(
            client, maps, sinks.read_config_map, CONFIG_MAPS, namespace, labels=LABEL_JOB, page_size=MAP_PAGE_SIZE
        )


def _job_reader(store: Store) -> Callable[[Object], JobView]:
    """Reads a spec once for each generation."""

    def read(raw: Object) -> JobView:
        meta = raw["metadata"]
        return translate.job_view(raw, store.jobs.get(Key(meta["namespace"], meta["name"])))

    return read


def _pod_reader(store: Store) -> Callable[[Object], PodView]:
    """Reads a spec once for as long as it stays the same."""
    pods = store.table.pods

    def read(raw: Object) -> PodView:
        return translate.pod_view(raw, pods.get(raw["metadata"]["uid"]))

    return read


def _of_jobs(watch: Watch, store: Store, scope: tuple[str, ...] | None) -> list[Informer[Any]]:
    """Jobs, pods, and the other children that carry our label."""

    return [
        watch(TRAINING_JOBS, translate=_job_reader(store), sink=sinks.job_sink(store), namespaces=scope),
        watch(
            PODS,
            translate=_pod_reader(store),
            sink=sinks.pod_sink(store),
            namespaces=scope,
            packed_spec=True,
        ),
        watch(
            CONFIG_MAPS,
            translate=sinks.read_config_map,
            sink=sinks.config_map_sink(store),
            namespaces=scope,
            labels=LABEL_JOB,
            page_size=MAP_PAGE_SIZE,
        ),
        watch(
            SERVICES,
            translate=translate.child_view,
            sink=sinks.service_sink(store),
            namespaces=scope,
            labels=LABEL_JOB,
            metadata_only=True,
        ),
    ]


def _elsewhere(watch: Watch, store: Store, namespaces: tuple[str, ...]) -> list[Informer[Any]]:
    """Pods of the namespaces that are not served, for the room they take. They are strangers, whoever owns them."""
    if not namespaces:
        return []
    read = _pod_reader(store)
    return [
        watch(
            PODS,
            translate=lambda raw: owned_by_nobody(read(raw)),
            packed_spec=True,
            sink=sinks.pod_sink(store, besides=frozenset(namespaces)),
            fields=",".join(f"metadata.namespace!={name}" for name in namespaces),
            required=False,
        )
    ]


def _around(watch: Watch, store: Store, scope: tuple[str, ...] | None) -> list[Informer[Any]]:
    """What else in a namespace decides whether a job may start."""
    return [
        watch(PERSISTENT_VOLUME_CLAIMS, translate=translate.claim_view, sink=sinks.claim_sink(store), namespaces=scope),
        watch(
            RESOURCE_QUOTAS,
            translate=sinks.read_quota,
            sink=sinks.quota_sink(store),
            namespaces=scope,
            required=False,
        ),
    ]


def _of_the_cluster(watch: Watch, store: Store) -> list[Informer[Any]]:
    """Cluster-scoped kinds, none of which an installation must grant."""

    def optional(resource: Resource, read: Callable[[Object], Any], sink: sinks.KindSink[Any]) -> Informer[Any]:
        return watch(resource, translate=read, sink=sink, required=False)

    named = sinks.read_named
    return [
        optional(STORAGE_CLASSES, named(translate.binds_late), sinks.storage_class_sink(store)),
        optional(NODES, translate.node_view, sinks.node_sink(store)),
        optional(PERSISTENT_VOLUMES, named(translate.volume_view), sinks.volume_sink(store)),
        optional(
            PRIORITY_CLASSES,
            named(translate.priority_class_view),
            sinks.named_sink(store.upsert_priority_class, store.delete_priority_class),
        ),
        optional(
            NAMESPACES,
            named(translate.namespace_view),
            sinks.named_sink(store.upsert_namespace, store.delete_namespace),
        ),
    ]
