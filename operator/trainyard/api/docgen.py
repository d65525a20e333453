"""Renders the reference pages from the CRD's schema and from the enums. Pure."""

from collections.abc import Iterator
from typing import Any

from trainyard.api.constants import API_VERSION, KIND, SHORT_NAME
from trainyard.api.reasons import Cause, ConditionType, Documented, Phase, Reason
from trainyard.api.rules import RULES
from trainyard.api.waits import WAITS

Schema = dict[str, Any]

HEADER = "<!-- Rendered by hack/generate; do not edit. -->"

CHANGES = """\
## What may change, and when

| fields | when |
|---|---|
| `failurePolicy`, `activeDeadlineSeconds`, `ttlSecondsAfterFinished`, `cleanPods`, `suspend` | at any time |
| `framework`, `accelerator`, `rdma`, `roles`, `scheduling`, `rendezvous`, `checkpoint` | while suspended |
| the order of `roles` (it gives the ranks), `managedBy` | never |

While suspended means: the object was suspended before the write. Editing and resuming in one write is allowed,
suspending and editing is not.

A job that breaks a rule which came after it can be suspended as it is. Then the spec has to be mended, before the job
is resumed or in the same write.
"""

LIMITS = """\
## Where a pod template is stricter here than in a pod

* A keyed list (`env`, `volumes`, `ports`, ...) refuses two entries of one key. A pod's `env` would take the later one.
* A quantity is a whole number or text: write `500m` or `"0.5"`, not `0.5`.
* `metadata` holds labels and annotations only. Ephemeral containers are left out: no pod can be created with them.
* The lists have bounds: 16 containers, 16 init containers, 64 volumes, 256 variables, and so on.
"""


def api_reference(crd: Schema) -> str:
    """`docs/reference/api.md`."""
    root = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    parts = [
        HEADER,
        f"# {KIND}",
        f"`{API_VERSION}`, namespaced, short name `{SHORT_NAME}`. {root['description']}",
        "A field in **bold** must be set. Everything below can also be read with `kubectl explain trainingjob.spec`.",
        *_objects("spec", root["properties"]["spec"]),
        CHANGES.strip(),
        LIMITS.strip(),
        "## Rules",
        "What the schema alone cannot say. A manifest that breaks one is refused at apply with this text.",
        _rules(),
        *_objects("status", root["properties"]["status"]),
    ]
    return "\n\n".join(parts) + "\n"


def reasons_reference() -> str:
    """`docs/reference/reasons.md`."""
    parts = [
        HEADER,
        "# Phases, conditions, reasons",
        "`kubectl get tj` shows a job's phase, `-o wide` its reason, "
        "`kubectl describe tj NAME` the conditions with their messages and the latest episodes.",
        "## Phases",
        _words(Phase),
        "## Conditions",
        _words(ConditionType),
        "## Causes of an episode",
        "Each close of an attempt is told as one episode in `status.episodes`.",
        _words(Cause),
        "## Reasons",
        _words(Reason, remedies=True),
        "## What ends a wait",
        "A job that stands still says one of these. Each wait ends at a deadline of its own, or by somebody outside "
        "who is named; where both stand, by whichever comes first.",
        _waits(),
    ]
    return "\n\n".join(parts) + "\n"


def _words(kind: type[Documented], remedies: bool = False) -> str:
    head = ["| word | meaning | what to do |", "|---|---|---|"] if remedies else ["| word | meaning |", "|---|---|"]
    rows = (f"| `{word}` | {_cell(word.meaning)} |" + (f" {_cell(word.remedy)} |" if remedies else "") for word in kind)
    return "\n".join([*head, *rows])


def _waits() -> str:
    rows = (f"| `{reason}` | {_cell(wait.deadline)} | {_cell(wait.outside)} |" for reason, wait in WAITS.items())
    return "\n".join(["| reason | at the latest | or whose doing |", "|---|---|---|", *rows])


def _rules() -> str:
    rows = (f"| {_where(rule.at, rule.field)} | {_cell(rule.message)} |" for rule in RULES)
    return "\n".join(["| where | text |", "|---|---|", *rows])


def _where(places: tuple[str, ...], field: str) -> str:
    return ", ".join(f"`{'.'.join(filter(None, (place, field)))}`" for place in places)


def _objects(path: str, schema: Schema) -> Iterator[str]:
    """One section per object, outer before inner; the pod template is Kubernetes' own and stays out."""
    yield f"## {path}"
    yield schema["description"]
    required = schema.get("required", ())
    rows = (_row(name, field, name in required) for name, field in schema["properties"].items())
    yield "\n".join(["| field | type | default | meaning |", "|---|---|---|---|", *rows])
    for name, field in schema["properties"].items():
        inner = field.get("items", field)
        if "properties" in inner and name != "template":
            yield from _objects(f"{path}.{name}{'[]' if 'items' in field else ''}", inner)


def _row(name: str, field: Schema, required: bool) -> str:
    shown = f"**{name}**" if required else name
    default = field.get("default", "")
    default = "" if default in ("", {}, []) else f"`{_plain(default)}`"
    return f"| {shown} | {_type(name, field)} | {default} | {_cell(field.get('description', ''))} |"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _type(name: str, field: Schema) -> str:
    if name == "template":
        return "PodTemplateSpec"
    if "enum" in field:
        return " \\| ".join(f"`{word}`" for word in field["enum"])
    if field.get("x-kubernetes-int-or-string"):
        return "quantity"
    if field["type"] == "array":
        return f"list of {_type('', field['items'])}" + _span("", field.get("maxItems"))
    if field["type"] == "object":
        return "map" if "additionalProperties" in field else "object"
    if field["type"] == "integer":
        return "integer" + _span(field.get("minimum"), field.get("maximum"))
    return str(field.get("format") or field["type"])


def _span(low: Any, high: Any) -> str:
    if high is None:
        return ""
    return f", at most {high}" if low in (None, "") else f", {low} to {high}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
