"""The handlers that kopf calls, each a hand-over, and the settings that keep kopf from writing anything.

No finalizers, no annotations, no stored progress, no peering, no events: kopf reads, and what it reads is only a hint.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat
from typing import Protocol

import kopf

from trainyard.api.constants import GROUP, PLURAL, VERSION
from trainyard.handlers.login import Login


class Life(Protocol):
    """What kopf's handlers hand over to."""

    async def start(self) -> None:
        """Start working, unless that was done already."""

    async def stop(self) -> None:
        """Stop working, if the process is ending."""

    def poke(self, namespace: str, name: str, version: str) -> None:
        """A job may have changed; it has this resourceVersion now."""


class EndlessBackoffs:
    """kopf gives up on the API server at the end of its list of delays, so the list has none."""

    def __iter__(self) -> Iterator[float]:
        return chain((1.0, 1.0, 2.0, 3.0, 5.0), repeat(10.0))


def handlers(life: Life, login: Login) -> kopf.OperatorRegistry:
    """kopf's handlers, in a registry of their own."""
    registry = kopf.OperatorRegistry()

    @kopf.on.startup(registry=registry, errors=kopf.ErrorsMode.PERMANENT)
    async def startup(**_: object) -> None:
        await life.start()

    @kopf.on.cleanup(registry=registry, errors=kopf.ErrorsMode.PERMANENT)
    async def cleanup(**_: object) -> None:
        await life.stop()

    @kopf.on.login(registry=registry)
    async def authenticate(**_: object) -> kopf.AiohttpSession:
        return await login.session()

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def changed(namespace: str | None, name: str | None, meta: kopf.Meta, **_: object) -> None:
        life.poke(namespace or "", name or "", str(meta.get("resourceVersion", "")))

    return registry


def kopf_settings() -> kopf.OperatorSettings:
    """Read only, patient, and quick to end."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.scanning.disabled = True  # no watch over every CRD and namespace of the cluster
    settings.watching.chunk_size = 100
    settings.networking.error_backoffs = EndlessBackoffs()
    settings.queueing.idle_timeout = 1.0  # each idle worker keeps its object's last state
    settings.queueing.exit_timeout = 0.1
    settings.process.ultimate_exiting_timeout = None  # it would kill the process that outlived a failure of kopf
    return settings
