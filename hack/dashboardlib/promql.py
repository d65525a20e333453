"""Shapes of expressions that occur again and again. All give PromQL text, or queries of it; none looks at data."""

from __future__ import annotations

from dashboardlib.model import Query

WINDOW = "$__rate_interval"

GPU_BY_RANK = """(
  label_replace(
    label_replace({metric}{{exported_pod!=""}}, "pod", "$1", "exported_pod", "(.+)"),
    "namespace", "$1", "exported_namespace", "(.+)")
  or
  {metric}{{exported_pod=""}}
)
* on (namespace, pod) group_left (job_name, role, index, rank)
max by (namespace, pod, job_name, role, index, rank) (trainyard_job_pod_info{where})"""


def rate(metric: str, by: str, where: str = "") -> str:
    """How often a second, by these labels."""
    return f"sum by ({by}) (rate({metric}{_braces(where)}[{WINDOW}]))"


def quantile(q: float, metric: str, by: str = "", where: str = "", window: str = WINDOW) -> str:
    """A quantile of a histogram."""
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{_braces(where)}[{window}])))"


def spread(
    metric: str, high: float, by: str = "", where: str = "", window: str = WINDOW, said: str = ""
) -> tuple[Query, Query]:
    """The median of a histogram and a high quantile, as two lines; `said` stands before what each is called."""
    return (
        Query(quantile(0.5, metric, by, where, window), f"{said}median"),
        Query(quantile(high, metric, by, where, window), f"{said}p{high * 100:.0f}"),
    )


def mean(metric: str, by: str, where: str = "", window: str = WINDOW) -> str:
    """The mean of a histogram, by these labels."""
    inner = f"{_braces(where)}[{window}]"
    return f"sum by ({by}) (rate({metric}_sum{inner})) / sum by ({by}) (rate({metric}_count{inner}))"


def bars(metric: str, by: str, where: str = "") -> str:
    """How often within each bar. Differences between its ends, not increase(): that is blind between the last scrape
    of one bar and the first of the next, and rare events often fall there."""
    series = f"{metric}{_braces(where)}"
    now = f"last_over_time({series}[$__interval])"
    return f"sum by ({by}) (clamp_min({now} - ({series} offset $__interval or 0 * {now}), 0)) > 0"


def counted(metric: str, by: str, where: str = "", window: str = "$__range") -> str:
    """How often within a long window, in whole numbers. A series may be born with its first event, which increase()
    cannot see: what newborns began with counts too, and what ended with a leader meanwhile."""
    series = f"{metric}{_braces(where)}"
    seen = f"sum by ({by}) (increase({series}[{window}]))"
    newborn = f"sum by ({by}) (min_over_time({series}[{window}]) unless {series} offset {window})"
    return f"round({seen} + ({newborn} or 0 * {seen})) > 0"


def gpu(metric: str, where: str = "") -> str:
    """A series of dcgm-exporter with the job and rank whose pod uses the GPU, whichever way the exporter is scraped."""
    return GPU_BY_RANK.format(metric=metric, where=_braces(where))


def _braces(where: str) -> str:
    return f"{{{where}}}" if where else ""
