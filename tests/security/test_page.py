"""Does docs/security.md tell of the rights that the chart really grants, and of who may do what?"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from rightslib.cli import ACCOUNT, justified, main
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


@pytest.mark.parametrize(
    ("left_out", "denied", "words"),
    [
        ((), (), ""),
        ((("get", "pods"),), (), ""),  # there is a reason for it
        ((("create", "pods"),), (), "granted, never used and without a reason in justified.yaml: create pods"),
        ((), (("list", "secrets"),), "denied 1 times: list secrets in a"),
    ],
)
def test_the_account_after_a_run_is_settled(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    left_out: tuple[tuple[str, str], ...],
    denied: tuple[tuple[str, str], ...],
    words: str,
) -> None:
    asked = [(verb, resource, "allow") for resource, verb, _ in told() if (verb, resource) not in left_out]
    asked += [(verb, resource, "forbid") for verb, resource in denied]
    log = tmp_path / "audit.log"
    log.write_text("".join(json.dumps(event(number, *one)) + "\n" for number, one in enumerate(asked)))
    assert main(["--log", str(log)]) == (1 if words else 0)
    assert words in capsys.readouterr().err


def event(number: int, verb: str, resource: str, decision: str) -> dict[str, object]:
    """As the API server writes it into its audit log."""
    name, _, subresource = resource.partition("/")
    plural, _, group = name.partition(".")
    return {
        "auditID": str(number),
        "verb": verb,
        "user": {"username": f"system:serviceaccount:a:{ACCOUNT.name}"},
        "objectRef": {"resource": plural, "apiGroup": group, "subresource": subresource, "namespace": "a"},
        "annotations": {"authorization.k8s.io/decision": decision},
    }


def test_a_run_is_settled_by_its_own_part_of_the_log(tmp_path: Path) -> None:
    log, whole = tmp_path / "audit.log", [(verb, resource, "allow") for resource, verb, _ in told()]
    assert main(["--log", str(log), "--begin"]) == 0, "there may be no cluster yet"
    log.write_text(json.dumps(event(0, "list", "secrets", "forbid")) + "\n")
    assert main(["--log", str(log)]) == 1
    assert main(["--log", str(log), "--begin"]) == 0
    with log.open("a") as more:
        more.writelines(json.dumps(event(number, *one)) + "\n" for number, one in enumerate(whole))
    assert main(["--log", str(log)]) == 0
    log.write_text("")
    assert main(["--log", str(log)]) == 1, "a new log: nothing was used"


def test_without_a_log_nothing_is_settled(tmp_path: Path) -> None:
    assert main(["--log", str(tmp_path / "none")]) == 1
