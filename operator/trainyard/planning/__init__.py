"""One job: from a frozen snapshot and an instant to a plan. Pure: no clock, no chance, no I/O, no logging."""

from trainyard.planning.planner import plan

__all__ = ["plan"]
