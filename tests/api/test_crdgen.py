"""Is what is generated small enough, complete, bounded, and as it stands in the repository?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trainyard.api.crdgen import MAX_ANNOTATION, annotation_size, to_yaml, training_job_crd
from trainyard.api.docgen import api_reference, reasons_reference
from trainyard.api.hashing import ATTEMPT_FIELDS
from trainyard.api.reasons import Cause, ConditionType, Documented, Phase, Reason
from trainyard.api.rules import RULES

ROOT = Path(__file__).parents[2]
CRD = training_job_crd()
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]

Schema = dict[str, Any]


def walk(path: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    yield path, schema
    if path.endswith(".template"):
        return
    for name, field in schema.get("properties", {}).items():
        yield from walk(f"{path}.{name}", field)
    for inner in ("items", "additionalProperties"):
        if inner in schema:
            yield from walk(f"{path}[]", schema[inner])


FIELDS = [*walk("spec", SCHEMA["properties"]["spec"]), *walk("status", SCHEMA["properties"]["status"])]


def test_plain_apply_works() -> None:
    assert annotation_size(CRD) < MAX_ANNOTATION


def test_the_template_is_embedded_once() -> None:
    assert json.dumps(CRD).count('"automountServiceAccountToken"') == 1


@pytest.mark.parametrize(("path", "schema"), FIELDS, ids=[path for path, _ in FIELDS])
def test_every_field_is_bounded(path: str, schema: Schema) -> None:
    kind = schema.get("type")
    if kind == "integer":
        assert {"minimum", "maximum"} <= schema.keys()
    elif kind == "string" and "enum" not in schema and schema.get("format") != "date-time":
        assert "maxLength" in schema
    elif kind == "array":
        assert "maxItems" in schema
        assert "x-kubernetes-list-type" in schema or path == "status.restarts.charged"
    elif kind == "object" and "additionalProperties" in schema:
        assert "maxProperties" in schema
    assert "x-kubernetes-preserve-unknown-fields" not in schema


def test_every_rule_is_written_where_it_belongs() -> None:
    assert json.dumps(CRD).count('"rule"') == sum(len(rule.at) for rule in RULES)


def test_rules_that_every_change_brings_up_let_a_job_be_suspended() -> None:
    """Elsewhere the API server spares what is unchanged. What compares with the old object is about every change."""
    spared = [(rule.id, place) for rule in RULES for place in rule.at if "optionalOldSelf" in rule.manifest(place)]
    assert spared == [(rule.id, place) for rule in RULES for place in rule.at if rule.holds and place in ("", "spec")]
    for rule in RULES:
        if rule.holds is None:
            assert rule.manifest("spec")["rule"] == rule.cel


def test_a_write_that_suspends_can_change_nothing_that_such_a_rule_judges() -> None:
    """What shapes an attempt stays then, and so does a job's name. Any other field is the one that its rule names."""
    for rule in RULES:
        if rule.holds is None or rule.at not in (("",), ("spec",)):
            continue
        told = set(re.findall(r"self\.(?:spec\.)?(\w+)", rule.cel)) - {*ATTEMPT_FIELDS, "metadata"}
        assert told <= {rule.field.partition(".")[0]}, rule.id
        for name in told:
            assert f"&& self.{rule.field} == old.{rule.field})" in str(rule.manifest("spec")["rule"]), name


def test_the_files_are_as_rendered() -> None:
    for path, text in {
        "crds/trainyard.dev_trainingjobs.yaml": to_yaml(CRD),
        "docs/reference/api.md": api_reference(CRD),
        "docs/reference/reasons.md": reasons_reference(),
    }.items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, "run hack/generate"


@pytest.mark.parametrize("kind", [Phase, ConditionType, Cause, Reason])
def test_every_word_is_explained(kind: type[Documented]) -> None:
    for word in kind:
        assert word.meaning.endswith("."), word
        assert not word.remedy or word.remedy.rstrip(")").endswith((".", "`")), word
        assert f"| `{word}` |" in reasons_reference()


def test_the_reference_tells_every_field() -> None:
    page = api_reference(CRD)
    for path, schema in FIELDS:
        if path.endswith("]") or "." not in path:
            continue
        name = path.rsplit(".", 1)[-1]
        assert f"| {name} |" in page or f"| **{name}** |" in page, path
        assert schema.get("description"), path
