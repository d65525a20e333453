"""From a board to Grafana's own model, by the types that Grafana publishes. It decides nothing about content."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TypeVar

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as models
from grafana_foundation_sdk.models import dashboard as grafana
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboardlib.model import Board, Kind, Marker, Panel, Query, Steps, Variable

SOURCE = grafana.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "trainyard"
FILL = 25
BAR_INTERVAL = "1m"
"""The narrowest bar: it must hold a scrape."""

Builder = TypeVar("Builder", timeseries.Panel, stat.Panel, table.Panel, statetimeline.Panel)


def render(board: Board) -> str:
    """The JSON that Grafana imports."""
    return JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(_dashboard(board)) + "\n"


def _dashboard(board: Board) -> grafana.Dashboard:
    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags([TAG])
        .refresh("30s")
        .time(board.since, "now")
        .timezone("browser")
        .tooltip(grafana.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(
            dashboard.DashboardLink("Trainyard").type(grafana.DashboardLinkType.DASHBOARDS).tags([TAG]).keep_time(True)
        )
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for variable in board.variables:
        made.with_variable(_variable(variable))
    for marker in board.markers:
        made.annotation(_marker(marker))
    ids = itertools.count(1)
    for row in board.rows:
        made.with_row(dashboard.Row(row.title).id(next(ids)))
        for panel in row.panels:
            made.with_panel(_PANELS[panel.kind](panel).id(next(ids)))
    return made.build()


def _variable(variable: Variable) -> dashboard.QueryVariable:
    made = (
        dashboard.QueryVariable(variable.name)
        .label(variable.label)
        .query(variable.query)
        .datasource(SOURCE)
        .refresh(grafana.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(grafana.VariableSort.ALPHABETICAL_ASC)
    )
    if variable.all:
        everything = grafana.VariableOption(selected=True, text=["All"], value=["$__all"])
        made.multi(True).include_all(True).all_value(".*").current(everything)
    return made


def _marker(marker: Marker) -> dashboard.AnnotationQuery:
    return (
        dashboard.AnnotationQuery()
        .name(marker.name)
        .datasource(SOURCE)
        .enable(True)
        .icon_color(marker.color)
        .expr(marker.expr)
    )


def _common(made: Builder, panel: Panel, *, instant: bool, tabular: bool = False) -> Builder:
    made.title(panel.title).description(panel.description).datasource(SOURCE).unit(panel.unit.value)
    made.span(panel.width).height(panel.height).thresholds(_thresholds(panel.good, panel.steps))
    if panel.decimals is not None:
        made.decimals(panel.decimals)
    for ref, query in zip("ABCDEFGH", panel.queries, strict=False):
        made.with_target(_target(ref, query, instant, tabular))
    for name, color in panel.colors.items():
        made.override_by_name(name, [_property("color", {"mode": "fixed", "fixedColor": color})])
    return made


def _target(ref: str, query: Query, instant: bool, tabular: bool) -> prometheus.Dataquery:
    made = prometheus.Dataquery().ref_id(ref).expr(query.expr).legend_format(query.legend).datasource(SOURCE)
    made.format(PromQueryFormat.TABLE if tabular else PromQueryFormat.TIME_SERIES)
    return made.instant() if instant else made.range()


def _thresholds(good: str, steps: Steps) -> dashboard.ThresholdsConfig:
    known = [grafana.Threshold(None, good), *(grafana.Threshold(value, color) for value, color in steps)]
    return dashboard.ThresholdsConfig().mode(grafana.ThresholdsMode.ABSOLUTE).steps(known)


def _property(name: str, value: object) -> grafana.DynamicConfigValue:
    return grafana.DynamicConfigValue(id_val=name, value=value)


def _series(panel: Panel) -> timeseries.Panel:
    legend = (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(models.LegendDisplayMode.TABLE)
        .placement(models.LegendPlacement.BOTTOM)
        .calcs(["lastNotNull", "max"])
    )
    tooltip = common.VizTooltipOptions().mode(models.TooltipDisplayMode.MULTI).sort(models.SortOrder.DESCENDING)
    made = _common(timeseries.Panel(), panel, instant=False).legend(legend).tooltip(tooltip)
    made.min(0).line_width(1).show_points(models.VisibilityMode.NEVER)
    if panel.stacked:
        made.stacking(common.StackingConfig().mode(models.StackingMode.NORMAL)).fill_opacity(FILL)
    if panel.bars:
        made.draw_style(models.GraphDrawStyle.BARS).fill_opacity(100).interval(BAR_INTERVAL)
    if panel.steps:
        made.thresholds_style(common.GraphThresholdsStyleConfig().mode(models.GraphThresholdsStyleMode.DASHED))
    return made


def _stat(panel: Panel) -> stat.Panel:
    made = _common(stat.Panel(), panel, instant=True).no_value(panel.empty)
    made.graph_mode(models.BigValueGraphMode.NONE).color_mode(models.BigValueColorMode.VALUE)
    made.text_mode(models.BigValueTextMode(panel.text.value))
    return made.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))


def _states(panel: Panel) -> statetimeline.Panel:
    made = _common(statetimeline.Panel(), panel, instant=False).show_value(models.VisibilityMode.NEVER)
    made.merge_values(True).row_height(0.9).fill_opacity(80).line_width(0)
    return made.legend(common.VizLegendOptions().show_legend(False))


def _table(panel: Panel) -> table.Panel:
    values = {_value_field(panel, ref): query.legend for ref, query in zip("ABCDEFGH", panel.queries, strict=False)}
    values = {field: name for field, name in values.items() if name}
    fields = [*panel.columns, *values]
    made = _common(table.Panel(), panel, instant=True, tabular=True).cell_height(models.TableCellHeight.SM)
    made.with_transformation(grafana.DataTransformerConfig(id_val="merge", options={}))
    keep = {"include": {"names": fields}}
    made.with_transformation(grafana.DataTransformerConfig(id_val="filterFieldsByName", options=keep))
    order = {"indexByName": {name: i for i, name in enumerate(fields)}, "renameByName": values, "excludeByName": {}}
    made.with_transformation(grafana.DataTransformerConfig(id_val="organize", options=order))
    if panel.link:
        links = [{"title": "Open", "url": panel.link, "targetBlank": False}]
        made.override_by_name(panel.columns[-1], [_property("links", links)])
    if panel.steps:
        made.override_by_name(next(iter(values.values())), [_property("custom.cellOptions", {"type": "color-text"})])
    for first in list(values.values())[:1]:
        made.sort_by([common.TableSortByFieldState().display_name(first).desc(True)])
    return made


def _value_field(panel: Panel, ref: str) -> str:
    """What Grafana calls the value of a query in a table; the letter is there only where there are several."""
    return "Value" if len(panel.queries) == 1 else f"Value #{ref}"


_PANELS: dict[Kind, Callable[[Panel], timeseries.Panel | stat.Panel | table.Panel | statetimeline.Panel]] = {
    Kind.SERIES: _series,
    Kind.STAT: _stat,
    Kind.TABLE: _table,
    Kind.STATES: _states,
}
