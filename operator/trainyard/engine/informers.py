"""The list of what is watched: one informer for every kind, ours included, all into the one store.

Kinds that an installation may keep from the operator are not required: without them it knows less, and says so.
"""

from __future__ import annotations

from typing import Any

from trainyard.api.constants import LABEL_JOB
from trainyard.engine import sinks
from trainyard.engine.store import Store
from trainyard.kube.client import Client, Object
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
)
from trainyard.model import translate
from trainyard.model.views import ClaimView, JobView, Key


def build_informers(client: Client, store: Store, namespaces: tuple[str, ...]) -> list[Informer[Any]]:
    """In the order in which they should be filled: storage classes tell how claims are to be read."""
    scope = namespaces or None
    late: set[str] = set()

    def read_job(raw: Object) -> JobView:
        meta = raw["metadata"]
        return translate.job_view(raw, store.jobs.get(Key(meta["namespace"], meta["name"])))

    def read_claim(raw: Object) -> ClaimView:
        return translate.claim_view(raw, frozenset(late))

    return [
        Informer(
            client,
            STORAGE_CLASSES,
            translate=sinks.read_named(translate.binds_late),
            sink=sinks.late_class_sink(late),
            required=False,
        ),
        Informer(client, TRAINING_JOBS, translate=read_job, sink=sinks.job_sink(store), namespaces=scope),
        Informer(client, PODS, translate=translate.pod_view, sink=sinks.pod_sink(store), namespaces=scope),
        Informer(
            client,
            CONFIG_MAPS,
            translate=sinks.read_config_map,
            sink=sinks.config_map_sink(store),
            namespaces=scope,
            labels=LABEL_JOB,
        ),
        Informer(
            client,
            SERVICES,
            translate=translate.child_view,
            sink=sinks.service_sink(store),
            namespaces=scope,
            labels=LABEL_JOB,
            metadata_only=True,
        ),
        Informer(
            client,
            PERSISTENT_VOLUME_CLAIMS,
            translate=read_claim,
            sink=sinks.claim_sink(store),
            namespaces=scope,
        ),
        Informer(
            client,
            RESOURCE_QUOTAS,
            translate=sinks.read_quota,
            sink=sinks.quota_sink(store),
            namespaces=scope,
            required=False,
        ),
        Informer(client, NODES, translate=translate.node_view, sink=sinks.node_sink(store), required=False),
        Informer(
            client,
            PERSISTENT_VOLUMES,
            translate=sinks.read_named(translate.volume_view),
            sink=sinks.volume_sink(store),
            required=False,
        ),
        Informer(
            client,
            PRIORITY_CLASSES,
            translate=sinks.read_named(translate.priority_class_view),
            sink=sinks.named_sink(store.upsert_priority_class, store.delete_priority_class),
            required=False,
        ),
        Informer(
            client,
            NAMESPACES,
            translate=sinks.read_named(translate.namespace_view),
            sink=sinks.named_sink(store.upsert_namespace, store.delete_namespace),
            required=False,
        ),
    ]
