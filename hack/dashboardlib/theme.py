"""Colours of the pictures, in light and in dark: Grafana's names for those of data, our own choice for the rest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Theme:
    """What is behind and around the data."""

    name: str
    page: str
    panel: str
    border: str
    text: str
    quiet: str
    grid: str
    strong: float
    """Opacity of filled areas."""


LIGHT = Theme("light", "#f4f5f5", "#ffffff", "#d8dadf", "#24292e", "#6a7078", "#e6e8eb", 0.35)
DARK = Theme("dark", "#111217", "#181b1f", "#2c3037", "#d8d9da", "#8e929b", "#2a2d34", 0.3)
THEMES = (LIGHT, DARK)

_SHADES = {
    "green": ("#96d98d", "#56a64b", "#37872d"),
    "yellow": ("#ffe66b", "#e0b400", "#cc9d00"),
    "blue": ("#8ab8ff", "#3d85e8", "#1f60c4"),
    "orange": ("#ffb357", "#ff780a", "#e55400"),
    "red": ("#ff7383", "#e02f44", "#ad0317"),
    "purple": ("#ca95e5", "#a352cc", "#7c2ea3"),
}
_CLASSIC = (
    "#7eb26d",
    "#eab839",
    "#56b9d0",
    "#ef843c",
    "#e24d42",
    "#1f78c1",
    "#ba43a9",
    "#705da0",
    "#508642",
    "#cca300",
)


def color(name: str) -> str:
    """The value of one of Grafana's names: `green`, `light-green`, `dark-green`."""
    shade, _, base = name.rpartition("-")
    return _SHADES[base][{"light": 0, "": 1, "dark": 2}[shade]]


def nth(index: int) -> str:
    """Of the series without a colour of its own, in their order."""
    return _CLASSIC[index % len(_CLASSIC)]
