"""Do real Helm 4, real Helm 3 and the library that checks the chart render the same objects, and does kustomize?"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from chartlib import chart
from verifylib.chart import KUBERNETES
from yardlib import build

Object = dict[str, Any]
CI = chart.ci_values()
INSTALL = chart.ROOT / "manifests"


def run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def by_identity(objects: list[Object]) -> dict[tuple[str, str, str], Object]:
    found = {(o["kind"], o["metadata"].get("namespace", ""), o["metadata"]["name"]): o for o in objects}
    assert len(found) == len(objects)
    return found


def template(program: str, name: str, *flags: str) -> list[Object]:
    values = chart.CHART / "ci" / f"{name}-values.yaml"
    command = [str(build.binary(program)), "template", chart.RELEASE, str(chart.CHART), "-n", chart.NAMESPACE]
    told = run(*command, f"--values={values}", f"--kube-version={KUBERNETES[-1]}.0", *flags)
    return [document for document in yaml.safe_load_all(told) if document]


@pytest.mark.nodes
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", CI)
def test_helm_renders_what_the_library_does(name: str) -> None:
    build.ensure(("helm",))
    assert by_identity(template("helm", name)) == by_identity(chart.objects(CI[name]))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", CI)
def test_helm_3_renders_what_helm_4_does(name: str) -> None:
    build.ensure(("helm", "helm3"))
    assert by_identity(template("helm3", name)) == by_identity(template("helm", name))


@pytest.mark.nodes
@pytest.mark.timeout(900)
def test_helm_has_nothing_to_say_against_it() -> None:
    build.ensure(("helm",))
    assert "[WARNING]" not in run(str(build.binary("helm")), "lint", "--strict", str(chart.CHART))


@pytest.mark.apiserver
def test_an_overlay_on_the_kustomize_base_changes_what_it_says(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    for file in ("kustomization.yaml", "install.yaml"):
        (base / file).write_text((INSTALL / file).read_text())
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    image = {"name": "trainyard.dev/operator", "newName": "example.com/trainyard", "newTag": "1"}
    replicas = {"name": "trainyard-operator", "count": 2}
    (overlay / "kustomization.yaml").write_text(
        json.dumps({"resources": ["../base"], "images": [image], "replicas": [replicas]})
    )
    rendered = by_identity([d for d in yaml.safe_load_all(run(build.kubectl(), "kustomize", str(overlay))) if d])
    shipped = by_identity(list(yaml.safe_load_all((INSTALL / "install.yaml").read_text())))
    assert set(rendered) == set(shipped)
    deployment = rendered["Deployment", chart.NAMESPACE, "trainyard-operator"]["spec"]
    assert deployment["replicas"] == 2
    assert deployment["template"]["spec"]["containers"][0]["image"] == "example.com/trainyard:1"
