"""The trainer's container: the template's own, with what the job adds laid underneath. What the template says wins.

Every function takes the template's value and returns a new one; what the template overrides is noted in `won`, in words
for the person who wrote it. The command and its arguments are never touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainyard.api.constants import CHECKPOINT_VOLUME, HOSTS_VOLUME, VOLUME_PREFIX
from trainyard.api.effective import EffectiveRole
from trainyard.api.types import IpcLock
from trainyard.launch.env import environment, merged
from trainyard.launch.place import Place

Raw = Mapping[str, Any]
Json = dict[str, Any]

SHM_PATH = "/dev/shm"
HOSTS_PATH = "/etc/trainyard/hosts"
SHM_VOLUME = f"{VOLUME_PREFIX}shm"
PORT_NAME = "rendezvous"
TELLING = "FallbackToLogsOnError"


@dataclass(frozen=True, slots=True)
class Wants:
    """What the job adds to one trainer."""

    role: EffectiveRole
    place: Place
    host_port: int
    """Port of the node that it listens on; 0 for none."""
    checkpoint_path: str
    """Where the checkpoint volume is to be mounted; empty without one, or where the template mounts its own."""
    shm: bool


def trainer(container: Raw, wants: Wants, won: list[str]) -> Json:
    """The container to run."""
    out: Json = {**container, "env": _env(container, wants, won), "volumeMounts": _mounts(container, wants)}
    if resources := _resources(container.get("resources") or {}, wants.role, won):
        out["resources"] = resources
    if wants.role.rdma is not None and wants.role.rdma.ipc_lock is IpcLock.ADD:
        out["securityContext"] = _ipc_lock(container.get("securityContext") or {}, won)
    if wants.host_port:
        out["ports"] = _ports(container.get("ports") or (), wants.host_port)
    return out


def telling(container: Raw, won: list[str]) -> Json:
    """The container with its last log lines as the termination message where it writes none."""
    out = {"terminationMessagePolicy": TELLING, **container}
    if out["terminationMessagePolicy"] != TELLING:
        won.append(f"terminationMessagePolicy of container {container['name']}")
    return out


def mounted(container: Raw, path: str) -> bool:
    """Whether the template mounts something exactly there."""
    path = _clean(path)
    return any(_clean(mount["mountPath"]) == path for mount in container.get("volumeMounts") or ())


def _env(container: Raw, wants: Wants, won: list[str]) -> list[Json]:
    ours = environment(wants.place)
    own = container.get("env") or ()
    won.extend(f"variable {entry['name']}" for entry in own if entry["name"] in ours)
    return merged(ours, own)


def _mounts(container: Raw, wants: Wants) -> list[Json]:
    # Never left out: a kubelet waits only for volumes that a container mounts, and no pod may start without its hosts.
    ours: list[Json] = [{"name": HOSTS_VOLUME, "mountPath": HOSTS_PATH, "readOnly": True}]
    if wants.shm:
        ours.append({"name": SHM_VOLUME, "mountPath": SHM_PATH})
    if wants.checkpoint_path:
        ours.append({"name": CHECKPOINT_VOLUME, "mountPath": wants.checkpoint_path})
    return [*(container.get("volumeMounts") or ()), *ours]


def _resources(own: Raw, role: EffectiveRole, won: list[str]) -> Json:
    ours: dict[str, str] = {}
    if role.gpus:
        ours[role.accelerator.resource] = str(role.gpus)
    limits: Json = dict(own.get("limits") or {})
    if role.rdma is not None:
        devices = str(role.rdma.per_pod)
        if role.rdma.resource not in limits:
            ours[role.rdma.resource] = devices
        elif str(limits[role.rdma.resource]) != devices:
            won.append(f"limit {role.rdma.resource}")
    if not ours:
        return dict(own)
    return {**own, "limits": {**limits, **ours}, "requests": {**(own.get("requests") or {}), **ours}}


def _ipc_lock(own: Raw, won: list[str]) -> Json:
    capabilities = own.get("capabilities") or {}
    add: Sequence[str] = capabilities.get("add") or ()
    if "IPC_LOCK" in (capabilities.get("drop") or ()):
        won.append("capability IPC_LOCK")
        return dict(own)
    if "IPC_LOCK" in add or "ALL" in add:
        return dict(own)
    return {**own, "capabilities": {**capabilities, "add": [*add, "IPC_LOCK"]}}


def _ports(own: Sequence[Raw], number: int) -> list[Json]:
    ports: list[Json] = [dict(port) for port in own]
    if any(port.get("containerPort") == number and port.get("protocol", "TCP") == "TCP" for port in ports):
        return ports
    # Declared, so that the scheduler keeps a second pod with this port off the node.
    entry: Json = {"containerPort": number, "hostPort": number, "protocol": "TCP"}
    if all(port.get("name") != PORT_NAME for port in ports):
        entry["name"] = PORT_NAME
    return [*ports, entry]


def _clean(path: str) -> str:
    return "/" + "/".join(part for part in path.split("/") if part)
