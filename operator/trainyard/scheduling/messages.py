"""The words of a refusal: what is missing, why, in numbers, and what to do or type next. Decides nothing.

A message names instants, never spans until them: while nothing changes it stays the same and need not be written again.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.api.reasons import Reason
from trainyard.model.cluster import GangRequest, RoleRequest
from trainyard.model.instants import format_instant
from trainyard.model.resources import format_amount
from trainyard.model.views import Instant


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a request gets no grant in this round."""

    reason: Reason
    message: str
    until: Instant | None = None
    waits: bool = False
    """It waits for room: jobs behind it may not take what it could use, but for a bounded time."""
    for_nodes: bool = True
    """What it waits for are nodes; else they were not even looked for, and none is marked."""
    clear_kept: bool = False
    """See `Refusal.clear_kept`."""


def plural(count: int, word: str) -> str:
    """`1 node`, `3 nodes`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def pod_words(role: RoleRequest) -> str:
    """What one pod asks for, the accelerator alone where there is one: `8 nvidia.com/gpu`, `4 cpu and 2Gi memory`."""
    wanted = dict(role.resources)
    if role.accelerator in wanted:
        return f"{wanted[role.accelerator]} {role.accelerator}"
    parts = [f"{format_amount(name, value)} {name}" for name, value in role.resources if value]
    return " and ".join(parts) or "no counted resource"


def gang_words(request: GangRequest) -> str:
    """The whole gang: `16 pods of 8 nvidia.com/gpu`, several roles joined by a plus."""
    return " + ".join(f"{plural(r.replicas, 'pod')} of {pod_words(r)}" for r in request.roles)


def scope_words(request: GangRequest, one_node: bool) -> str:
    """Where all of them have to stand: ` in one rack`, or nothing."""
    if one_node:
        return " on one node"
    return f" in one {request.required_level}" if request.required_level else ""


def ahead_words(ahead: GangRequest, by_priority: bool) -> str:
    """Who is ahead and by what."""
    return f"{ahead.key} (ahead by {'priority' if by_priority else 'age'}, waits for {gang_words(ahead)})"


def pass_words(end_by: Instant, now: Instant) -> str:
    """How a job could pass the one ahead of it."""
    if end_by <= now:
        return "wait for it, or raise scheduling.priorityClassName"
    return (
        "wait for it, raise scheduling.priorityClassName, or set activeDeadlineSeconds so that this job is sure to "
        f"have ended by {format_instant(end_by)}"
    )
