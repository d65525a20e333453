"""Writes kubeconfig files; JSON, which every reader of YAML understands."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from yardlib.pki import Identity


def write(path: Path, *, cluster: str, server: str, authority: Path, identity: Identity) -> Path:
    """A self-contained kubeconfig for one user of one cluster, readable by its owner only."""

    def inline(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    name = f"trainyard-{cluster}"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": inline(authority)}}],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": inline(identity.certificate),
                    "client-key-data": inline(identity.key),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    # In one step: an `up` of a cluster that is there already writes beside readers of the file.
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(document, indent=1) + "\n")
    fresh.replace(path)
    return path
