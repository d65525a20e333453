"""Are the chart's rules sound: known metrics only, each alert tested, each with a page for the person it wakes?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from dashboardlib.operator import FAULTS
from observability.expressions import ROOT, RULES, alerts, labels_in, records, rules, wrong
from observability.promtool import promtool
from trainyard.api.reasons import Reason

CASES = ROOT / "tests" / "observability" / "rules"
RUNBOOKS = ROOT / "docs" / "runbooks"
SEVERITIES = {"critical", "warning", "info"}
QUIET = {
    "a healthy cluster",
    "a quiet cluster, where the pods of one job are refused again and again",
    "a leader dies and a standby takes over, and a job is restarted twice meanwhile",
}
"""Cases in which no alert may fire."""
HEADINGS = ("## What it means", "## See", "## Do")


def test_prometheus_accepts_the_rules() -> None:
    assert "SUCCESS" in promtool("check", "rules", *(str(path) for path in sorted(RULES.glob("*.yaml"))))


def test_every_alert_fires_in_its_case_and_none_in_a_healthy_cluster() -> None:
    named = {case["name"] for case in yaml.safe_load((CASES / "alerts.yaml").read_text(encoding="utf-8"))["tests"]}
    assert named - set(alerts()) == QUIET and named >= set(alerts())
    promtool("test", "rules", str(CASES / "alerts.yaml"))


def test_each_case_expects_its_own_alert_to_fire() -> None:
    for case in yaml.safe_load((CASES / "alerts.yaml").read_text(encoding="utf-8"))["tests"]:
        if case["name"] in alerts():
            fired = [step for step in case["promql_expr_test"] if step["exp_samples"]]
            assert fired and all(case["name"] in step["expr"] for step in fired), case["name"]


def test_recording_rules_compute_what_they_say() -> None:
    promtool("test", "rules", str(CASES / "records.yaml"))


def test_rules_read_metrics_that_exist() -> None:
    found = {rule.get("alert") or rule["record"]: wrong(rule["expr"], records()) for rule in rules()}
    assert {name: words for name, words in found.items() if words} == {}


def test_recorded_names_say_level_metric_and_operation() -> None:
    assert [name for name in records() if not re.fullmatch(r"trainyard:[a-z_]+:[a-z0-9_]+", name)] == []


@pytest.mark.parametrize("name", sorted(alerts()))
def test_an_alert_says_what_is_wrong_and_where_to_look(name: str) -> None:
    rule = alerts()[name]
    texts = rule["annotations"]
    assert name.startswith("Trainyard")
    assert rule["labels"].keys() == {"severity"} and rule["labels"]["severity"] in SEVERITIES
    assert texts.keys() == {"summary", "description", "runbook_url", "dashboard_url"}
    assert "{{" not in texts["summary"] and texts["summary"].endswith(".")
    assert texts["runbook_url"] == f"docs/runbooks/{name}.md"
    boards = {path.stem for path in (ROOT / "charts/trainyard/dashboards").glob("*.json")}
    assert texts["dashboard_url"].removeprefix("/d/").split("?")[0] in boards


@pytest.mark.parametrize("name", sorted(alerts()))
def test_an_alert_has_a_runbook(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {name}\n")
    assert f"**{alerts()[name]['labels']['severity']}**" in text
    positions = [text.find(heading) for heading in HEADINGS]
    assert positions == sorted(positions) and positions[0] > 0, f"{name} lacks one of {HEADINGS}"
    assert "```" in text, "a runbook gives commands to type"


def test_a_job_whose_template_must_be_mended_is_told_of() -> None:
    (told,) = re.findall(r'reason=~"([^"]+)"', alerts()["TrainyardJobCannotStart"]["expr"])
    reasons = set(told.split("|"))
    mended = {reason.value for reason in Reason if re.search(r"[Ss]uspend(,| the job,)", reason.remedy)}
    assert mended
    assert mended <= reasons <= {reason.value for reason in Reason}
    page = (RUNBOOKS / "TrainyardJobCannotStart.md").read_text(encoding="utf-8")
    assert {reason for reason in reasons if f"`{reason}`" not in page} == set()


@pytest.mark.parametrize("page", ["TrainyardApiErrors.md", "dashboard"])
def test_a_request_that_failed_is_the_same_wherever_it_is_looked_at(page: str) -> None:
    (rule,) = [rule["expr"] for rule in rules() if rule.get("record") == "trainyard:api_errors:ratio_rate5m"]
    failed = [found for found in re.findall(r"\{([^}]*)\}", rule) if found]
    assert len(failed) == 3
    shown = [f"{{{fault}}}" for fault in FAULTS] if page == "dashboard" else [(RUNBOOKS / page).read_text("utf-8")]
    assert {fault for fault in failed if not any(f"{{{fault}}}" in text for text in shown)} == set()


def test_every_runbook_has_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {*alerts(), "README"}


@pytest.mark.parametrize("page", [RUNBOOKS / "README.md", ROOT / "docs" / "observability.md"], ids=lambda p: p.name)
def test_lists_of_alerts_have_all_of_them(page: Path) -> None:
    folder = "" if page.parent == RUNBOOKS else "runbooks/"
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| [Trainyard")]
    assert rows == [
        f"| [{name}]({folder}{name}.md) | {rule['labels']['severity']} | {rule['annotations']['summary']} |"
        for name, rule in alerts().items()
    ]


@pytest.mark.parametrize("name", sorted(alerts()))
def test_a_description_uses_labels_that_its_expression_keeps(name: str) -> None:
    rule = alerts()[name]
    used = labels_in(rule["annotations"]["description"] + rule["annotations"]["dashboard_url"])
    kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", _unfolded(rule["expr"])))))
    target = {"instance"} if "by (" not in rule["expr"] else set()
    assert used <= kept | target


def _unfolded(expr: str) -> str:
    """An expression with the recorded series that it reads, and those that they read, spelled out."""
    unread = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
    while read := [name for name in unread if name in expr]:
        expr = " ".join([expr, *(unread.pop(name) for name in read)])
    return expr
