"""The smallest sink that behaves as a store must: a dictionary by UID, and the story of what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trainyard.kube.resources import ObjectKey, Resource, key_of


@dataclass(frozen=True)
class View:
    key: ObjectKey
    version: str


class Unreadable(Exception):
    pass


def translate(obj: dict[str, Any]) -> View:
    if "poison" in obj["metadata"].get("annotations", {}):
        raise Unreadable(obj["metadata"]["name"])
    return View(key_of(obj), obj["metadata"]["resourceVersion"])


class Store:
    """What is known, and by which calls it came to be known."""

    def __init__(self) -> None:
        self.known: dict[ObjectKey, View] = {}
        self.story: list[tuple[str, Any]] = []
        self.broken = False
        self._told = asyncio.Event()

    def replace(
        self,
        resource: Resource,
        namespace: str | None,
        views: Sequence[View],
        *,
        unreadable: frozenset[ObjectKey],
        resource_version: str,
    ) -> None:
        listed = {view.key: view for view in views}
        within = [key for key in self.known if namespace in (None, key.namespace)]
        vanished = [key for key in within if key not in listed and key not in unreadable]
        for key in vanished:
            del self.known[key]
        self.known |= listed
        self._tell("replace", (namespace, sorted(key.name for key in vanished)))

    def upsert(self, resource: Resource, view: View, resource_version: str) -> None:
        if self.broken:
            self.broken = False
            raise RuntimeError("a bug in the store")
        assert resource_version == view.version
        self.known[view.key] = view
        self._tell("upsert", (view.key.name, view.version))

    def delete(self, resource: Resource, key: ObjectKey, last: View | None) -> None:
        self.known.pop(key, None)
        self._tell("delete", (key.name, last.version if last else None))

    def poison(self, resource: Resource, key: ObjectKey, error: Exception) -> None:
        self._tell("poison", key.name)

    @property
    def names(self) -> list[str]:
        return sorted(key.name for key in self.known)

    async def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait until what the store was told makes `condition` true."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._told.clear()
                await self._told.wait()

    def _tell(self, what: str, details: Any) -> None:
        self.story.append((what, details))
        self._told.set()
