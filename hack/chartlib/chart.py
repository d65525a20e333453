"""Renders the chart by Helm's own renderer as a library, so that no Helm need be there. It knows no single object."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from helm_python import Chart

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "trainyard"
RELEASE, NAMESPACE = "trainyard", "trainyard-system"
HOOK = "helm.sh/hook"

# Ten times as fast for what is mostly one large object.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Object = dict[str, Any]


def ci_values() -> dict[str, Object]:
    """The sets of values that are tested, by name."""
    files = sorted((CHART / "ci").glob("*-values.yaml"))
    return {file.name.removesuffix("-values.yaml"): yaml.safe_load(file.read_text()) or {} for file in files}


def texts(values: Object | None = None, namespace: str = NAMESPACE) -> dict[str, str]:
    """Rendered text by template, the notes included. Raises HelmError where values or templates are wrong."""
    with Chart.load(CHART) as chart:
        chart.validate_schema(values or {})
        rendered = chart.render(values or {}, name=RELEASE, namespace=namespace, is_install=True)
    return {Path(name).relative_to("trainyard").as_posix(): text for name, text in rendered.items()}


def documents(text: str) -> list[str]:
    """The YAML documents of one template's text that hold something."""
    parts = re.split(r"^---$\n?", text, flags=re.MULTILINE)
    return [part.strip("\n") + "\n" for part in parts if any(_content(part))]


def objects(values: Object | None = None, namespace: str = NAMESPACE) -> list[Object]:
    """Everything that would be installed, tests included."""
    return [
        yaml.load(document, Loader=_Loader)
        for name, text in texts(values, namespace).items()
        if not name.endswith(".txt")
        for document in documents(text)
    ]


def _content(text: str) -> Iterator[str]:
    return (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
