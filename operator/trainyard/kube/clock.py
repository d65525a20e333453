"""What time it is on the API server, and a steady clock for measuring spans.

Server time comes from the `Date` header of answers. Its resolution is one second, so each answer only bounds the
offset between the server's clock and ours: the header was written after the request left and before the answer came.
The bounds of all answers are intersected, and widened slowly so that drift is followed. Nothing here compares the
clocks of two machines, and nothing here is ever set: the wall clock of this machine is not read at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

DRIFT = 2e-4  # seconds a second by which two quartz clocks may differ, generously
SLEW = 0.5  # speed at which time passes while it waits for a server whose clock was set back


def steady() -> float:
    """Seconds that also pass while the machine sleeps: a suspended leader must not believe that its lease is young."""
    return _steady()


_BOOT_TIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def _steady() -> float:
    return time.monotonic() if _BOOT_TIME is None else time.clock_gettime(_BOOT_TIME)


class ServerClock:
    """API-server time as epoch seconds; it never goes back."""

    def __init__(self, steady_clock: Callable[[], float] = steady) -> None:
        self._steady = steady_clock
        self._low = self._high = 0.0
        self._observed_at: float | None = None
        self._told = 0.0
        self._told_at = 0.0
        self._header: tuple[str | None, float | None] = (None, None)

    @property
    def ready(self) -> bool:
        """Whether any answer has been seen yet."""
        return self._observed_at is not None

    def observe(self, date_header: str | None, sent: float, received: float) -> None:
        """Learn from one answer; `sent` and `received` are readings of the steady clock."""
        date = self._read(date_header)
        if date is None:
            return
        low, high = date - received, date + 1.0 - sent
        if self._observed_at is not None:
            drift = max(0.0, received - self._observed_at) * DRIFT
            self._low, self._high = max(low, self._low - drift), min(high, self._high + drift)
        if self._observed_at is None or self._low > self._high:  # first answer, or a clock was set: believe the newest
            self._low, self._high = low, high
        self._observed_at = received

    def now(self) -> float:
        """The instant on the API server. Before the first answer there is none to tell, and that is an error."""
        if self._observed_at is None:
            raise RuntimeError("server time asked for before the API server answered anything")
        at = self._steady()
        estimate = at + (self._low + self._high) / 2
        if self._told:
            # Set back: creep on instead of standing still, so that deadlines go on passing.
            estimate = max(estimate, self._told + SLEW * max(0.0, at - self._told_at))
        self._told, self._told_at = estimate, at
        return estimate

    def _read(self, header: str | None) -> float | None:
        """The header as epoch seconds. Hundreds of answers in a row bear the same one: it is parsed once."""
        if header != self._header[0]:
            try:
                date = parsedate_to_datetime(header).timestamp() if header else None
            except ValueError:
                date = None
            self._header = (header, date)
        return self._header[1]
