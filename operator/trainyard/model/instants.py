"""Instants of the API server's clock as text and back; `now` is always an argument, never asked for here."""

from __future__ import annotations

from datetime import UTC, datetime


def parse_instant(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time: `2026-01-02T03:04:05Z`, or with microseconds."""
    return datetime.fromisoformat(text).timestamp()


def format_instant(instant: float) -> str:
    """RFC 3339 in whole seconds, UTC: the precision that `metav1.Time` keeps."""
    return datetime.fromtimestamp(int(instant), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_span(seconds: float) -> str:
    """A duration for people: `45s`, `12m`, `3h5m`, `2d4h`."""
    s = max(0, int(seconds))
    if s < 120:
        return f"{s}s"
    if s < 7200:
        return f"{s // 60}m"
    if s < 172800:
        hours, minutes = divmod(s // 60, 60)
        return f"{hours}h{minutes}m" if minutes else f"{hours}h"
    days, hours = divmod(s // 3600, 24)
    return f"{days}d{hours}h" if hours else f"{days}d"
