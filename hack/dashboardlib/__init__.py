"""Grafana dashboards as typed data: one source for the chart's JSON, the tests and the documents' pictures."""
