"""The records, hosts ConfigMaps and Services of all jobs, by owner UID; and which nodes the records name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from trainyard.model.record import Record
from trainyard.model.views import ChildView, Key


class _Held(NamedTuple):
    """Where a ConfigMap stands in the indices, and the newest version that was told of it."""

    namespace: str
    owner: str
    attempt: int
    version: int


class Children:
    """Owned by the store. `put_*` tell whether anything is new, which an older state never is; `drop_*` whose child it
    was."""

    def __init__(self) -> None:
        self._records: dict[str, dict[int, Record]] = {}
        self._hosts: dict[str, dict[int, ChildView]] = {}
        self._services: dict[Key, ChildView] = {}
        self._config_maps: dict[str, _Held] = {}
        """By UID."""
        self._promised_on: dict[str, set[str]] = {}

    def records(self, owner: str) -> Mapping[int, Record]:
        return self._records.get(owner, {})

    def hosts(self, owner: str) -> Mapping[int, ChildView]:
        return self._hosts.get(owner, {})

    def service(self, key: Key) -> ChildView | None:
        return self._services.get(key)

    def promised_on(self, node: str) -> Iterable[str]:
        """UIDs of the jobs one of whose records names this node."""
        return self._promised_on.get(node, ())

    def record_count(self) -> int:
        return sum(map(len, self._records.values()))

    def config_map_uids(self, namespace: str | None) -> set[str]:
        """All that are known, or those of one namespace."""
        return {uid for uid, held in self._config_maps.items() if namespace in (None, held.namespace)}

    def config_map_version(self, uid: str) -> int:
        """resourceVersion of what is held; 0 where nothing is."""
        held = self._config_maps.get(uid)
        return held.version if held is not None else 0

    def config_maps_elsewhere(self, owner: str, namespace: str) -> list[str]:
        """Those that name this owner and are not in its namespace."""
        known = [record.uid for record in self.records(owner).values()]
        known += [hosts.uid for hosts in self.hosts(owner).values()]
        return [uid for uid in known if self._config_maps[uid].namespace != namespace]

    def put_record(self, child: ChildView, record: Record) -> bool:
        if child.resource_version < self.config_map_version(record.uid):
            return False
        owner = child.owner_uid
        self._config_maps[record.uid] = _Held(child.namespace, owner, record.attempt, child.resource_version)
        records = self._records.setdefault(owner, {})
        if records.get(record.attempt) == record:
            return False
        records[record.attempt] = record
        for node in record.nodes:
            if node:
                self._promised_on.setdefault(node, set()).add(owner)
        return True

    def put_hosts(self, hosts: ChildView) -> bool:
        if hosts.resource_version < self.config_map_version(hosts.uid):
            return False
        owner, attempt = hosts.owner_uid, hosts.attempt
        self._config_maps[hosts.uid] = _Held(hosts.namespace, owner, attempt, hosts.resource_version)
        known = self._hosts.setdefault(owner, {})
        before, known[attempt] = known.get(attempt), hosts
        return before != hosts

    def put_service(self, service: ChildView) -> bool:
        key = Key(service.namespace, service.name)
        before = self._services.get(key)
        if before is not None and service.resource_version < before.resource_version:
            return False
        self._services[key] = service
        return before != service

    def drop_config_map(self, uid: str) -> str:
        _, owner, attempt, _ = self._config_maps.pop(uid, _Held("", "", -1, 0))
        records, hosts = self._records.get(owner, {}), self._hosts.get(owner, {})
        if attempt in records and records[attempt].uid == uid:
            self._unpromise(owner, records.pop(attempt))
            if not records:
                del self._records[owner]
        elif attempt in hosts and hosts[attempt].uid == uid:
            del hosts[attempt]
            if not hosts:
                del self._hosts[owner]
        return owner

    def drop_service(self, uid: str) -> str:
        for key, service in self._services.items():
            if service.uid == uid:
                del self._services[key]
                return service.owner_uid
        return ""

    def services(self, namespace: str | None) -> list[ChildView]:
        """All that are known, or those of one namespace."""
        return [service for service in self._services.values() if namespace in (None, service.namespace)]

    def _unpromise(self, owner: str, dropped: Record) -> None:
        still = {node for record in self._records[owner].values() for node in record.nodes}
        for node in {*dropped.nodes} - still:
            owners = self._promised_on.get(node)
            if owners is not None:
                owners.discard(owner)
                if not owners:
                    del self._promised_on[node]
