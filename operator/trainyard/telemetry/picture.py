"""One job as several of its series are made from it: looked at once for each scrape."""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.model.views import JobView
from trainyard.telemetry.shares import Shares
from trainyard.telemetry.waiting import Wait


@dataclass(frozen=True, slots=True)
class Picture:
    """One job with what several of its series are made from."""

    job: JobView
    pairs: str
    """Its namespace and name as labels."""
    wait: Wait | None
    shares: Shares
