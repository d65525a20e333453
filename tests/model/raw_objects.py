"""Raw objects as an API server tells them, for the tests of views."""

from __future__ import annotations

AT = "2026-01-02T03:04:05Z"
INSTANT = 1767323045.0
OWNER = {
    "apiVersion": "trainyard.dev/v1alpha1",
    "kind": "TrainingJob",
    "name": "gpt",
    "uid": "job-1",
    "controller": True,
}
