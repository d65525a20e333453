"""Are the dashboards what the chart promises: up to date, complete, and asking only for series that somebody tells?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboardlib.cli import boards, main
from dashboardlib.model import Board, Kind
from dashboardlib.promql import bars
from observability.expressions import DASHBOARDS, EXTERNAL, plain, selectors, wrong
from observability.promtool import promtool

BOARDS = {board.uid: board for board in boards()}


def drawn(uid: str) -> dict[str, Any]:
    dashboard: dict[str, Any] = json.loads((DASHBOARDS / f"{uid}.json").read_text(encoding="utf-8"))
    return dashboard


def test_the_chart_has_what_would_be_rendered() -> None:
    assert main(["--check"]) == 0


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_expressions_read_metrics_that_exist(board: Board) -> None:
    found = {expr: wrong(expr, set()) for expr in board.expressions()}
    assert {expr: words for expr, words in found.items() if words} == {}


def test_bars_count_every_event_once_over_births_and_ends_of_series(tmp_path: Path) -> None:
    name = "trainyard_attempts_closed_total"
    series = {f'{name}{{instance="1"}}': "0x5 1x5 2x3 stale", f'{name}{{instance="2"}}': "_x7 1x20"}
    seen = {"1m": 0, "2m": 0, "3m": 1, "4m": 1, "5m": 0, "6m": 1, "7m": 0, "8m": 0}
    expr = plain(bars(name, "cause"))
    case = {
        "interval": "30s",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "promql_expr_test": [
            {"expr": expr, "eval_time": at, "exp_samples": [{"labels": "{}", "value": count}] if count else []}
            for at, count in seen.items()
        ],
    }
    (tmp_path / "bars.yaml").write_text(yaml.safe_dump({"evaluation_interval": "30s", "tests": [case]}))
    promtool("test", "rules", str(tmp_path / "bars.yaml"))


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_a_panel_that_needs_another_exporter_says_so(board: Board) -> None:
    for panel in board.panels():
        needs = {EXTERNAL[s.name] for q in panel.queries for s in selectors(q.expr) if s.name in EXTERNAL}
        assert needs == ({panel.external} - {""}), panel.title
        assert all(name in panel.description for name in needs), panel.title


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_every_panel_explains_itself(board: Board) -> None:
    titles = [panel.title for panel in board.panels()]
    assert len(titles) == len(set(titles))
    for panel in board.panels():
        assert panel.description.endswith("."), panel.title
        if panel.kind in (Kind.SERIES, Kind.STATES):
            assert all(query.legend for query in panel.queries), panel.title
        if panel.kind is Kind.STAT:
            assert panel.empty, f"{panel.title} would say 'No data'"


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_rows_are_filled(board: Board) -> None:
    for row in board.rows:
        width = 0
        for panel in row.panels:
            assert width + panel.width <= 24, f"{panel.title} does not fit beside its neighbours"
            width = (width + panel.width) % 24
        assert width == 0, f"{row.title} ends with a gap"


@pytest.mark.parametrize("uid", BOARDS)
def test_grafanas_own_types_lose_nothing_of_a_dashboard(uid: str) -> None:
    read = Dashboard.from_json(drawn(uid))
    assert json.loads(JSONEncoder(sort_keys=True).encode(read)) == drawn(uid)


@pytest.mark.parametrize("uid", BOARDS)
def test_a_dashboard_can_be_imported_anywhere(uid: str) -> None:
    dashboard = drawn(uid)
    assert dashboard["uid"] == uid and dashboard["schemaVersion"] == 41 and dashboard["tags"] == ["trainyard"]
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource" and variables["datasource"]["query"] == "prometheus"
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}, panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
