"""Renders the CustomResourceDefinition from the models, the pod template and the rules.

    python -m trainyard.api.crdgen          # print the CRD as YAML

Pure but for reading its own package's data. `hack/generate` writes the files and checks them.
"""

import copy
import json
import sys
from importlib.resources import files
from typing import Any

import yaml
from pydantic import BaseModel

from trainyard.api.constants import GROUP, KIND, PLURAL, SHORT_NAME, SINGULAR, VERSION
from trainyard.api.rules import RULES
from trainyard.api.status import JobStatus
from trainyard.api.types import JobSpec

Schema = dict[str, Any]

MAX_ANNOTATION = 240_000
"""kubectl apply keeps the whole object in an annotation; all annotations together may have 256 KiB."""

QUANTITY: Schema = {
    "x-kubernetes-int-or-string": True,
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "maxLength": 32,
}

_BOUNDS = {"ge": "minimum", "le": "maximum"}
"""pydantic leaves the bounds of a number that has a validator of its own in its own words."""

COLUMNS = (
    ("Phase", "string", ".status.phase", 0, "Where the job is."),
    ("Ready", "string", ".status.ready", 0, "Replicas that are ready or have completed, of all."),
    ("Restarts", "integer", ".status.restarts.total", 0, "Attempts closed by a failure or a disruption."),
    ("GPUs", "integer", ".status.gpus", 0, "Accelerators of the whole gang."),
    ("Age", "date", ".metadata.creationTimestamp", 0, "Time since the job was made."),
    ("Attempt", "integer", ".status.attempt", 1, "Number of the current attempt."),
    ("Reason", "string", ".status.reason", 1, "Why the job is in its phase."),
)


def training_job_crd() -> Schema:
    """The whole CRD of TrainingJob."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": SINGULAR,
                "shortNames": [SHORT_NAME],
                "categories": ["trainyard"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(*column) for column in COLUMNS],
                    "schema": {"openAPIV3Schema": _root()},
                }
            ],
        },
    }


def annotation_size(crd: Schema) -> int:
    """Bytes of the annotation in which kubectl apply keeps the object: compact JSON, with <, > and & escaped."""
    text = json.dumps(crd, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return len(text.encode()) + 5 * sum(text.count(character) for character in "<>&") + 1


def schema_of(model: type[BaseModel]) -> Schema:
    """The structural schema of one model, with every reference resolved."""
    document = model.model_json_schema(by_alias=True, mode="validation")
    return _structural(document, document.get("$defs", {}))


def to_yaml(crd: Schema) -> str:
    """The CRD as it stands in `crds/`."""
    body = yaml.dump(crd, Dumper=_Plain, sort_keys=False, width=4096, allow_unicode=True)
    return f"# Rendered by hack/generate from operator/trainyard/api; do not edit.\n{body}"


class _Plain(yaml.SafeDumper):
    """YAML without anchors: what is equal is written twice, because readers and diffs want it so."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 (the signature is PyYAML's)
        return True


def _column(name: str, kind: str, path: str, priority: int, description: str) -> Schema:
    column: Schema = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return {**column, "priority": priority} if priority else column


def _root() -> Schema:
    root: Schema = {
        "type": "object",
        "description": "A training run over many pods: placed whole, watched, and brought back when anything breaks.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
            "kind": {"type": "string", "description": KIND},
            "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},  # for rules to point at
            "spec": schema_of(JobSpec),
            "status": schema_of(JobStatus),
        },
    }
    for rule in RULES:
        for place in rule.at:
            _at(root, place).setdefault("x-kubernetes-validations", []).append(rule.manifest(place))
    return root


def _at(root: Schema, place: str) -> Schema:
    """The schema at a rule's place."""
    schema = root
    for step in filter(None, place.split(".")):
        schema = schema["properties"][step.removesuffix("[]")]
        if step.endswith("[]"):
            schema = schema["items"]
    return schema


def _structural(schema: Schema, defs: Schema) -> Schema:
    if "$ref" in schema:
        target = defs[schema["$ref"].rsplit("/", 1)[-1]]
        return _structural({**target, **{k: v for k, v in schema.items() if k != "$ref"}}, defs)
    if options := [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]:
        rest = {k: v for k, v in schema.items() if k != "anyOf"}
        merged = {**QUANTITY, **rest} if schema.get("x-quantity") else {**_resolved(options[0], defs), **rest}
        return _finish(merged) if schema.get("x-quantity") else _structural(merged, defs)
    if schema.get("x-pod-template"):
        return {**_pod_template(), "description": _flat(schema["description"])}
    out = dict(schema)
    if "properties" in schema:
        out["properties"] = {key: _structural(value, defs) for key, value in schema["properties"].items()}
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), dict):
            out[inner] = _structural(schema[inner], defs)
    return _finish(out)


def _resolved(option: Schema, defs: Schema) -> Schema:
    return defs[option["$ref"].rsplit("/", 1)[-1]] if "$ref" in option else option


def _finish(schema: Schema) -> Schema:
    """Drop what is pydantic's, add what is Kubernetes', and put the keys in a steady order."""
    dropped = ("title", "$defs", "propertyNames", "x-quantity")
    out = {_BOUNDS.get(key, key): value for key, value in schema.items() if key not in dropped}
    if out.get("additionalProperties") is False:
        del out["additionalProperties"]
    if out.get("type") == "integer":
        out["format"] = "int64" if max(abs(out.get("maximum", 0)), abs(out.get("minimum", 0))) >= 2**31 else "int32"
    if "description" in out:
        out["description"] = _flat(out["description"])
    if "default" in out:
        _default(out)
    first = ("description", "type", "format", "default")
    return {key: out[key] for key in (*first, *sorted(out.keys() - set(first))) if key in out}


def _default(schema: Schema) -> None:
    if schema["default"] is None or schema["default"] == "":
        del schema["default"]
    elif schema.get("type") == "object":
        schema["default"] = {}  # the fields inside have defaults of their own


def _flat(text: str) -> str:
    return " ".join(text.split())


def _pod_template() -> Schema:
    data = files("trainyard.api").joinpath("podtemplate.json").read_text(encoding="utf-8")
    template: Schema = copy.deepcopy(json.loads(data))
    return template


if __name__ == "__main__":
    sys.stdout.write(to_yaml(training_job_crd()))
