"""The reference page of the metrics, rendered from their catalog."""

from __future__ import annotations

from trainyard.telemetry.catalog import CATALOG, Group, Kind, Metric

_INTRODUCTION = """\
# Metrics of the operator

<!-- Generated from the metrics' catalog; run `hack/generate` after changing it. -->

Served on `/metrics` of `--metrics-port`, in Prometheus' text format or as OpenMetrics, compressed for readers that
accept gzip, beside the usual `process_*` series (processor time, resident memory, open files). Seconds, bytes and
plain counts are the only units. A histogram has `_bucket`, `_sum` and `_count`.

**Leader only** (marked L): gauges and the series of single jobs are exported by the leader alone, and counters and
histograms move on the leader alone, so a plain `sum` over the replicas is right. After a fail-over a gauge goes on
where it was; histograms of steps leave out a step whose beginning the new leader has not seen.

**Labels.** `namespace`, `job_name` and `pod` are the training job's, never the operator's: scrape with
`honorLabels: true`. A series of a single job ends with the job. The column "at most" bounds the number of series;
where a process counts by namespace or node, what comes beyond the bound is counted as `(other)`, unless a name that has
not come for a day makes room for it: then the series of that name end.

**Who may read.** By default anyone who reaches the port, over plain HTTP. `--metrics-tls-cert` and `--metrics-tls-key`
make it HTTPS with a certificate that is read again when it is renewed; `--metrics-client-ca` asks readers for a
certificate of that authority (one taken out of the file is trusted until the operator restarts).
`--metrics-auth=kubernetes` asks for a bearer token of the cluster, which a TokenReview must know and a
SubjectAccessReview must allow `get` on the non-resource URL `/metrics`; an answer is kept for a minute, a refusal for
ten seconds. The operator then needs the right to create both reviews, and the reader this:

```yaml
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: trainyard-metrics-reader}
rules:
  - {nonResourceURLs: [/metrics], verbs: [get]}
```

Scrapes that come within a second of each other get the same answer.
"""


def render_metrics_reference() -> str:
    """The page, in Markdown."""
    parts = [_INTRODUCTION]
    for group in Group:
        parts.append(
            f"\n## {group.value}\n\n| metric | type | unit | labels | meaning | at most |\n|---|---|---|---|---|---|\n"
        )
        parts += [_row(metric) for metric in CATALOG if metric.group is group]
    return "".join(parts)


def unit_of(metric: Metric) -> str:
    """As the name says it."""
    name = metric.name.removesuffix("_total")
    return next((unit for unit in ("seconds", "bytes", "ratio") if name.endswith(f"_{unit}")), "")


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    kind = f"{metric.kind.value}{' L' if metric.leader else ''}"
    bound = metric.bound if metric.kind is not Kind.HISTOGRAM else f"{metric.bound} × {len(metric.buckets) + 3}"
    return f"| `{metric.full_name}` | {kind} | {unit_of(metric)} | {labels} | {metric.meaning} | {bound} |\n"
