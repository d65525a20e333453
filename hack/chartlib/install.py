"""Makes what kubectl installs: the chart with its defaults, without Helm's marks; and the kinds of it alone."""

from __future__ import annotations

import re

import yaml

from chartlib import chart

HEADER = "# Installs Trainyard. Rendered by hack/manifests from charts/trainyard; change that.\n"
KINDS_HEADER = "# Trainyard's kinds alone; install.yaml holds them too. Rendered by hack/manifests; change crds/.\n"
IMAGE = ("trainyard.dev/operator", "dev")
KINDS_FIRST = ("Namespace", "CustomResourceDefinition", "ServiceAccount")

# kubectl applies everything again and again; nothing is kept for Helm's sake, and the namespace is part of the file.
_VALUES = {"crds": {"keep": False}}
_MARKS = re.compile(r"^ +(helm\.sh/chart|app\.kubernetes\.io/managed-by|checksum/settings): .*\n", re.MULTILINE)
_SOURCE = re.compile(r"^# Source: .*\n", re.MULTILINE)
_NAMESPACE = f"""\
apiVersion: v1
kind: Namespace
metadata:
  name: {chart.NAMESPACE}
  labels:
    app.kubernetes.io/name: trainyard
    app.kubernetes.io/part-of: trainyard
    pod-security.kubernetes.io/enforce: restricted
    pod-security.kubernetes.io/enforce-version: latest
"""


def render(image: str = ":".join(IMAGE)) -> str:
    """The text of the file with everything."""
    return HEADER + "---\n".join(sorted([_NAMESPACE, *_rendered({"image": _image(image)})], key=_order))


def kinds() -> str:
    """The text of the file with the kinds."""
    return KINDS_HEADER + "---\n".join(_rendered({}, only="templates/crds.yaml"))


def _rendered(values: chart.Object, only: str = "templates/") -> list[str]:
    """The documents of the chart's templates whose names begin so, tests left out."""
    return [
        _without_marks(document)
        for name, text in chart.texts({**_VALUES, **values}).items()
        if name.startswith(only) and not name.endswith(".txt") and not name.startswith("templates/tests/")
        for document in chart.documents(text)
    ]


def _image(image: str) -> dict[str, str]:
    """A reference by digest, by tag, or by neither; a colon before the last slash is a port's."""
    repository, at, digest = image.partition("@")
    if at:
        return {"repository": repository, "digest": digest}
    if ":" in image.rpartition("/")[2]:
        repository, _, tag = image.rpartition(":")
        return {"repository": repository, "tag": tag}
    return {"repository": image, "tag": "latest"}


def _without_marks(document: str) -> str:
    return _SOURCE.sub("", _MARKS.sub("", document))


def _order(document: str) -> tuple[int, str, str]:
    """The namespace and the kinds first, so that one `kubectl apply` finds them; workloads last."""
    head = yaml.safe_load(document[: document.index("\nspec:") + 1] if "\nspec:" in document else document)
    kind, name = str(head["kind"]), str(head["metadata"]["name"])
    place = KINDS_FIRST.index(kind) if kind in KINDS_FIRST else len(KINDS_FIRST) + (kind == "Deployment")
    return place, kind, name
