"""Colours with a meaning: the same word has the same colour on every dashboard. Names are Grafana's."""

from __future__ import annotations

PHASES = {
    "Pending": "yellow",
    "Starting": "light-blue",
    "Running": "green",
    "Restarting": "orange",
    "Suspending": "light-purple",
    "Suspended": "purple",
    "Succeeded": "dark-green",
    "Failed": "red",
}
RANKS = {
    "missing": "red",
    "unbound": "orange",
    "starting": "light-blue",
    "ready": "green",
    "failed": "dark-red",
    "completed": "dark-green",
}
ACCELERATORS = {"used": "green", "promised": "light-blue", "unavailable": "red", "free": "light-yellow"}
SHARES = {"requested": "blue", "held": "green", "idle": "orange"}
NODES = {"ready": "green", "cordoned": "yellow", "not_ready": "orange", "unreachable": "red"}
CAUSES = {
    "ApplicationFailure": "red",
    "Disruption": "orange",
    "StartRolledBack": "yellow",
    "Suspended": "purple",
    "SpecChanged": "blue",
    "OperatorUpgraded": "light-blue",
    "RecordLost": "dark-red",
    "application": "red",
    "disruption": "orange",
}
STEPS = {
    "record": "purple",
    "delete": "red",
    "place": "yellow",
    "create": "blue",
    "bind": "light-blue",
    "start": "green",
    "ready": "dark-green",
}
OUTCOMES = {
    "settled": "green",
    "acted": "blue",
    "done": "green",
    "written": "green",
    "given": "green",
    "moot": "yellow",
    "blocked": "yellow",
    "conflict": "yellow",
    "lapsed": "orange",
    "lost": "orange",
    "failed": "red",
}
