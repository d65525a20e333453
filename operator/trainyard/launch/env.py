"""The environment of a trainer: `TRAINYARD_*` for everyone, and what the users of each framework expect to find.

A variable that the template sets itself is left to the template. Ours stand first, so that the template's own values
may refer to them as `$(TRAINYARD_RANK)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from trainyard.api.constants import ENV_CHECKPOINT_DIR
from trainyard.api.types import Framework
from trainyard.launch import custom, jax, tensorflow, torch
from trainyard.launch.place import EnvValue, Place

_FRAMEWORKS: Mapping[Framework, Callable[[Place], Mapping[str, EnvValue]]] = {
    Framework.TORCH: torch.variables,
    Framework.TENSORFLOW: tensorflow.variables,
    Framework.JAX: jax.variables,
    Framework.CUSTOM: custom.variables,
}


def environment(place: Place) -> dict[str, EnvValue]:
    """All variables of one trainer, without regard to the template's own."""
    return {**_common(place), **_FRAMEWORKS[place.seat.framework](place)}


def merged(ours: Mapping[str, EnvValue], own: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Raw `env`: ours where the template is silent, then the template's, untouched."""
    theirs = [dict(entry) for entry in own]
    taken = {entry["name"] for entry in theirs}
    # What is made of another variable must not outlive the other's replacement.
    taken |= {name for name, sources in torch.DERIVED.items() if taken.intersection(sources)}
    return [_entry(name, value) for name, value in ours.items() if name not in taken] + theirs


def _common(place: Place) -> dict[str, EnvValue]:
    seat = place.seat
    values = {
        "TRAINYARD_JOB": place.job,
        "TRAINYARD_JOB_UID": place.job_uid,
        "TRAINYARD_NAMESPACE": place.namespace,
        "TRAINYARD_ATTEMPT": str(place.attempt),
        "TRAINYARD_RESTARTS": str(place.restarts),
        "TRAINYARD_ROLE": seat.role.name,
        "TRAINYARD_INDEX": str(seat.index),
        "TRAINYARD_RANK": str(seat.rank),
        "TRAINYARD_SIZE": str(place.size),
        "TRAINYARD_WORLD": seat.framework.value,
        "TRAINYARD_WORLD_RANK": str(seat.world_rank),
        "TRAINYARD_WORLD_SIZE": str(seat.world_size),
        "TRAINYARD_PROCESSES": str(seat.processes),
        "TRAINYARD_FIRST_PROCESS": str(seat.first_process),
        "TRAINYARD_WORLD_PROCESSES": str(seat.world_processes),
        "TRAINYARD_COORDINATOR": place.coordinator,
        "TRAINYARD_COORDINATOR_PORT": str(place.coordinator_port),
        "TRAINYARD_HOSTS_FILE": place.hosts_file,
    }
    if place.checkpoint_dir:
        values[ENV_CHECKPOINT_DIR] = place.checkpoint_dir
    # A trainer's last words must reach the log before it is killed.
    values["PYTHONUNBUFFERED"] = "1"
    return dict(values)


def _entry(name: str, value: EnvValue) -> dict[str, Any]:
    return {"name": name, "value": value} if isinstance(value, str) else {"name": name, "valueFrom": dict(value)}
