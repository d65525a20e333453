"""Makes values.schema.json from the values and the operator's settings: a key that nobody knows is refused by Helm.

What a default tells of the type is taken from it; the rest stands in `# @schema` comments.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import Enum
from typing import Any

import yaml
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from chartlib.comments import Value
from trainyard.settings.explain import describe, file_name
from trainyard.settings.model import Settings
from trainyard.settings.values import (
    LABEL_KEY,
    LABEL_VALUE,
    LEVEL,
    read_label_keys,
    read_levels,
    read_ports,
    read_selector,
    read_span,
)

Schema = dict[str, Any]

# Settings that follow from other values, from the pod, or from the image.
CHARTS_OWN = frozenset(
    {
        *("kubeconfig", "context", "namespaces", "lease_name", "lease_namespace", "http_address", "http_port"),
        *("metrics_address", "metrics_port", "metrics_auth", "metrics_tls_cert", "metrics_tls_key"),
        *("metrics_client_ca", "build", "pod_name", "pod_uid", "pod_namespace"),
    }
)
_SPANS_TOP = "# Rendered by hack/manifests from the operator's settings; change those.\n"
SETTINGS = "$settings"  # in a `# @schema` comment: the operator's own


def _listed(item: str) -> str:
    """The pattern of texts such as `a, b`, as the operator splits them."""
    return rf"^\s*({item})?\s*(,\s*({item})?\s*)*$"


_KEY, _VALUE, _LEVEL = LABEL_KEY.pattern, LABEL_VALUE.pattern, LEVEL.pattern
# What the operator's readers of values take. A schema knows no bounds of spans that are texts, and nothing that several
# settings must keep together: templates/_check.tpl does.
_FORMS: dict[object, Schema] = {
    read_span: {
        "type": ["string", "number"],
        "pattern": r"^([0-9]+(\.[0-9]+)?((ms|s|m|h|d) ?([0-9]+(\.[0-9]+)?(ms|s|m|h|d) ?)*)?)$",
    },
    read_label_keys: {
        "type": ["array", "string"],
        "pattern": _listed(_KEY),
        "items": {"type": "string", "pattern": rf"^\s*({_KEY})?\s*$"},
    },
    read_selector: {
        "type": ["object", "string"],
        "pattern": _listed(rf"{_KEY}\s*=\s*{_VALUE}"),
        "patternProperties": {rf"^{_KEY}$": {"type": "string", "pattern": rf"^{_VALUE}$"}},
        "additionalProperties": False,
    },
    # A mapping is refused in words: Helm sorts its keys.
    read_levels: {"type": ["object", "string"], "pattern": _listed(rf"{_LEVEL}\s*=\s*{_KEY}")},
    read_ports: {"type": "string", "pattern": r"^\s*[0-9]+\s*-\s*[0-9]+\s*$"},
}


def render(values: Iterable[Value]) -> str:
    """The file's text."""
    root = _closed("Values of the Trainyard chart.")
    root["$schema"] = "http://json-schema.org/draft-07/schema#"
    # What Helm itself puts among the values of a chart that is part of another.
    root["properties"]["global"] = {"type": "object"}
    for value in values:
        place = root
        for part in value.path[:-1]:
            place = place["properties"].setdefault(part, _closed())
        place["properties"][value.path[-1]] = _of_value(value)
    return json.dumps(root, indent=2, ensure_ascii=False) + "\n"


def spans() -> str:
    """The spans among the settings, in seconds, for the chart's templates, which read texts such as 1m30s."""
    told = {}
    for name, field in _fields().items():
        if field.annotation is float:
            bounds = _bounds(field)
            most = {"most": bounds["maximum"]} if "maximum" in bounds else {}
            told[file_name(name)] = {"default": field.default, "least": bounds["minimum"], **most}
    return _SPANS_TOP + yaml.safe_dump(told, sort_keys=False, default_flow_style=None)


def _closed(description: str = "") -> Schema:
    told = {"description": description} if description else {}
    return {**told, "type": "object", "additionalProperties": False, "properties": {}}


def _of_value(value: Value) -> Schema:
    if value.limits.get(SETTINGS):
        return {"description": value.meaning, **_settings()}
    schema = {"description": value.meaning, **_of_default(value.default), **value.limits}
    if "enum" in value.limits:
        schema.pop("type")
    return schema


def _of_default(default: object) -> Schema:
    if isinstance(default, bool):
        return {"type": "boolean"}
    if isinstance(default, int):
        return {"type": "integer"}
    if isinstance(default, str):
        return {"type": "string"}
    if isinstance(default, list):
        return {"type": "array"}
    # Labels, probes, security contexts: Kubernetes knows better what they may hold. null takes a default away.
    return {"type": ["object", "null"]} if isinstance(default, dict) else {}


def _settings() -> Schema:
    properties = {file_name(name): _of_setting(name, field) for name, field in _fields().items()}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _fields() -> dict[str, FieldInfo]:
    return {name: field for name, field in Settings.model_fields.items() if name not in CHARTS_OWN}


def _of_setting(name: str, field: FieldInfo) -> Schema:
    told = describe(name)
    return {"description": f"{told.meaning} Default: {told.default}.", **_of_field(field)}


def _of_field(field: FieldInfo) -> Schema:
    for reader in field.metadata:
        if isinstance(reader, BeforeValidator):
            return _FORMS[reader.func] | (_bounds(field) if reader.func is read_span else {})
    kind = field.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [member.value for member in kind]}
    if kind is bool:
        return {"type": "boolean"}
    if kind is int:
        return {"type": "integer", **_bounds(field)}
    return {"type": "string"}


def _bounds(field: FieldInfo) -> Schema:
    """Of numbers; a span is never negative."""
    found: Schema = {"minimum": 0} if field.annotation is float else {}
    for limit in field.metadata:
        for ours, theirs in (("ge", "minimum"), ("le", "maximum")):
            if hasattr(limit, ours):
                found[theirs] = getattr(limit, ours)
    return found
