"""Rights as values: what roles grant an account, what an audit log says that it asked for, and how the two compare."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One verb on one kind of object. Of a grant, an empty namespace means all of them."""

    resource: str
    """As kubectl writes it: `pods`, `trainingjobs.trainyard.dev/status`."""
    verb: str
    namespace: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{f' in {self.namespace}' if self.namespace else ''}"

    def covers(self, asked: Right) -> bool:
        """Whether this grant is enough for what was asked."""
        same = (self.resource, self.verb) == (asked.resource, asked.verb)
        return same and self.namespace in ("", asked.namespace)


@dataclass(frozen=True, slots=True)
class Account:
    """A service account."""

    namespace: str
    name: str

    @property
    def user(self) -> str:
        """As the API server calls it."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"


@dataclass(slots=True)
class Use:
    """What an account asked for, by an audit log."""

    allowed: Counter[Right] = field(default_factory=Counter)
    denied: Counter[Right] = field(default_factory=Counter)


def granted(objects: Iterable[Object], account: Account) -> set[Right]:
    """What these roles and bindings give the account."""
    objects = list(objects)
    rules = {
        (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one.get("rules") or []
        for one in objects
        if one["kind"] in ("Role", "ClusterRole")
    }
    found: set[Right] = set()
    for binding in objects:
        if binding["kind"] not in ("RoleBinding", "ClusterRoleBinding") or not _binds(binding, account):
            continue
        namespace = binding["metadata"].get("namespace", "")
        kind, name = binding["roleRef"]["kind"], binding["roleRef"]["name"]
        for rule in rules[kind, namespace if kind == "Role" else "", name]:
            found.update(_rights(rule, namespace))
    return found


def _binds(binding: Object, account: Account) -> bool:
    return any(
        (one["kind"], one["name"], one.get("namespace")) == ("ServiceAccount", account.name, account.namespace)
        for one in binding.get("subjects") or ()
    )


def _rights(rule: Object, namespace: str) -> Iterator[Right]:
    for group in rule.get("apiGroups") or ():
        for plural in rule.get("resources") or ():
            for verb in rule["verbs"]:
                yield Right(resource_name(group, *plural.split("/")), verb, namespace)


def resource_name(group: str, plural: str, subresource: str = "") -> str:
    """One spelling for roles and logs."""
    return f"{plural}{f'.{group}' if group else ''}{f'/{subresource}' if subresource else ''}"


def used(log: Path, name: str, namespaces: Iterable[str] | None = None, *, after: int = 0) -> Use:
    """What service accounts of this name, in these namespaces or in any, asked for. `after`: bytes that are old."""
    users = None if namespaces is None else {Account(namespace, name).user for namespace in namespaces}
    found, seen = Use(), set[str]()
    with log.open(encoding="utf-8") as lines:
        lines.seek(after)
        for line in lines:
            if f":{name}" not in line:  # cheaper than reading them all
                continue
            event = json.loads(line)
            user = event["user"]["username"]
            mine = user.startswith("system:serviceaccount:") and user.endswith(f":{name}")
            if not mine or (users is not None and user not in users) or event["auditID"] in seen:
                continue
            seen.add(event["auditID"])  # a watch is told of twice
            _note(found, event)
    return found


def _note(found: Use, event: Object) -> None:
    what = event.get("objectRef")
    if what is None:  # a path that is no object: the API's own description, open to everybody
        right = Right(event["requestURI"].partition("?")[0], event["verb"])
    else:
        name = resource_name(what.get("apiGroup", ""), what["resource"], what.get("subresource", ""))
        right = Right(name, event["verb"], what.get("namespace", ""))
    decision = (event.get("annotations") or {}).get("authorization.k8s.io/decision", "")
    (found.denied if decision == "forbid" else found.allowed)[right] += 1


def superfluous(grants: Iterable[Right], asked: Iterable[Right]) -> list[Right]:
    """Grants that nothing needed."""
    needed = set(asked)
    return sorted(grant for grant in set(grants) if not any(grant.covers(one) for one in needed))
