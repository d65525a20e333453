"""Where an image came from: an unsigned in-toto statement with SLSA provenance, of what was built and by what."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://trainyard.dev/build/image/v1"
BUILDER = "https://trainyard.dev/build/hack-image"


@dataclass(frozen=True, slots=True)
class Source:
    """A checkout at one moment."""

    commit: str
    tree: str
    changed: tuple[str, ...]
    """Files that differ from the commit."""


def source(root: Path) -> Source:
    """What git says of the checkout."""
    changed = [line[3:] for line in _git(root, "status", "--porcelain").splitlines()]
    return Source(
        _git(root, "rev-parse", "HEAD").strip(), _git(root, "rev-parse", "HEAD^{tree}").strip(), tuple(changed)
    )


def statement(of: Source, *, name: str, image_id: str, build: str, builder: str, inputs: dict[str, Path]) -> Json:
    """The whole document. `inputs`: the files that a build is determined by besides the source, by their names."""
    materials: list[Json] = [{"name": "source", "digest": {"gitCommit": of.commit, "gitTree": of.tree}}]
    materials += [
        {"name": path_name, "digest": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}}
        for path_name, path in sorted(inputs.items())
    ]
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": image_id.removeprefix("sha256:")}}],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"image": name, "builder": builder},
                "internalParameters": {"build": build, "changedFiles": list(of.changed)},
                "resolvedDependencies": materials,
            },
            "runDetails": {"builder": {"id": BUILDER}, "metadata": {"invocationId": f"{of.commit[:12]}-{build}"}},
        },
    }


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True).stdout
