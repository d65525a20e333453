"""Makes the chart's README from values.yaml: a table of values for each heading. The words around it stand here."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import Any

from chartlib.comments import Value

_TOP = """\
# Trainyard's Helm chart

<!-- Rendered by hack/manifests from values.yaml; change that. -->

Installs the operator for training jobs: the kind `TrainingJob`, a Deployment that runs as nobody on a read-only file
system, and the rights that it uses, none of which reaches a Secret. No webhook, no certificate, no hook that runs at
install.

```console
$ helm install trainyard charts/trainyard -n trainyard-system --create-namespace -f values.yaml
$ helm test trainyard -n trainyard-system
```

How to get an image, upgrade, roll back, remove, and install without Helm: [docs/install.md](../../docs/install.md).
Helm {helm}; Kubernetes {kubernetes}.

An unknown key is refused, and so is a value of `settings` that the operator would refuse; what `extraEnv` and
`extraArgs` say is the operator's to judge. `ci/` holds values that are tested: the default, two operators on two nodes,
two namespaces without cluster-wide rights, everything for Prometheus.
"""


def render(values: Iterable[Value], chart: dict[str, Any]) -> str:
    """The file's text."""
    parts = [_TOP.format(helm="3 and 4", kubernetes=_versions(chart["kubeVersion"]))]
    for heading, group in itertools.groupby(values, lambda value: value.heading):
        parts.append(f"\n## {heading}\n\n| value | default | meaning |\n|---|---|---|\n")
        parts += [f"| `{value.name}` | {_default(value.default)} | {_cell(value.meaning)} |\n" for value in group]
    return "".join(parts)


def _versions(constraint: str) -> str:
    """`>=1.37.0-0` in words."""
    major, minor, _ = constraint.removeprefix(">=").split(".", 2)
    return f"{major}.{minor} or newer"


def _default(default: object) -> str:
    if default == "":
        return '`""`'
    text = default if isinstance(default, str) else json.dumps(default, ensure_ascii=False)
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
