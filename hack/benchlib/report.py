"""From figures to a table for people and an object for machines; budgets are told beside what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Line:
    """One figure worth a line. `least` and `most` are its budget, where it has one."""

    key: str
    text: str
    unit: str = "s"
    least: float | None = None
    most: float | None = None

    def holds(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    @property
    def budget(self) -> str:
        if self.least is not None:
            return f">= {self.least:g}"
        return f"<= {self.most:g}" if self.most is not None else ""


GANG = (
    Line("raw_created_s", "raw: first POST to all created"),
    Line("raw_bound_s", "raw: … to all bound"),
    Line("raw_running_s", "raw: … to all Running"),
    Line("raw_delete_calls_s", "raw: DELETE calls answered"),
    Line("raw_gone_s", "raw: first DELETE to all gone"),
    Line("gang_first_pod_s", "gang: apply to first pod"),
    Line("gang_created_s", "gang: apply to all created"),
    Line("gang_bound_s", "gang: … to all bound"),
    Line("gang_running_s", "gang: … to all Running"),
    Line("gang_status_running_s", "gang: … to phase Running"),
    Line("ratio_created", "gang: created, of the raw rate", "", least=0.8),
    Line("ratio_running", "gang: Running, of the raw rate", ""),
    Line("ratio_start_work", "gang: processor time of raw and of ours, until Running", ""),
    Line("gang_creates_per_pod", "gang: POSTs a pod", "", most=1.05),
    Line("gang_status_writes", "gang: status writes", "", most=50),
    Line("gang_writes", "gang: all writes", ""),
    Line("gang_cpu_s", "gang: operator CPU, POSTs included"),
    Line("gang_cpu_ms_per_event", "gang: operator CPU an event, POSTs included", "ms"),
    Line("gang_rss_mib", "gang: operator RSS", "MiB"),
    Line("restart_decided_s", "restart: failed pod seen to attempt closed", most=0.05),
    Line("restart_first_delete_s", "restart: … to first DELETE seen"),
    Line("restart_last_delete_s", "restart: … to last DELETE seen"),
    Line("restart_gone_s", "restart: … to all old gone"),
    Line("restart_gap_s", "restart: last gone to first new"),
    Line("restart_created_s", "restart: seen to all new created"),
    Line("restart_bound_s", "restart: … to all bound"),
    Line("restart_running_s", "restart: … to all Running"),
    Line("ratio_restart_gone", "restart: deletes, of the raw rate", "", least=0.8),
    Line("ratio_restart_created", "restart: creates, of the raw rate", "", least=0.8),
    Line("ratio_restart_all", "restart: both, of the raw rates", "", least=0.8),
    Line("ratio_restart_work", "restart: processor time of raw and of ours, until Running", ""),
    Line("restart_creates_per_pod", "restart: POSTs a pod", "", most=1.05),
    Line("restart_status_writes", "restart: status writes", ""),
    Line("restart_cpu_s", "restart: operator CPU, calls included"),
    Line("delete_gone_s", "deletion: DELETE of the job to all pods gone"),
    Line("ratio_deleted", "deletion: of the raw rate", "", least=0.8),
    Line("ratio_delete_work", "deletion: processor time of raw and of ours", ""),
    Line("delete_cpu_s", "deletion: operator CPU, calls included"),
    Line("others_percent", "of the machine used by strangers, at most in a phase", "%"),
)

SCRAPE = (
    Line("scrape_series", "series", ""),
    Line("scrape_bytes", "size", "B", most=10_000_000),
    Line("scrape_gzip_bytes", "size, compressed", "B"),
    Line("scrape_ms", "a scrape, as its reader sees it", "ms", most=300),
    Line("scrape_gzip_ms", "a scrape, compressed", "ms", most=300),
    Line("scrape_worst_ms", "the slowest of all", "ms"),
    Line("scrape_freeze_ms", "to freeze the store", "ms"),
    Line("scrape_cpu_ms", "processor time of a scrape, compressed", "ms"),
    Line("scrape_hold_ms", "processor time for which the event loop is held at most", "ms", most=10),
    Line("plan_alone_p99_ms", "p99 of a plan's delay, its own time included, nobody scraping", "ms"),
    Line("plan_scraped_p99_ms", "… scraped without a pause", "ms"),
    Line("plan_scraped_worst_ms", "… the worst", "ms"),
)

REPLAY = (
    Line("replay_150_cpu_ms", "at 150 events a second: processor time an event", "ms"),
    Line("replay_600_cpu_ms", "at 600", "ms"),
)

SCALE = (
    Line("small_touch_cpu_ms", "one gang: operator CPU a pod event that means nothing", "ms", most=0.15),
    Line("small_flip_cpu_ms", "one gang: … that moves a count, passes and writes included", "ms", most=0.15),
    Line("small_rss_mib", "one gang: operator RSS", "MiB", most=150),
    Line("small_unattended_gone_s", "one gang: job deleted while no operator runs, to all pods gone"),
    Line("scale_pods", "many: pods", ""),
    Line("scale_created_s", "many: apply of eight jobs to all created"),
    Line("scale_running_s", "many: … to all Running"),
    Line("scale_status_writes", "many: status writes", ""),
    Line("scale_fill_cpu_ms_per_event", "many: operator CPU an event while starting, POSTs included", "ms"),
    Line("scale_touch_cpu_ms", "many: operator CPU a pod event that means nothing", "ms", most=0.15),
    Line("scale_flip_cpu_ms", "many: … that moves a count, passes and writes included", "ms", most=0.15),
    Line("scale_rss_mib", "many: operator RSS", "MiB", most=150),
    Line("scraped_p99_lag_s", "many: … scraped every second too: p99 of what the event loop is late", most=0.1),
    Line("scraped_p99_plan_s", "many: … p99 of a decision", most=0.05),
    Line("scraped_p99_visit_s", "many: … p99 of a visit to a job, its writes included"),
    Line("scraped_rss_mib", "many: … operator RSS", "MiB", most=150),
    Line("steady_writes", "many: writes in 20 s of rest, Lease left out", "", most=0),
    Line("steady_cpu_percent", "many: operator CPU at rest", "%"),
    Line("restart_leading_s", "operator killed and started: to leading, store filled", most=15),
    Line("restart_first_decision_s", "killed and started once more: to the first pod of a waiting job", most=15),
    Line("restart_decision_after_lead_s", "… of which after it led"),
    Line("restart_writes", "… writes where none are needed, Lease left out", "", most=0),
    Line("restart_rss_mib", "… RSS afterwards", "MiB", most=150),
    Line("restart_cpu_s", "… CPU from start to rest"),
)


def medians(rounds: Sequence[Figures]) -> dict[str, float]:
    """By figure."""
    return {key: statistics.median(figures[key] for figures in rounds) for key in rounds[0]}


def table(title: str, lines: Iterable[Line], rounds: Sequence[Figures]) -> list[str]:
    """One line a figure: the median, all rounds where there are several, the budget."""
    middle = medians(rounds)
    out = [title]
    for line in lines:
        if line.key not in middle:
            continue
        value = middle[line.key]
        spread = "  ".join(number(figures[line.key]) for figures in rounds) if len(rounds) > 1 else ""
        verdict = "" if line.holds(value) else "  MISSED"
        out.append(f"  {line.text:<62} {number(value):>8} {line.unit:<4} {line.budget:<8}{verdict}  {spread}".rstrip())
    return out


def planner_table(cases: Mapping[str, Any]) -> list[str]:
    """Milliseconds, with budgets."""
    out = ["Deciding functions alone"]
    for name, told in cases.items():
        verdict = "" if told["median_ms"] <= told["budget_ms"] else "  MISSED"
        out.append(f"  {name:<62} {told['median_ms']:>8.1f} ms   <= {told['budget_ms']:g}{verdict}")
    return out


def missed(lines: Iterable[Line], figures: Figures) -> list[str]:
    """Budgets that do not hold."""
    return [line.text for line in lines if line.key in figures and not line.holds(figures[line.key])]


def number(value: float) -> str:
    if value == int(value) and abs(value) >= 1:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"
