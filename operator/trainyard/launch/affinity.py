"""Laying our wishes over a template's affinity: whatever the user required still has to hold. Pure; mutates nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from trainyard.model.podspec import NAME_FIELD

Raw = Mapping[str, Any]
Json = dict[str, Any]

HOSTNAME = "kubernetes.io/hostname"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_LABEL_VALUE = 63


def pinned(affinity: Raw, node: str) -> Json:
    """Only this node, by its name, in every alternative that the user gave."""
    here = {"key": NAME_FIELD, "operator": "In", "values": [node]}
    return _in_every_term(affinity, lambda term: {**term, "matchFields": [*(term.get("matchFields") or ()), here]})


def avoiding(affinity: Raw, nodes: Iterable[str]) -> Json:
    """None of these nodes. By label: autoscalers refuse pods that match nodes by name."""
    values = sorted(node for node in nodes if len(node) <= _LABEL_VALUE)
    if not values:
        return dict(affinity)
    elsewhere = {"key": HOSTNAME, "operator": "NotIn", "values": values}
    return _in_every_term(
        affinity, lambda term: {**term, "matchExpressions": [*(term.get("matchExpressions") or ()), elsewhere]}
    )


def disliking(affinity: Raw, nodes: Iterable[str]) -> Json:
    """Rather none of these nodes."""
    values = sorted(node for node in nodes if len(node) <= _LABEL_VALUE)
    if not values:
        return dict(affinity)
    wish = {"matchExpressions": [{"key": HOSTNAME, "operator": "NotIn", "values": values}]}
    own = dict(affinity.get("nodeAffinity") or {})
    own[_PREFERRED] = [*(own.get(_PREFERRED) or ()), {"weight": 100, "preference": wish}]
    return {**affinity, "nodeAffinity": own}


def among(affinity: Raw, labels: Iterable[tuple[str, str]]) -> Json:
    """Only nodes with these labels."""
    owned = [{"key": key, "operator": "In", "values": [value]} for key, value in labels]
    if not owned:
        return dict(affinity)
    return _in_every_term(
        affinity, lambda term: {**term, "matchExpressions": [*(term.get("matchExpressions") or ()), *owned]}
    )


def together(affinity: Raw, labels: Mapping[str, str], required: str, preferred: str) -> Json:
    """In one domain with the pods of these labels; the arguments are node labels, empty for no wish."""
    pods = dict(affinity.get("podAffinity") or {})
    selector = {"matchLabels": dict(labels)}
    if required:
        pods[_REQUIRED] = [*(pods.get(_REQUIRED) or ()), {"labelSelector": selector, "topologyKey": required}]
    if preferred:
        wish = {"weight": 100, "podAffinityTerm": {"labelSelector": selector, "topologyKey": preferred}}
        pods[_PREFERRED] = [*(pods.get(_PREFERRED) or ()), wish]
    return {**affinity, "podAffinity": pods} if pods else dict(affinity)


def keeps_apart(affinity: Raw, labels: Mapping[str, str]) -> bool:
    """Whether a required anti-affinity by host makes pods of these labels refuse each other."""
    terms = (affinity.get("podAntiAffinity") or {}).get(_REQUIRED) or ()
    return any(t.get("topologyKey") == HOSTNAME and _selects(t.get("labelSelector"), labels) for t in terms)


def _in_every_term(affinity: Raw, change: Callable[[Raw], Json]) -> Json:
    nodes = dict(affinity.get("nodeAffinity") or {})
    selector = nodes.get(_REQUIRED)
    if selector is None:
        terms: list[Raw] = [{}]
    else:
        # A term that says nothing matches no node, and would match one once something stood in it.
        terms = [t for t in selector["nodeSelectorTerms"] if t.get("matchExpressions") or t.get("matchFields")]
        if not terms:
            return dict(affinity)
    nodes[_REQUIRED] = {"nodeSelectorTerms": [change(term) for term in terms]}
    return {**affinity, "nodeAffinity": nodes}


def _selects(selector: Raw | None, labels: Mapping[str, str]) -> bool:
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(e, labels) for e in selector.get("matchExpressions") or ())


def _holds(expression: Raw, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:
            return value is None
