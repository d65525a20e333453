"""Which slice of addresses a cluster lives in: clusters by name side by side, none touching another's.

Slot k owns the bridge `yard<k>`, the loopback address 127.198.k.1, 198.18.(16k).0/20 for nodes and pods and
198.19.(16k).0/20 for services (the range set aside for benchmarks: it belongs to no real network).
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from yardlib.errors import YardError
from yardlib.paths import runtime_root

SLOTS = 16


@dataclass(frozen=True, slots=True)
class Addresses:
    """Everything that follows from the slot's number."""

    slot: int

    @property
    def bridge(self) -> str:
        """The bridge all nodes of the cluster hang on."""
        return f"yard{self.slot}"

    @property
    def loopback(self) -> str:
        """Where parts listen that only this machine may reach."""
        return f"127.198.{self.slot}.1"

    @property
    def gateway(self) -> str:
        """The machine's address on the bridge: API server and DNS, as nodes and pods see them."""
        return f"198.18.{16 * self.slot}.1"

    @property
    def network(self) -> str:
        """Nodes and pods together."""
        return f"198.18.{16 * self.slot}.0/20"

    @property
    def services(self) -> str:
        """The range of cluster IPs."""
        return f"198.19.{16 * self.slot}.0/20"

    @property
    def first_service(self) -> str:
        """The cluster IP of `kubernetes.default`."""
        return f"198.19.{16 * self.slot}.1"

    def node(self, index: int) -> str:
        """The address of real node `index` (1..15)."""
        return f"198.18.{16 * self.slot}.{10 + index}"

    def pods(self, index: int) -> str:
        """The pods' network on real node `index`."""
        return f"198.18.{16 * self.slot + index}.0/24"

    def veth(self, index: int) -> str:
        """The machine's end of the cable to real node `index`."""
        return f"yard{self.slot}n{index}"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a file lock; the kernel frees it when the holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _registry() -> Path:
    return runtime_root() / "slots.json"


def _read() -> dict[str, str]:
    try:
        return {str(k): str(v) for k, v in json.loads(_registry().read_text()).items()}
    except (FileNotFoundError, ValueError):
        return {}


def _write(owners: dict[str, str]) -> None:
    fresh = _registry().with_suffix(".new")
    fresh.write_text(json.dumps(owners, indent=2, sort_keys=True) + "\n")
    fresh.replace(_registry())


def choose(owners: dict[str, str], owner: str) -> int:
    """The slot that `owner` already has, else the lowest free one. Pure, so that it can be tested."""
    for slot, holder in owners.items():
        if holder == owner:
            return int(slot)
    free = next((slot for slot in range(SLOTS) if str(slot) not in owners), None)
    if free is None:
        listed = "\n".join(f"  {slot}: {holder}" for slot, holder in sorted(owners.items()))
        raise YardError(
            f"all {SLOTS} slots for clusters on this machine are taken:\n{listed}",
            "take one down: hack/yard down --name NAME",
        )
    return free


def claim(state: Path) -> Addresses:
    """Gives the cluster whose state lies in that folder its slot, for as long as it is not released."""
    with locked(runtime_root() / "slots.lock"):
        owners = _read()
        slot = choose(owners, str(state))
        owners[str(slot)] = str(state)
        _write(owners)
        return Addresses(slot)


def find(state: Path) -> Addresses | None:
    """The slot of an existing cluster."""
    return next((Addresses(int(slot)) for slot, holder in _read().items() if holder == str(state)), None)


def all_claims() -> dict[int, Path]:
    """Every cluster of this machine and user, by slot."""
    return {int(slot): Path(holder) for slot, holder in _read().items()}


def release(state: Path) -> None:
    """Gives the slot back."""
    with locked(runtime_root() / "slots.lock"):
        _write({slot: holder for slot, holder in _read().items() if holder != str(state)})
