"""Checks of our own: sizes, manifests, links, and that the project speaks of itself alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from trainyard.api.constants import API_VERSION, KIND
from trainyard.api.validation import InvalidSpec, read_job
from verifylib.tree import Tree

MAX_FILE, MAX_FUNCTION = 500, 70

# Notes to oneself, tickets of some tracker, and the work place instead of the work.
_FORBIDDEN = {
    re.compile(r"\b(TODO|FIXME|XXX)\b"): "finish it or leave it out",
    re.compile(r"\bNotImplementedError\b"): "finish it or leave it out",
    re.compile(r"\bissues? #?\d+\b", re.IGNORECASE): "say what it was about instead of a number",
    re.compile(r"\b(this|last|next|previous|earlier) session\b", re.IGNORECASE): "say it without the author's day",
    re.compile(r"\.\./(\.\./)*shared/"): "points outside of the project",
}
# A checkout right below one of these says nothing about the machine by its parent's name.
_ORDINARY_FOLDERS = {"/", "/home", "/mnt", "/opt", "/root", "/srv", "/src", "/tmp", "/usr/src", "/var"}
_QUOTES_THEM = {"tests/operator/test_verify.py"}
_NOT_OURS = (".txt", ".sum", ".mod", ".json", ".lock")
_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")


def sizes(tree: Tree) -> list[str]:
    """Files and functions that have grown too long to be read."""
    return [line for path in tree.python("operator", "hack") for line in _oversized(tree, path)]


def _oversized(tree: Tree, path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    if (lines := text.count("\n")) > MAX_FILE:
        yield f"{tree.name(path)}: {lines} lines, at most {MAX_FILE}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION:
                yield f"{tree.name(path)}:{node.lineno}: {node.name} has {length} lines, at most {MAX_FUNCTION}"


def words(tree: Tree) -> list[str]:
    """Texts that speak of something else than the project."""
    here = tree.root if str(tree.root.parent) in _ORDINARY_FOLDERS else tree.root.parent
    forbidden = {**_FORBIDDEN, re.compile(re.escape(f"{here}/")): "is a path of one machine"}
    found = []
    for path in tree.files():
        if (
            path.suffix in _NOT_OURS
            or path.name == "LICENSE"
            or "verifylib" in path.parts
            or tree.name(path) in _QUOTES_THEM
        ):
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            for pattern, advice in forbidden.items():
                if match := pattern.search(line):
                    found.append(f"{tree.name(path)}:{number}: {match[0]!r}: {advice}")
    return found


def links(tree: Tree) -> list[str]:
    """Links between documents that lead nowhere."""
    found = []
    for path in tree.files():
        if path.suffix == ".md":
            for match in _LINK.finditer(path.read_text(encoding="utf-8")):
                if not (path.parent / match[1]).exists():
                    found.append(f"{tree.name(path)}: {match[1]} does not exist")
    return found


def manifests(tree: Tree) -> list[str]:
    """YAML that is no Kubernetes object, objects of one name, and TrainingJobs that the operator would call invalid."""
    found = []
    for path in tree.files("manifests", "crds"):
        if path.suffix in (".yaml", ".yml"):
            found += [f"{tree.name(path)}: {wrong}" for wrong in _wrong_in(path)]
    return found


def _wrong_in(path: Path) -> Iterator[str]:
    try:
        documents = [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]
    except yaml.YAMLError as error:
        yield f"is not YAML: {error}"
        return
    if not documents:
        yield "holds no object"
    seen: set[tuple[str, str, str]] = set()
    for document in documents:
        if not isinstance(document, dict) or not (document.get("apiVersion") and document.get("kind")):
            yield "holds something that is no Kubernetes object"
            continue
        meta: dict[str, Any] = document.get("metadata") or {}
        identity = (document["kind"], str(meta.get("namespace", "")), str(meta.get("name", "")))
        if not identity[2] and not meta.get("generateName"):
            yield f"a {document['kind']} without a name"
        elif identity in seen:
            yield f"{document['kind']} {identity[2]} twice"
        seen.add(identity)
        if (document["apiVersion"], document["kind"]) == (API_VERSION, KIND):
            yield from _wrong_with_job(document, identity[2])


def _wrong_with_job(document: dict[str, Any], name: str) -> Iterator[str]:
    try:
        read_job(name, document.get("spec") or {})
    except InvalidSpec as error:
        yield from (f"{name}: {problem}" for problem in error.problems)
