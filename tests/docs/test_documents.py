"""Is what the documents say there: links, examples, commands, flags, fields, reasons, metrics, files, tests?"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml

from docs.documents import ROOT, Document, all_documents, slug
from trainyard.api.constants import API_VERSION, KIND
from trainyard.api.crdgen import training_job_crd
from trainyard.api.reasons import Cause, ConditionType, Phase, Reason
from trainyard.api.validation import read_job
from trainyard.settings.explain import env_name, file_name, flag_name
from trainyard.settings.model import Settings
from trainyard.telemetry.reference import render_metrics_reference
from yardlib.cli import parser as yard_parser

DOCUMENTS = all_documents()
each = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)

# Words of Kubernetes and of others that are written like our reasons.
WORDS = {
    "BestEffortFIFO",
    "ClusterFirstWithHostNet",
    "ConfigMap",
    "ContainerCreating",
    "DeleteOptions",
    "DisruptionTarget",
    "ErrImagePull",
    "FailedMount",
    "FailedScheduling",
    "FallbackToLogsOnError",
    "IfNotPresent",
    "ImagePullBackOff",
    "IsADirectoryError",
    "LimitRange",
    "NoExecute",
    "NoSchedule",
    "NotFound",
    "OOMKilled",
    "PodInitializing",
    "PodTemplateSpec",
    "PreemptLowerPriority",
    "PriorityClass",
    "ReadWriteMany",
    "ReadWriteOnce",
    "ReadWriteOncePod",
    "ResourceQuota",
    "RuntimeClass",
    "AlreadyExists",
    "AlreadyExistsError",
    "DeletionTimestamp",
    "TrainingJob",
}


@cache
def schema() -> dict[str, Any]:
    (version,) = training_job_crd()["spec"]["versions"]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return found


@cache
def enum_values() -> frozenset[str]:
    """Every word that the schema lets a field have."""

    def walk(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            yield from (value for value in node.get("enum", ()) if isinstance(value, str))
            for child in node.values():
                yield from walk(child)
        elif isinstance(node, list):
            for child in node:
                yield from walk(child)

    return frozenset(walk(schema()))


@cache
def sources() -> str:
    """The product, the tools and the tests as one text."""
    files = [path for folder in ("operator", "hack", "tests") for path in (ROOT / folder).rglob("*.py")]
    files += [path for path in (ROOT / "hack").iterdir() if path.is_file()]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


@cache
def make_targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@cache
def yard_commands() -> dict[str, argparse.ArgumentParser]:
    (group,) = (a for a in yard_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(group.choices)


@cache
def operator_flags() -> frozenset[str]:
    return frozenset({*map(flag_name, Settings.model_fields), "--config", "--help", "--version"})


def yard_flags() -> set[str]:
    return {flag for command in yard_commands().values() for flag in command._option_string_actions}


def test_the_pages_that_everybody_looks_for_are_there() -> None:
    names = {document.name for document in DOCUMENTS}
    expected = {"README.md", "CONTRIBUTING.md", "CHANGELOG.md"}
    expected |= {f"docs/{page}.md" for page in ("concepts", "design", "operations", "troubleshooting", "tutorial")}
    assert expected <= names


@each
def test_links_lead_somewhere(document: Document) -> None:
    for line, path, anchor in document.links():
        target = (document.path.parent / path).resolve() if path else document.path
        assert target.exists(), f"{document.name}:{line}: {path} does not exist"
        assert target.is_relative_to(ROOT), f"{document.name}:{line}: {path} lies outside of the project"
        if anchor:
            assert anchor in Document(target).anchors(), f"{document.name}:{line}: {path} has no heading #{anchor}"


@each
def test_yaml_is_yaml_and_jobs_are_valid(document: Document) -> None:
    for block in document.blocks():
        if block.language not in ("yaml", "yml"):
            continue
        for found in yaml.safe_load_all(block.text):
            if isinstance(found, dict) and found.get("kind") == KIND:
                assert found["apiVersion"] == API_VERSION, f"{document.name}:{block.line}"
                read_job(found["metadata"]["name"], found["spec"])  # raises what is wrong, and where


def test_the_readme_shows_a_whole_job_in_fifteen_lines() -> None:
    jobs = [block for block in Document(ROOT / "README.md").blocks() if f"kind: {KIND}" in block.text]
    assert any(len(block.text.splitlines()) <= 15 for block in jobs)


@each
def test_targets_of_make_exist(document: Document) -> None:
    for line, command in document.commands():
        for target in re.findall(r"(?:^|&& )make ([a-z][a-z-]*)", command):
            assert target in make_targets(), f"{document.name}:{line}: make has no target {target}"


@each
def test_scripts_exist_and_know_the_commands(document: Document) -> None:
    for line, command in document.commands():
        where = f"{document.name}:{line}"
        for script, argument in re.findall(r"(?:^|[\s(])(hack/[\w./-]+)(?: ([a-z][a-z-]+))?", command):
            path = ROOT / script.rstrip("./")
            assert path.exists(), f"{where}: there is no {script}"
            if path.is_file() and not path.suffix:
                assert os.access(path, os.X_OK), f"{where}: {script} cannot be run"
            if script == "hack/yard" and argument:
                assert argument in yard_commands(), f"{where}: hack/yard has no command {argument}"


@each
def test_flags_exist(document: Document) -> None:
    """A flag that stands alone is the operator's or the yard's; one in a command is its program's."""
    for line, command in document.commands():
        where = f"{document.name}:{line}"
        flags = re.findall(r"(?:^|\s)(--[a-z][a-z-]+)", command)
        if command.startswith("--") and "cascade" not in command:
            assert set(flags) <= operator_flags() | yard_flags(), f"{where}: nobody knows {command}"
        elif re.match(r"(\S*/)?trainyard-operator\b", command):
            assert set(flags) <= operator_flags(), f"{where}: the operator has no such flag: {command}"
        elif (found := re.match(r"hack/yard ([a-z-]+)", command)) and found[1] in yard_commands():
            known = set(yard_commands()[found[1]]._option_string_actions)
            assert set(flags) <= known, f"{where}: hack/yard {found[1]} has no such flag: {command}"


@each
def test_settings_and_variables_exist(document: Document) -> None:
    keys = {file_name(name) for name in Settings.model_fields}
    for line, text in document.prose():
        for key in re.findall(r"`([a-z]+[A-Za-z]*)`\s+settings?\b", text):
            assert key in keys, f"{document.name}:{line}: there is no setting {key}"
    variables = {env_name(name) for name in Settings.model_fields}
    for variable in set(re.findall(r"\bTRAINYARD_[A-Z_]+[A-Z]\b", document.text)):
        assert variable in variables or variable in sources(), f"{document.name}: nobody reads or sets {variable}"


@each
def test_metrics_exist(document: Document) -> None:
    known = render_metrics_reference()
    for line, span in document.spans():
        for metric in re.findall(r"\btrainyard_[a-z_]+[a-z]\b", span):
            if "_torch_" not in metric:
                assert f"`{metric.removesuffix('_bucket')}`" in known, f"{document.name}:{line}: no metric {metric}"


@each
def test_reasons_phases_and_conditions_exist(document: Document) -> None:
    """Every word written `LikeThis` is one of ours, a value of the API, or a known word of Kubernetes."""
    ours = {str(word) for kind in (Reason, Phase, ConditionType, Cause) for word in kind}
    for line, span in document.spans():
        if re.fullmatch(r"[A-Z][a-z]+(?:[A-Z][A-Za-z]*)+", span):
            known = span in ours or span in WORDS or span in enum_values()
            assert known, f"{document.name}:{line}: {span} is no reason, phase, condition, cause or value"


@each
def test_fields_exist(document: Document) -> None:
    for line, span in document.spans():
        path = span.split("=")[0].split(":")[0].strip()
        if re.fullmatch(r"(spec|status)(\.[a-zA-Z]+(\[\])?)+", path):
            assert _has_field(path), f"{document.name}:{line}: there is no field {path}"


def _has_field(path: str) -> bool:
    node = schema()
    for part in path.replace("[]", "").split("."):
        node = node.get("items", node)
        if "x-kubernetes-preserve-unknown-fields" in node or "additionalProperties" in node:
            return True
        if part not in node.get("properties", {}):
            return False
        node = node["properties"][part]
    return True


@each
def test_files_exist(document: Document) -> None:
    folders = r"(?:operator|hack|tests|manifests|docs|crds|requirements)"
    for line, span in document.spans():
        match = re.match(rf"({folders}/[\w./-]*[\w/])(?:::(\w+))?(?:\s|$)", span)
        if match and "*" not in span:
            path = ROOT / match[1]
            assert path.exists(), f"{document.name}:{line}: there is no {match[1]}"
            if match[2]:
                assert f"def {match[2]}(" in path.read_text(encoding="utf-8"), f"{document.name}:{line}: {span}"


@each
def test_named_tests_exist(document: Document) -> None:
    for line, span in document.spans():
        if re.fullmatch(r"test_\w+", span):
            assert f"def {span}(" in sources(), f"{document.name}:{line}: there is no {span}"


def test_operations_tells_of_every_reason() -> None:
    told = {span for _, span in Document(ROOT / "docs/operations.md").spans()}
    missing = {str(word) for word in (*Reason, *Phase)} - told
    assert not missing, f"docs/operations.md says nothing of {', '.join(sorted(missing))}"


def test_anchors_are_made_as_hosts_make_them() -> None:
    assert slug("W1–W10: the `write` rules, (all)") == "w1w10-the-write-rules-all"
