"""Does docs/security.md tell of the rights that the chart really grants, and of who may do what?"""

from __future__ import annotations

import re

import yaml

from rightslib.cli import ACCOUNT, justified
from rightslib.rights import Right, granted
from security.chart import CHART, of_kind, render
from security.matrix import table
from support.yard import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def told() -> list[tuple[str, str, bool]]:
    """(resource, verb, marked as seldom used) of the page's table of permissions."""
    section = PAGE.split("## What each permission is for")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| ([a-z* ]+) \|", section, re.MULTILINE)
    return [(resource, verb.rstrip("*"), verb.endswith("*")) for resource, verbs in rows for verb in verbs.split()]


def test_every_right_is_explained_once_and_none_besides() -> None:
    objects = yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text(encoding="utf-8"))
    rights = {(right.resource, right.verb) for right in granted(objects, ACCOUNT)}
    explained = [(resource, verb) for resource, verb, _ in told()]
    assert sorted(explained) == sorted(rights)


def test_rights_that_are_seldom_used_are_marked() -> None:
    assert {(verb, resource) for resource, verb, seldom in told() if seldom} == set(justified())


def test_the_privilege_matrix_is_the_one_that_is_tried() -> None:
    assert table() in PAGE, f"put this into docs/security.md:\n{table()}"


def test_the_policys_values_and_verbs_are_told() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["admissionPolicy"]
    asked = {key for key, value in values.items() if isinstance(value, bool)} - {"enabled"}
    assert asked == set(re.findall(r"(?:on|off): `admissionPolicy\.(\w+)`", PAGE))
    (powers,) = [
        one for one in of_kind(render("t", "t", {}), "ClusterRole") if one["metadata"]["name"].endswith("-powers")
    ]
    verbs = {verb for rule in powers["rules"] for verb in rule["verbs"]}
    assert {verb for verb in verbs if f"`{verb}` on" in PAGE} == verbs


def test_a_grant_covers_what_it_names_and_no_more() -> None:
    everywhere, here = Right("pods", "list"), Right("pods", "list", "a")
    assert everywhere.covers(here) and here.covers(here)
    assert not here.covers(Right("pods", "list", "b")) and not here.covers(everywhere)
    assert not everywhere.covers(Right("pods", "watch", "a"))
