"""Makes values.schema.json from the values and the operator's settings: a key that nobody knows is refused by Helm.

What a default tells of the type is taken from it; the rest stands in `# @schema` comments.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Iterable
from enum import Enum
from typing import Any

from pydantic.fields import FieldInfo

from chartlib.comments import Value
from trainyard.settings.explain import describe, file_name
from trainyard.settings.model import Settings

Schema = dict[str, Any]

# Settings that follow from other values, from the pod, or from the image.
CHARTS_OWN = frozenset(
    {
        *("kubeconfig", "context", "namespaces", "lease_name", "lease_namespace", "http_address", "http_port"),
        *("metrics_address", "metrics_port", "metrics_auth", "metrics_tls_cert", "metrics_tls_key"),
        *("metrics_client_ca", "build", "pod_name", "pod_uid", "pod_namespace"),
    }
)
SETTINGS = "$settings"  # in a `# @schema` comment: the operator's own
_SPAN = {
    "type": ["string", "number"],
    "pattern": r"^([0-9]+(\.[0-9]+)?((ms|s|m|h|d) ?([0-9]+(\.[0-9]+)?(ms|s|m|h|d) ?)*)?)$",
}
_PAIRS = {"type": ["object", "string"]}
_NAMES = {"type": ["array", "string"], "items": {"type": "string"}}


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
    fields = {name: field for name, field in Settings.model_fields.items() if name not in CHARTS_OWN}
    properties = {file_name(name): _of_setting(name, field) for name, field in fields.items()}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _of_setting(name: str, field: FieldInfo) -> Schema:
    told = describe(name)
    return {"description": f"{told.meaning} Default: {told.default}.", **_of_field(field)}


def _of_field(field: FieldInfo) -> Schema:
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    if extra["unit"] == "seconds":
        return _SPAN
    kind = field.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [member.value for member in kind]}
    if kind is bool:
        return {"type": "boolean"}
    if kind is int:
        return {"type": "integer", **_bounds(field)}
    if typing.get_origin(kind) is tuple:
        return _PAIRS if typing.get_args(kind)[0] is not str else _NAMES
    return {"type": "string"}


def _bounds(field: FieldInfo) -> Schema:
    found: Schema = {}
    for limit in field.metadata:
        for ours, theirs in (("ge", "minimum"), ("le", "maximum")):
            if hasattr(limit, ours):
                found[theirs] = getattr(limit, ours)
    return found
