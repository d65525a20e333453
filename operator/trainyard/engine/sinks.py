"""Between informers and store: how each kind is read, and how a whole list replaces what was known.

Nothing is judged here. A sink must not raise; an object that cannot be translated keeps its last known view.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from trainyard.engine.store import Store
from trainyard.kube.client import PAGE_SIZE, Client, Object
from trainyard.kube.resources import ObjectKey, Resource, key_of
from trainyard.model import translate
from trainyard.model.record import RECORD_KEY, Record
from trainyard.model.views import ChildView, ClaimView, JobView, Key, NodeView, PodView, QuotaView, VolumeView

log = logging.getLogger(__name__)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class ConfigMapChild:
    """A ConfigMap that carries our label: a record where it holds one, else hosts."""

    child: ChildView
    record: Record | None


@dataclass(frozen=True, slots=True)
class QuotaSeen:
    """A ResourceQuota; `view` is None where its scopes choose among pods."""

    namespace: str
    name: str
    uid: str
    view: QuotaView | None


@dataclass(frozen=True, slots=True)
class NamedSeen(Generic[V]):
    """A view that does not hold its object's UID itself."""

    name: str
    uid: str
    view: V


@dataclass(frozen=True, slots=True)
class KindSink(Generic[V]):
    """One kind's way into the store, by what to call; fits the informer's `Sink`."""

    upsert_view: Callable[[V], None]
    delete_view: Callable[[ObjectKey, V | None], None]
    known: Callable[[str | None], set[ObjectKey]]
    """The objects held, in one namespace or in all."""
    key: Callable[[V], ObjectKey]
    version: Callable[[ObjectKey], int] = lambda _: 0
    """resourceVersion of what is held; 0 for kinds that nothing but one watch tells of, so that nothing held is newer
    than a list."""

    def replace(
        self,
        resource: Resource,  # noqa: ARG002 (the informer's protocol)
        namespace: str | None,
        views: Sequence[V],
        *,
        unreadable: frozenset[ObjectKey],
        resource_version: str,
    ) -> None:
        """Deletes first: an object may have been replaced by another of its name."""
        listed = {self.key(view).uid for view in views} | {key.uid for key in unreadable}
        for key in self.known(namespace):
            # What is newer than the list came by an answer, or by a watch beside it: the watch will tell of its end.
            if key.uid not in listed and self.version(key) <= int(resource_version or 0):
                self.delete_view(key, None)
        for view in views:
            self.upsert_view(view)

    def upsert(self, resource: Resource, view: V, resource_version: str) -> None:  # noqa: ARG002
        self.upsert_view(view)

    def delete(self, resource: Resource, key: ObjectKey, last: V | None) -> None:  # noqa: ARG002
        self.delete_view(key, last)

    def poison(self, resource: Resource, key: ObjectKey, error: Exception) -> None:
        log.error("%s %s/%s cannot be read and is left as it was known: %s", resource, key.namespace, key.name, error)


async def take_over(
    client: Client,
    sink: KindSink[V],
    read: Callable[[Object], V],
    resource: Resource,
    namespace: str | None,
    *,
    labels: str | None = None,
    page_size: int = PAGE_SIZE,
) -> None:
    """A whole live list, as an informer would hand it over."""

    def seen(raw: Object) -> tuple[ObjectKey, V | None]:
        key = key_of(raw)
        try:
            return key, read(raw)
        except Exception as error:
            sink.poison(resource, key, error)
            return key, None

    found, version = await client.read_all(seen, resource, namespace, labels=labels, page_size=page_size)
    views = [view for _, view in found if view is not None]
    unreadable = frozenset(key for key, view in found if view is None)
    sink.replace(resource, namespace, views, unreadable=unreadable, resource_version=version)


def read_config_map(raw: Object) -> ConfigMapChild:
    record = translate.record_view(raw) if RECORD_KEY in (raw.get("binaryData") or {}) else None
    return ConfigMapChild(translate.child_view(raw), record)


def read_quota(raw: Object) -> QuotaSeen:
    meta = raw["metadata"]
    return QuotaSeen(meta["namespace"], meta["name"], meta.get("uid", ""), translate.quota_view(raw))


def read_named(view: Callable[[Object], V]) -> Callable[[Object], NamedSeen[V]]:
    def read(raw: Object) -> NamedSeen[V]:
        return NamedSeen(raw["metadata"]["name"], raw["metadata"].get("uid", ""), view(raw))

    return read


def job_sink(store: Store) -> KindSink[JobView]:
    def known(namespace: str | None) -> set[ObjectKey]:
        return {_key(job) for job in store.jobs.values() if namespace in (None, job.namespace)}

    def version(key: ObjectKey) -> int:
        job = store.job_of(key.uid)
        return int(job.resource_version or 0) if job is not None else 0

    return KindSink(store.upsert_job, lambda key, _: store.delete_job(key.uid), known, _key, version)


def pod_sink(store: Store, besides: frozenset[str] = frozenset()) -> KindSink[PodView]:
    """`besides`: namespaces whose pods another sink brings in."""

    def known(namespace: str | None) -> set[ObjectKey]:
        pods = store.table.pods.values()
        return {_key(pod) for pod in pods if namespace in (None, pod.namespace) and pod.namespace not in besides}

    def version(key: ObjectKey) -> int:
        pod = store.table.pods.get(key.uid)
        return pod.resource_version if pod is not None else 0

    return KindSink(store.upsert_pod, lambda key, last: store.delete_pod(key.uid, last), known, _key, version)


def node_sink(store: Store) -> KindSink[NodeView]:
    def key_of(node: NodeView) -> ObjectKey:
        return ObjectKey("", node.name, node.uid)

    def delete(key: ObjectKey, _: NodeView | None) -> None:
        known = store.nodes.get(key.name)
        if known is not None and known.uid == key.uid:
            store.delete_node(key.name)

    return KindSink(store.upsert_node, delete, lambda _: {key_of(n) for n in store.nodes.values()}, key_of)


def config_map_sink(store: Store) -> KindSink[ConfigMapChild]:
    def upsert(seen: ConfigMapChild) -> None:
        if seen.record is not None:
            store.upsert_record(seen.child, seen.record)
        else:
            store.upsert_hosts(seen.child)

    def known(namespace: str | None) -> set[ObjectKey]:
        return {ObjectKey("", "", uid) for uid in store.children.config_map_uids(namespace)}

    def version(key: ObjectKey) -> int:
        return store.children.config_map_version(key.uid)

    def delete(key: ObjectKey, _: ConfigMapChild | None) -> None:
        store.delete_config_map(key.uid)

    return KindSink(upsert, delete, known, lambda seen: _key(seen.child), version)


def service_sink(store: Store) -> KindSink[ChildView]:
    def known(namespace: str | None) -> set[ObjectKey]:
        return {_key(service) for service in store.children.services(namespace)}

    def version(key: ObjectKey) -> int:
        service = store.children.service(Key(key.namespace, key.name))
        return service.resource_version if service is not None else 0

    return KindSink(store.upsert_service, lambda key, _: store.delete_service(key.uid), known, _key, version)


def claim_sink(store: Store) -> KindSink[ClaimView]:
    def known(namespace: str | None) -> set[ObjectKey]:
        return {_key(claim) for claim in store.claims.values() if namespace in (None, claim.namespace)}

    def version(key: ObjectKey) -> int:
        claim = store.claims.get(Key(key.namespace, key.name))
        return claim.resource_version if claim is not None else 0

    return KindSink(store.upsert_claim, lambda key, _: store.delete_claim(key.uid), known, _key, version)


def quota_sink(store: Store) -> KindSink[QuotaSeen]:
    seen: dict[Key, str] = {}

    def upsert(quota: QuotaSeen) -> None:
        seen[Key(quota.namespace, quota.name)] = quota.uid
        if quota.view is not None:
            store.upsert_quota(quota.view)
        else:
            store.delete_quota(quota.namespace, quota.name)

    def delete(key: ObjectKey, _: QuotaSeen | None) -> None:
        if seen.get(Key(key.namespace, key.name)) == key.uid:
            del seen[Key(key.namespace, key.name)]
            store.delete_quota(key.namespace, key.name)

    def known(namespace: str | None) -> set[ObjectKey]:
        return {ObjectKey(k.namespace, k.name, uid) for k, uid in seen.items() if namespace in (None, k.namespace)}

    return KindSink(upsert, delete, known, _key)


def named_sink(upsert_view: Callable[[V], None], delete_name: Callable[[str], None]) -> KindSink[NamedSeen[V]]:
    """For cluster-scoped kinds whose views are held by name."""
    return named_sink_with_name(lambda _, view: upsert_view(view), delete_name)


def named_sink_with_name(
    upsert_view: Callable[[str, V], None], delete_name: Callable[[str], None]
) -> KindSink[NamedSeen[V]]:
    """The same, for views that do not know their own name."""
    seen: dict[str, str] = {}

    def upsert(named: NamedSeen[V]) -> None:
        seen[named.name] = named.uid
        upsert_view(named.name, named.view)

    def delete(key: ObjectKey, _: NamedSeen[V] | None) -> None:
        if seen.get(key.name) == key.uid:
            del seen[key.name]
            delete_name(key.name)

    return KindSink(
        upsert,
        delete,
        lambda _: {ObjectKey("", name, uid) for name, uid in seen.items()},
        lambda named: ObjectKey("", named.name, named.uid),
    )


def storage_class_sink(store: Store) -> KindSink[NamedSeen[bool]]:
    """Of a storage class nothing counts but whether it binds at the first consumer."""
    return named_sink_with_name(store.upsert_storage_class, store.delete_storage_class)


def volume_sink(store: Store) -> KindSink[NamedSeen[VolumeView]]:
    return named_sink(store.upsert_volume, store.delete_volume)


def _key(view: Any) -> ObjectKey:
    return ObjectKey(view.namespace, view.name, view.uid)
