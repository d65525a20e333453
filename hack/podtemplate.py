"""Makes `operator/trainyard/api/podtemplate.json`: the pod template of core/v1 as a structural schema.

    kubectl get --raw /openapi/v3/api/v1 > core.json
    hack/generate --pod-template core.json

Run it when Trainyard moves to a newer Kubernetes. The result is kept in the repository, so that rendering the CRDs
needs no cluster. Descriptions go (they would be most of the CRD), and lists and strings that rules walk over get
bounds, without which the API server refuses the rules as too dear.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

MAX_ITEMS = {
    "containers": 16,
    "initContainers": 16,
    "volumes": 64,
    "env": 256,
    "envFrom": 32,
    "volumeMounts": 64,
    "ports": 64,
    "tolerations": 64,
    "imagePullSecrets": 16,
    "args": 256,
    "command": 64,
    "restartPolicyRules": 20,
}
MAX_PROPERTIES = {"limits": 32, "requests": 32, "labels": 64, "annotations": 64, "nodeSelector": 64}
MAX_LENGTH = {
    ("Container", "name"): 63,
    ("Container", "image"): 512,
    ("EnvVar", "name"): 256,
    ("EnvFromSource", "prefix"): 256,
    ("Volume", "name"): 63,
    ("VolumeMount", "mountPath"): 512,
    ("PodSpec", "priorityClassName"): 253,
    ("PodSpec", "restartPolicy"): 16,
    ("Container", "restartPolicy"): 16,
}
LEFT_OUT = {("PodSpec", "ephemeralContainers")}
"""No pod can be created with ephemeral containers."""

QUANTITY = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
KEPT = ("type", "x-kubernetes-list-type", "x-kubernetes-map-type", "x-kubernetes-list-map-keys", "required")
INT_OR_STRING: Schema = {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
STRINGS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}


def pod_template(document: Schema) -> Schema:
    """The structural schema of PodTemplateSpec from an OpenAPI v3 document of core/v1."""
    return Converter(document["components"]["schemas"]).named("PodTemplateSpec")


class Converter:
    """Follows references through one document; a cycle would be a schema that no CRD can hold."""

    def __init__(self, schemas: Schema) -> None:
        self.schemas = schemas
        self.open: list[str] = []

    def named(self, kind: str) -> Schema:
        return self.reference(f"#/components/schemas/io.k8s.api.core.v1.{kind}")

    def reference(self, target: str, field: str = "") -> Schema:
        full = target.rsplit("/", 1)[-1]
        if (known := _well_known(full)) is not None:
            return known
        if full in self.open:
            raise SystemExit(f"{full} refers to itself")
        self.open.append(full)
        schema = self.convert(self.schemas[full], field, owner=full.rsplit(".", 1)[-1])
        self.open.pop()
        return schema

    def convert(self, schema: Schema, field: str, owner: str) -> Schema:
        if "$ref" in schema:
            return self.reference(schema["$ref"], field)
        if len(schema.get("allOf", ())) == 1:
            return self.convert(schema["allOf"][0], field, owner)
        out = {key: schema[key] for key in KEPT if key in schema}
        if schema.get("format") in ("int32", "int64", "date-time", "byte"):
            out["format"] = schema["format"]
        if "properties" in schema:
            kept = {k: v for k, v in schema["properties"].items() if (owner, k) not in LEFT_OUT}
            out["properties"] = {k: self.convert(v, k, owner) for k, v in kept.items()}
        if "additionalProperties" in schema:
            out["additionalProperties"] = self.convert(schema["additionalProperties"], "", owner)
        if "items" in schema:
            out["items"] = self.convert(schema["items"], "", owner)
        _bound(out, field, owner)
        _require_keys(out)
        return out


def _well_known(full: str) -> Schema | None:
    """Types whose OpenAPI form is not structural, or that a template holds only a part of."""
    if full.endswith("api.resource.Quantity"):
        return {**INT_OR_STRING, "maxLength": 32, "pattern": QUANTITY}
    if full.endswith("util.intstr.IntOrString"):
        return dict(INT_OR_STRING)
    if full.endswith("meta.v1.Time"):
        return {"type": "string", "format": "date-time"}
    if full.endswith("meta.v1.FieldsV1"):
        return {"type": "object"}
    if full.endswith("meta.v1.ObjectMeta"):
        # Spelled out: the API server prunes every key of an embedded metadata that the schema does not name.
        return {
            "type": "object",
            "properties": {key: {**STRINGS, "maxProperties": MAX_PROPERTIES[key]} for key in ("labels", "annotations")},
        }
    return None


def _bound(schema: Schema, field: str, owner: str) -> None:
    kind = schema.get("type")
    if kind == "array" and field in MAX_ITEMS:
        schema["maxItems"] = MAX_ITEMS[field]
    if kind == "object" and "additionalProperties" in schema and field in MAX_PROPERTIES:
        schema["maxProperties"] = MAX_PROPERTIES[field]
    if kind == "string" and (owner, field) in MAX_LENGTH:
        schema["maxLength"] = MAX_LENGTH[owner, field]
    if (owner, field) in (("Container", "name"), ("PodSpec", "containers")):
        schema["minLength" if kind == "string" else "minItems"] = 1


def _require_keys(schema: Schema) -> None:
    """The keys of a keyed list must be required or have a default."""
    if schema.get("x-kubernetes-list-type") != "map":
        return
    element = schema["items"]
    for key in schema["x-kubernetes-list-map-keys"]:
        if key == "protocol":
            element["properties"][key]["default"] = "TCP"
        elif key not in element.get("required", ()):
            element.setdefault("required", []).append(key)
