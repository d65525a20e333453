"""Is everything that the chart renders, with every set of values that is tested, what Kubernetes would take?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import yaml
from kubernetes_validate.utils import SchemaNotFoundError, ValidationError

from chartlib import chart
from trainyard.api.constants import GROUP
from verifylib.tree import Tree

KUBERNETES = ("1.34", "1.37")
"""The versions that the chart says it is for."""
FOREIGN = ("monitoring.coreos.com", GROUP)
"""Groups whose kinds are no part of Kubernetes."""

Object = dict[str, Any]


def rendered(tree: Tree) -> list[str]:
    """Objects that a strict API server would refuse, and what Helm's own lint says of the chart."""
    found = [
        f"{name}: {wrong}"
        for name in ("manifests/install.yaml", "manifests/crds.yaml")
        for wrong in _wrong(_objects(tree.root / name))
    ]
    for name, values in chart.ci_values().items():
        try:
            objects = chart.objects(values)
        except helm_python.HelmError as error:
            found.append(f"ci/{name}-values.yaml: {error}")
            continue
        found += [f"ci/{name}-values.yaml: {wrong}" for wrong in _wrong(objects)]
    return found + list(_lint())


def _objects(path: Path) -> list[Object]:
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def _wrong(objects: Iterable[Object]) -> Iterator[str]:
    seen = set()
    for thing in objects:
        meta = thing["metadata"]
        identity = (thing["kind"], meta.get("namespace", ""), meta["name"])
        if identity in seen:
            yield f"{thing['kind']} {meta['name']} twice"
        seen.add(identity)
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(thing, version, strict=True)
            except ValidationError as error:
                place = ".".join(map(str, error.path))
                yield f"{thing['kind']} {meta['name']}: {place}: {error.message[:200]} (Kubernetes {version})"
            except SchemaNotFoundError:
                if thing["apiVersion"].partition("/")[0] not in FOREIGN:
                    yield f"Kubernetes {version} has no {thing['apiVersion']} {thing['kind']}"


def _lint() -> Iterator[str]:
    told = helm_python.lint(chart.CHART, strict=True)
    yield from (f"{entry['path']}: {entry['error']}" for entry in told["messages"] if entry["severity"] >= 2)
