"""Objects of the chart, rendered by Helm: what an administrator installs, not a copy made for tests."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import yaml

from support.yard import ROOT
from yardlib import build

Object = dict[str, Any]
CHART = ROOT / "charts" / "trainyard"


def render(name: str, namespace: str, values: Object) -> list[Object]:
    """Every object of a release that stays, which hooks do not; all names begin with `name`."""
    build.ensure(("helm",))
    command = [str(build.binary("helm")), "template", name, str(CHART), "--namespace", namespace, "--values", "-"]
    values = {"fullnameOverride": name, **values}
    told = subprocess.run(command, input=json.dumps(values), check=True, capture_output=True, text=True).stdout
    return [one for one in yaml.safe_load_all(told) if one and not _is_hook(one)]


def _is_hook(one: Object) -> bool:
    return "helm.sh/hook" in (one["metadata"].get("annotations") or {})


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [one for one in objects if one["kind"] in kinds]
