"""The record of an opened attempt: who is a member, on which node, in which role. Immutable, and never guessed.

Membership is read from here and from nowhere else. Stored gzipped in a ConfigMap's `binaryData`, because 10,000 ranks
of long node names exceed a ConfigMap's 1 MiB as JSON.
"""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from trainyard.api.constants import MAX_PODS, MAX_ROLES
from trainyard.model.views import Resources

RECORD_KEY = "record.json.gz"
"""Key in `binaryData`."""

MAX_BYTES = 16 * 2**20
"""Unpacked: several times what 10,000 ranks need, and no more than a forged record may cost us."""
MAX_PARTS = 10 * MAX_PODS
"""Commas in it: between nodes, dead pods of several attempts, and a few fields. As objects of Python the smallest parts
cost 25 times their text."""
MAX_NESTED = 50 * MAX_ROLES
MAX_WORDS = 300
"""Characters of what is said about one that cannot be read."""


@dataclass(frozen=True, slots=True)
class RecordRole:
    name: str
    replicas: int
    completes: bool
    trainer: str
    """Name of the trainer container."""
    framework: str
    gpus: int
    """Per pod."""
    processes: int
    """Per pod."""
    resources: Resources = ()
    """What one pod really asks for, as the dry run told."""
    host_ports: tuple[int, ...] = ()
    """Ports of its node that every pod takes."""
    coordinator_ports: tuple[int, ...] = ()
    """Those that only replica 0 takes besides."""

    def ports_of(self, index: int) -> tuple[int, ...]:
        """Ports of its node that a replica takes."""
        return self.host_ports if index else (*self.host_ports, *self.coordinator_ports)


@dataclass(frozen=True, slots=True)
class RecordDraft:
    """A record before it is stored: everything but what the API server adds."""

    job_uid: str
    attempt: int
    roles: tuple[RecordRole, ...]
    nodes: tuple[str, ...]
    """By rank; empty strings where the cluster's scheduler chooses (Delegated)."""
    spec_hash: str
    build: str
    """The operator's build that opened it."""
    restarts: int = 0
    """`restarts.total` when it was opened; told to the trainers."""
    dead: tuple[str, ...] = ()
    """Names of pods of earlier attempts, or of an earlier job of this name, that were dead when this one opened: the
    only ones that may overlap with it."""
    host_ports: tuple[int, int] | None = None
    """First and last port that are derived for its pods in their node's network; None in records of older builds."""
    claim: str = ""
    """Name of the PersistentVolumeClaim that its pods write checkpoints to; empty without one, and in records of older
    builds."""
    directory: str = ""
    """Their folder there."""

    @property
    def size(self) -> int:
        return sum(role.replicas for role in self.roles)

    def locate(self, rank: int) -> tuple[RecordRole, int]:
        """The role and the replica index of a rank. Raises IndexError outside the gang."""
        index = rank
        for role in self.roles:
            if 0 <= index < role.replicas:
                return role, index
            index -= role.replicas
        raise IndexError(rank)

    def first_rank(self, name: str) -> int:
        """Rank of a role's replica 0. Raises KeyError for an unknown role."""
        offset = 0
        for role in self.roles:
            if role.name == name:
                return offset
            offset += role.replicas
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Record(RecordDraft):
    """A record as read back from the API server; pods are rendered from nothing else."""

    name: str = ""
    uid: str = ""
    created: float = 0.0
    """creationTimestamp: the attempt's opening instant."""
    deleting: bool = False

    def incarnation(self, rank: int) -> int:
        """The attempt whose pod stands at this rank. Every pod of an attempt is of its own incarnation today."""
        if not 0 <= rank < self.size:
            raise IndexError(rank)
        return self.attempt


def encode_record(draft: RecordDraft) -> bytes:
    """Bytes for `binaryData[RECORD_KEY]`; the same draft gives the same bytes."""
    data = {
        "jobUid": draft.job_uid,
        "attempt": draft.attempt,
        "roles": [
            {
                "name": r.name,
                "replicas": r.replicas,
                "completes": r.completes,
                "trainer": r.trainer,
                "framework": r.framework,
                "gpus": r.gpus,
                "processes": r.processes,
                "resources": dict(r.resources),
                **({"hostPorts": list(r.host_ports)} if r.host_ports else {}),
                **({"coordinatorPorts": list(r.coordinator_ports)} if r.coordinator_ports else {}),
            }
            for r in draft.roles
        ],
        "nodes": list(draft.nodes),
        "specHash": draft.spec_hash,
        "build": draft.build,
        "restarts": draft.restarts,
        "dead": list(draft.dead),
        **({"hostPorts": list(draft.host_ports)} if draft.host_ports else {}),
        **({"claim": draft.claim, "directory": draft.directory} if draft.claim else {}),
    }
    return gzip.compress(json.dumps(data, separators=(",", ":"), sort_keys=True).encode(), mtime=0)


def decode_record(data: bytes, *, name: str, uid: str, created: float, deleting: bool = False) -> Record:
    """Inverse of `encode_record`, with what the API server added. Raises ValueError on anything else."""
    try:
        with gzip.GzipFile(fileobj=BytesIO(data)) as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise ValueError(f"it unpacks to more than {MAX_BYTES} bytes")
        _check_shape(text)
        record = _record(json.loads(text), name=name, uid=uid, created=created, deleting=deleting)
        _check_types(record)
    except (OSError, EOFError, zlib.error, RecursionError, KeyError, ValueError, TypeError, AttributeError) as error:
        # Not its repr: that of a text which is no UTF-8 has all of it.
        words = f"{type(error).__name__}: {error}"[:MAX_WORDS]
        raise ValueError(f"record {name} is not readable: {words}") from None
    if len(record.nodes) > MAX_PODS or len(record.roles) > MAX_ROLES:
        raise ValueError(
            f"record {name} is not readable: no job has {len(record.nodes)} ranks in {len(record.roles)} roles"
        )
    if len(record.nodes) != record.size:
        raise ValueError(f"record {name} is not readable: {len(record.nodes)} nodes for {record.size} ranks")
    return record


def _check_shape(text: bytes) -> None:
    """Before it is made into objects."""
    if text.count(b",") > MAX_PARTS or text.count(b"{") + text.count(b"[") > MAX_NESTED:
        raise ValueError("it has more parts than any record")


def _check_types(record: Record) -> None:
    """Anybody in a namespace may write a ConfigMap with our label. Raises TypeError: whoever reads a record later
    relies on every value's being what it says, and must not be the one to find out."""
    texts: list[object] = [record.job_uid, record.spec_hash, record.build, *record.nodes, *record.dead]
    texts += [record.claim, record.directory]
    numbers: list[object] = [record.attempt, record.restarts, *(record.host_ports or ())]
    for role in record.roles:
        texts += [role.name, role.trainer, role.framework, *(name for name, _ in role.resources)]
        numbers += [role.gpus, role.processes, *(amount for _, amount in role.resources), *role.ports_of(0)]
        if type(role.replicas) is not int or role.replicas < 1 or type(role.completes) is not bool:
            raise TypeError("a role is not one")
    if not all(type(text) is str and text.isascii() for text in texts):
        raise TypeError("a text is none")
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise TypeError("a number is none")


def _range(raw: list[int] | None) -> tuple[int, int] | None:
    if raw is None:
        return None
    first, last = raw
    return first, last


def _record(raw: dict[str, Any], *, name: str, uid: str, created: float, deleting: bool) -> Record:
    return Record(
        job_uid=raw["jobUid"],
        attempt=raw["attempt"],
        roles=tuple(
            RecordRole(
                r["name"],
                r["replicas"],
                r["completes"],
                r["trainer"],
                r["framework"],
                r["gpus"],
                r["processes"],
                tuple(sorted((k, v) for k, v in r["resources"].items())),
                tuple(r.get("hostPorts", ())),
                tuple(r.get("coordinatorPorts", ())),
            )
            for r in raw["roles"]
        ),
        nodes=tuple(raw["nodes"]),
        spec_hash=raw["specHash"],
        build=raw["build"],
        restarts=raw["restarts"],
        dead=tuple(raw["dead"]),
        host_ports=_range(raw.get("hostPorts")),
        claim=raw.get("claim", ""),
        directory=raw.get("directory", ""),
        name=name,
        uid=uid,
        created=created,
        deleting=deleting,
    )
