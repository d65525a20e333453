"""A drawing of rectangles, lines and words, written as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

FONT = "Inter, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"


class Drawing:
    """Things are drawn one over the other, in the order of calls."""

    def __init__(self, width: int, height: int, background: str) -> None:
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="{escape(FONT)}" font-size="11">'
        ]
        self.box(0, 0, width, height, background)

    def box(self, x: float, y: float, w: float, h: float, fill: str, *, edge: str = "", round_: float = 0) -> None:
        more = (f' stroke="{edge}"' if edge else "") + (f' rx="{round_:g}"' if round_ else "")
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(w, 0):.1f}" height="{max(h, 0):.1f}" fill="{fill}"{more}/>'
        )

    def words(
        self, x: float, y: float, text: str, fill: str, *, size: float = 11, anchor: str = "start", bold: bool = False
    ) -> None:
        more = (f' text-anchor="{anchor}"' if anchor != "start" else "") + (' font-weight="600"' if bold else "")
        more += f' font-size="{size:g}"' if size != 11 else ""
        self._parts.append(f'<text x="{x:.1f}" y="{y:.1f}" fill="{fill}"{more}>{escape(text)}</text>')

    def line(
        self, points: Sequence[tuple[float, float]], stroke: str, *, width: float = 1.3, dashed: bool = False
    ) -> None:
        more = f'stroke-width="{width:g}" stroke-linejoin="round"' + (' stroke-dasharray="5 4"' if dashed else "")
        self._parts.append(f'<path d="{_path(points)}" fill="none" stroke="{stroke}" {more}/>')

    def area(self, points: Sequence[tuple[float, float]], fill: str, opacity: float) -> None:
        self._parts.append(f'<path d="{_path(points)}Z" fill="{fill}" fill-opacity="{opacity:g}"/>')

    def text(self) -> str:
        return "\n".join([*self._parts, "</svg>"]) + "\n"


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def cut(text: str, width: float, size: float = 11) -> str:
    """As much of a text as fits, by the mean width of letters."""
    room = int(width / (0.56 * size))
    return text if len(text) <= room else f"{text[: max(room - 1, 1)]}…"


def length(text: str, size: float = 11) -> float:
    """How wide a text is, by the mean width of letters."""
    return len(text) * 0.56 * size
