"""What a pod's raw spec asks of a node: resources, node affinity, tolerations, host ports; and where a pod of ours
writes checkpoints. Reads; decides nothing.

The same functions read pods that exist, dry-run answers and templates: an estimate and a fact are counted alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from trainyard.api.constants import CHECKPOINT_VOLUME, ENV_CHECKPOINT_DIR
from trainyard.model.resources import add, maximum, resources
from trainyard.model.views import NodeTerm, NodeTerms, Placing, Requirement, Resources, Toleration

Raw = Mapping[str, Any]

NAME_FIELD = "metadata.name"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_NOWHERE: NodeTerm = (Requirement(NAME_FIELD, "In", (), on_field=True),)
"""A term that no node satisfies."""


def container_requests(container: Raw) -> Resources:
    """What one container asks for; a limit without a request counts as the request, as the API server has it."""
    return _requests(container.get("resources"))


def pod_resources(spec: Raw) -> Resources:
    """What the scheduler counts for a pod: the larger of running and starting; pod-level values win; plus overhead."""
    containers: Sequence[Raw] = spec.get("containers") or ()
    if len(containers) == 1:
        total = _requests(containers[0].get("resources"))
    else:
        total = add(*(_requests(c.get("resources")) for c in containers))
    if inits := spec.get("initContainers"):
        total = _with_inits(total, inits)
    if whole := spec.get("resources"):
        total = _overlaid(total, _requests(whole))
    if overhead := spec.get("overhead"):
        total = add(total, _vector(tuple(overhead.items())))
    return total


def node_terms(affinity: Raw | None) -> NodeTerms:
    """The required node affinity of a pod's `affinity`."""
    selector = ((affinity or {}).get("nodeAffinity") or {}).get(_REQUIRED)
    return () if selector is None else selector_terms(selector)


def placing(spec: Raw) -> Placing:
    """On which nodes the pod may stand."""
    selector = tuple(sorted((spec.get("nodeSelector") or {}).items()))
    return Placing(selector, node_terms(spec.get("affinity")), tolerations(spec.get("tolerations")))


def selector_terms(selector: Raw) -> NodeTerms:
    """A raw NodeSelector. A term that says nothing matches no node and is left out; only such: nothing matches."""
    terms = (_term(raw) for raw in selector.get("nodeSelectorTerms") or ())
    return tuple(term for term in terms if term) or (_NOWHERE,)


def pinned_node(terms: NodeTerms) -> str:
    """The one node that every term names in a match field; empty where there is no such node."""
    names = {_named(term) for term in terms}
    return names.pop() if len(names) == 1 else ""


def checkpoint_place(spec: Raw, trainer: str) -> tuple[str, str]:
    """Claim and directory that a pod of ours was told to write checkpoints to; both empty without them."""
    for volume in spec.get("volumes") or ():
        if volume.get("name") == CHECKPOINT_VOLUME:
            claim = (volume.get("persistentVolumeClaim") or {}).get("claimName") or ""
            return (claim, _directory(spec, trainer)) if claim else ("", "")
    return "", ""


def _directory(spec: Raw, trainer: str) -> str:
    """What the trainer is told, without the path of the volume's mount."""
    for container in spec.get("containers") or ():
        if container.get("name") == trainer:
            env, mounts = container.get("env") or (), container.get("volumeMounts") or ()
            told = next((e.get("value") or "" for e in env if e.get("name") == ENV_CHECKPOINT_DIR), "")
            mount = next((m.get("mountPath") or "" for m in mounts if m.get("name") == CHECKPOINT_VOLUME), "")
            return told.removeprefix(mount.rstrip("/")).strip("/")
    return ""


def tolerations(raw: Iterable[Raw] | None) -> tuple[Toleration, ...]:
    """A raw list of tolerations; `tolerationSeconds` plays no part in choosing a node."""
    return tuple(
        Toleration(t.get("key") or "", t.get("operator") or "Equal", t.get("value") or "", t.get("effect") or "")
        for t in raw or ()
    )


def host_ports(spec: Raw) -> tuple[int, ...]:
    """Ports of the node that the pod takes, sorted."""
    shared = bool(spec.get("hostNetwork"))
    ports: set[int] = set()
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        for port in container.get("ports") or ():
            number = port.get("hostPort") or (port.get("containerPort") if shared else None)
            if isinstance(number, int) and number:
                ports.add(number)
    return tuple(sorted(ports))


def _requests(raw: Raw | None) -> Resources:
    if not raw:
        return ()
    requests, limits = raw.get("requests"), raw.get("limits")
    if limits:
        requests = {**limits, **requests} if requests else limits
    return _vector(tuple(requests.items())) if requests else ()


@lru_cache(maxsize=8192)
def _vector(items: tuple[tuple[str, str | int], ...]) -> Resources:
    # Ten thousand pods ask for a handful of different things: one tuple each, shared by all their views.
    return resources(dict(items))


def _with_inits(running: Resources, inits: Sequence[Raw]) -> Resources:
    """Init containers run one after another, beside the sidecars that were started before them."""
    sidecars: Resources = ()
    peak: Resources = ()
    for container in inits:
        own = _requests(container.get("resources"))
        if container.get("restartPolicy") == "Always":
            sidecars = add(sidecars, own)
            peak = maximum(peak, sidecars)
        else:
            peak = maximum(peak, add(sidecars, own))
    return maximum(add(running, sidecars), peak)


def _overlaid(total: Resources, whole: Resources) -> Resources:
    return tuple(sorted({**dict(total), **dict(whole)}.items()))


def _term(raw: Raw) -> NodeTerm:
    return (
        *(_requirement(r, on_field=False) for r in raw.get("matchExpressions") or ()),
        *(_requirement(r, on_field=True) for r in raw.get("matchFields") or ()),
    )


def _requirement(raw: Raw, *, on_field: bool) -> Requirement:
    return Requirement(raw["key"], raw["operator"], tuple(raw.get("values") or ()), on_field)


def _named(term: NodeTerm) -> str:
    return next(
        (r.values[0] for r in term if r.on_field and r.key == NAME_FIELD and r.operator == "In" and len(r.values) == 1),
        "",
    )
