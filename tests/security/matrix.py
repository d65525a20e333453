"""The privilege matrix as data, and its table for the documentation."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from support.manifests import BUSYBOX

Object = dict[str, Any]
FILE = Path(__file__).parent / "privileges.yaml"


@dataclass(frozen=True, slots=True)
class Person:
    """A user of a namespace and what was bound to it there."""

    name: str
    says: str
    jobs: bool
    pods: bool
    cluster_roles: tuple[str, ...] = ()
    rules: tuple[Object, ...] = ()


@dataclass(frozen=True, slots=True)
class Deed:
    """What is asked of a job, and who gets it."""

    deed: str
    allowed: frozenset[str]
    refusal: str = ""
    spec: Object = field(default_factory=dict)
    role: Object = field(default_factory=dict)
    pod: Object = field(default_factory=dict)
    container: Object = field(default_factory=dict)

    def job(self, name: str) -> Object:
        """The TrainingJob that asks for it."""
        trainer = {"name": "trainer", "image": BUSYBOX, **self.container}
        template = {"spec": {"containers": [trainer], **self.pod}}
        role = {"name": "worker", "gpus": 1, "template": template, **self.role}
        spec = {"framework": "custom", "roles": [role], **self.spec}
        meta = {"name": name}
        return {"apiVersion": "trainyard.dev/v1alpha1", "kind": "TrainingJob", "metadata": meta, "spec": spec}

    def words_for(self, person: Person) -> str:
        """How the person is refused; empty where it is allowed."""
        if person.name in self.allowed:
            return ""
        if not person.jobs:
            return 'cannot create resource "trainingjobs"'
        if not person.pods and self.allowed:
            return "may not create pods, so no job that makes the operator create them"
        return self.refusal


def _load() -> tuple[tuple[Person, ...], tuple[Deed, ...]]:
    data = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    people = tuple(
        Person(
            name,
            one["says"],
            one["jobs"],
            one["pods"],
            tuple(one.get("clusterRoles", ())),
            tuple(one.get("rules", ())),
        )
        for name, one in data["people"].items()
    )
    deeds = tuple(Deed(**{**one, "allowed": frozenset(one["allowed"])}) for one in data["deeds"])
    return people, deeds


PEOPLE, DEEDS = _load()


def table() -> str:
    """The matrix in Markdown, as docs/security.md prints it."""
    who = "\n".join(f"| {person.name} | {person.says} |" for person in PEOPLE)
    columns = [person for person in PEOPLE if person.jobs]
    head = f"| a job with | {' | '.join(person.name for person in columns)} |\n|---|{'---|' * len(columns)}"
    rows = [
        f"| {deed.deed} | {' | '.join('yes' if person.name in deed.allowed else '–' for person in columns)} |"
        for deed in DEEDS
    ]
    return f"| person | holds in the namespace |\n|---|---|\n{who}\n\n{head}\n" + "\n".join(rows) + "\n"
