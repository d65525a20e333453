"""What a cluster was asked to be: the command line's values, kept beside its state so that later commands agree."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path

from yardlib import build
from yardlib.errors import YardError

MAX_REAL_NODES = 15
MAX_FAKE_NODES = 20_000
PROFILES = ("default", "fast-timers", "bench")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


def check_name(name: str) -> None:
    """Raises for what is no cluster's name. Folders are removed by it: an empty one, or a path, would be others'."""
    if not _NAME.fullmatch(name):
        raise YardError(f"'{name}' is no name for a cluster", "use lower-case letters, digits and '-', at most 32")


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """One cluster as its owner asked for it."""

    name: str
    nodes: int = 3
    fake_nodes: int = 0
    fake_gpus: int = 8
    profile: str = "default"
    audit: bool = False
    kubernetes: str = build.KUBERNETES[0]

    def check(self) -> None:
        """Raises when a value makes no cluster."""
        check_name(self.name)
        if not 0 <= self.nodes <= MAX_REAL_NODES:
            raise YardError(f"--nodes {self.nodes} is out of range", f"a cluster has 0 to {MAX_REAL_NODES} real nodes")
        if not 0 <= self.fake_nodes <= MAX_FAKE_NODES:
            raise YardError(f"--fake-nodes {self.fake_nodes} is out of range", f"at most {MAX_FAKE_NODES}")
        if not 0 <= self.fake_gpus <= 64:
            raise YardError(f"--fake-gpus {self.fake_gpus} is out of range", "a node has 0 to 64")
        if self.kubernetes not in build.KUBERNETES:
            raise YardError(f"Kubernetes {self.kubernetes} is not to be had", f"choose {' or '.join(build.KUBERNETES)}")
        if self.profile not in PROFILES:
            raise YardError(f"there is no profile '{self.profile}'", f"choose one of {', '.join(PROFILES)}")

    def save(self, path: Path) -> None:
        """Writes the file that `load` reads."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n")

    @staticmethod
    def load(path: Path) -> ClusterSpec | None:
        """The stored spec, or None where no cluster was made."""
        try:
            return ClusterSpec(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as broken:
            raise YardError(f"{path} is damaged: {broken}", "run `hack/yard down` for that cluster") from broken


def merge(stored: ClusterSpec | None, asked: ClusterSpec) -> ClusterSpec:
    """What `up` on a living cluster may change: it may gain fake nodes and an audit log; else `down` comes first."""
    if stored is None:
        return asked
    fake_nodes, audit = max(stored.fake_nodes, asked.fake_nodes), stored.audit or asked.audit
    grown, wanted = (dataclasses.replace(spec, fake_nodes=fake_nodes, audit=audit) for spec in (stored, asked))
    if grown == wanted:
        return grown
    changed = [
        f"{field.name}: {getattr(stored, field.name)} -> {getattr(asked, field.name)}"
        for field in dataclasses.fields(ClusterSpec)
        if getattr(grown, field.name) != getattr(wanted, field.name)
    ]
    raise YardError(
        f"cluster '{stored.name}' was made with other settings ({'; '.join(changed)})",
        f"take it down first: hack/yard down --name {stored.name}",
    )
