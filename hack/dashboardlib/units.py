"""Numbers as Grafana would write them, near enough for a picture."""

from __future__ import annotations

import math

from dashboardlib.model import Unit

_SPANS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_BYTES = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B"))
_COUNTS = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""))
_ROUND_SPANS = (2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
_BEHIND = {Unit.PER_SECOND: " ops/s", Unit.REQUESTS: " req/s"}


def written(value: float, unit: Unit, decimals: int | None = None) -> str:
    """A value with its unit."""
    if not math.isfinite(value):
        return "–"
    if unit is Unit.RATIO:
        return f"{_digits(100 * value, decimals)}%"
    if unit is Unit.SECONDS:
        return _scaled(value, _SPANS, decimals, " ") if value else "0 s"
    if unit in (Unit.BYTES, Unit.MEBIBYTES):
        return _scaled(value * (1 << 20) if unit is Unit.MEBIBYTES else value, _BYTES, decimals, " ")
    if unit is Unit.COUNT:
        return _scaled(value, _COUNTS, decimals, " ")
    return _digits(value, decimals) + _BEHIND.get(unit, "")


def _scaled(value: float, scales: tuple[tuple[float, str], ...], decimals: int | None, gap: str) -> str:
    size, name = next((scale for scale in scales if abs(value) >= scale[0]), scales[-1])
    return f"{_digits(value / size, decimals)}{gap if name else ''}{name}"


def _digits(value: float, decimals: int | None) -> str:
    """Three digits that count, without zeros that say nothing."""
    if decimals is not None:
        return f"{value:.{decimals}f}"
    size = abs(value)
    text = f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def ticks(top: float, unit: Unit, most: int = 4) -> list[float]:
    """Round values from 0 up to `top` or a little above, at most so many steps."""
    if top <= 0 or not math.isfinite(top):
        return [0.0, 1.0]
    binary = unit in (Unit.BYTES, Unit.MEBIBYTES)
    base = 1024.0 ** math.floor(math.log(top, 1024)) if binary and top >= 1 else 1.0
    raw = top / base / most
    if unit is Unit.SECONDS and raw > 1:
        step = next((float(s) for s in _ROUND_SPANS if s >= raw), 86400.0 * math.ceil(raw / 86400))
    else:
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999) * base
    count = math.ceil(top / step - 1e-9)
    return [i * step for i in range(count + 1)]
