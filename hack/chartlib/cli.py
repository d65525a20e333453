"""The command `hack/manifests`: writes what is made from the chart, or says what would change."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from chartlib import comments, install, readme, schema
from chartlib.chart import CHART, ROOT

CRDS = ROOT / "crds"


def copies() -> dict[Path, str]:
    """The kinds, where Helm can read them."""
    return {CHART / "files/crds" / source.name: source.read_text(encoding="utf-8") for source in CRDS.glob("*.yaml")}


def described() -> dict[Path, str]:
    """What explains and checks the values."""
    values = comments.read((CHART / "values.yaml").read_text(encoding="utf-8"))
    facts = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    return {
        CHART / "values.schema.json": schema.render(values),
        CHART / "files/spans.yaml": schema.spans(),
        CHART / "README.md": readme.render(values, facts),
    }


def installed() -> dict[Path, str]:
    """What kubectl applies."""
    return {ROOT / "manifests/install.yaml": install.render(), ROOT / "manifests/crds.yaml": install.kinds()}


def main(argv: Sequence[str]) -> int:
    """0 where nothing is left to do."""
    parser = argparse.ArgumentParser(prog="hack/manifests", description="Render what is made from charts/trainyard.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a file would change")
    parser.add_argument(
        "--image", help="print the install manifest with this image of the operator, for `kubectl apply -f -`"
    )
    arguments = parser.parse_args(argv)
    if arguments.image:
        sys.stdout.write(install.render(arguments.image))
        return 0
    # Each step reads what the one before it wrote.
    changed = [path for make in (copies, described, installed) for path in _write(make(), arguments.check)]
    for path in changed:
        print(f"{'differs' if arguments.check else 'written'}: {path.relative_to(ROOT)}")
    if changed and arguments.check:
        print("run hack/manifests and commit what it writes", file=sys.stderr)
    return int(bool(changed and arguments.check))


def _write(wanted: dict[Path, str], check: bool) -> list[Path]:
    changed = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in changed:
        if not check:
            path.write_text(wanted[path], encoding="utf-8")
    return changed
