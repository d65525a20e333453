"""Checks that other programs make: style, types, import contracts, generated files, copied code, licences."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from verifylib.tree import Tree

COPIED_LINES = 12

# What may be linked into an Apache-2.0 program and handed on with it. MPL-2.0 binds its own files only.
_ACCEPTABLE = re.compile(
    r"(MIT( License)?|Apache(-2\.0| Software License| License 2\.0)|(3-Clause )?BSD( License|-[0-3]-Clause)?"
    r"|ISC( License)?|0BSD|Python Software Foundation License|PSF-2\.0|Python-2\.0|Unlicense|CC0-1\.0|Zlib"
    r"|MPL-2\.0|Mozilla Public License 2\.0 \(MPL 2\.0\)|HPND)"
)


def style(tree: Tree) -> list[str]:
    names = _names(tree, "operator", "hack", "tests", "manifests", "charts")
    wrong = _run(tree, "ruff", "check", "--quiet", "--output-format=concise", *names)
    return wrong + _run(tree, "ruff", "format", "--check", "--output-format=concise", *names)


def types(tree: Tree) -> list[str]:
    return _run(tree, "mypy", "--no-error-summary", "--scripts-are-modules", *_names(tree, "operator", "hack", "tests"))


def imports(tree: Tree) -> list[str]:
    return _run(tree, "lint-imports", "--no-cache")


def generated(tree: Tree) -> list[str]:
    found = []
    for script in ("hack/generate", "hack/manifests", "hack/dashboards"):
        found += _run(tree, str(tree.root / script), "--check")
    return found


def copied(tree: Tree) -> list[str]:
    """Blocks of the same lines in two places of the product."""
    files = [tree.name(path) for path in tree.python("operator", "hack")]
    options = ["-d", str(COPIED_LINES), "-i", "--ignore-docstrings", "--ignore-imports", "--ignore-signatures"]
    told = _output(tree, "symilar", *options, *files)
    if re.search(r"^TOTAL lines=\d+ duplicates=0 ", told, re.MULTILINE):
        return []
    return told.splitlines() or ["symilar said nothing"]


def licences(tree: Tree) -> list[str]:
    """Of everything that the operator ships with."""
    locked = re.findall(
        r"^([A-Za-z0-9._-]+)==", (tree.root / "requirements/operator.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    told = _output(tree, "pip-licenses", "--format=json", "--from=mixed", "--packages", *locked)
    found = {entry["Name"].lower(): entry["License"] for entry in json.loads(told)}
    wrong = [f"{name}: {licence}" for name, licence in sorted(found.items()) if not acceptable(licence)]
    # What is locked for another system only is not installed here, and is judged there.
    return [*wrong, "accept a licence in hack/verifylib/tools.py, or do without the package"] if wrong else []


def acceptable(licence: str) -> bool:
    """`A AND B` needs both, `A OR B` one of them; several classifiers come as `A; B` and count as alternatives."""
    alternatives = re.split(
        r"\s+OR\s+|;\s*", licence.replace("(", "").replace(")", "") if " OR " in licence else licence
    )
    return any(
        all(_ACCEPTABLE.fullmatch(part.strip()) for part in re.split(r"\s+AND\s+", alternative))
        for alternative in alternatives
    )


def _names(tree: Tree, *folders: str) -> list[str]:
    return [tree.name(path) for path in tree.python(*folders)]


def _run(tree: Tree, program: str, *arguments: str) -> list[str]:
    done = _start(tree, program, *arguments)
    return (done.stdout + done.stderr).splitlines() or [f"{program} failed without a word"] if done.returncode else []


def _output(tree: Tree, program: str, *arguments: str) -> str:
    done = _start(tree, program, *arguments)
    if done.returncode:
        raise RuntimeError(f"{program} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _start(tree: Tree, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    own = Path(sys.prefix) / "bin" / program
    command = [program if "/" in program or not own.exists() else str(own), *arguments]
    return subprocess.run(command, cwd=tree.root, check=False, capture_output=True, text=True)
