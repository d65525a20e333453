"""Who used the processors while something was measured: the cluster, who asked things of it, and everybody else.

On a machine that others use too, seconds tell little and processor time much: it hardly moves with what runs beside.
It reads counters of the kernel and changes nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from yardlib.paths import cluster_dir
from yardlib.process import pid_of

_TICKS = os.sysconf("SC_CLK_TCK")
_CPUS = os.cpu_count() or 1


@dataclass(frozen=True)
class Use:
    """Processor seconds at one moment, since whenever each was started."""

    at: float
    busy: float
    """Of the whole machine."""
    parts: Mapping[str, float]
    """Of each part of the cluster."""
    client: float
    """Of the operator, and of load generators while they sent."""
    own: float
    """Of this process, which watches."""

    @property
    def work(self) -> float:
        """What the cluster and its client have spent."""
        return sum(self.parts.values()) + self.client


class Machine:
    """`client` tells the processor seconds of whoever asks things of the cluster."""

    def __init__(self, cluster: str, client: Callable[[], float]) -> None:
        self._pid_files = cluster_dir(cluster) / "control"
        self._client = client

    def read(self) -> Use:
        return Use(
            at=time.monotonic(),
            busy=_busy(),
            parts={
                file.stem: processor_seconds(pid) for file in self._pid_files.glob("*.pid") if (pid := pid_of(file))
            },
            client=self._client(),
            own=time.process_time(),
        )

    def since(self, before: Use, phase: str) -> dict[str, float]:
        """Figures of the phase that ends now."""
        now = self.read()
        work = now.work - before.work
        others = now.busy - before.busy - work - (now.own - before.own)
        return {
            f"{phase}_work_s": work,
            f"{phase}_others_percent": max(0.0, 100 * others / (_CPUS * (now.at - before.at))),
        }


def processor_seconds(pid: int) -> float:
    """Of one process, as the kernel counts them; none where it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return 0.0
    return (int(stat[11]) + int(stat[12])) / _TICKS


def _busy() -> float:
    """Neither idle nor waiting for a disk nor taken by the host."""
    user, nice, system, _idle, _wait, irq, softirq, *_ = Path("/proc/stat").read_text(encoding="ascii").split()[1:]
    return sum(map(int, (user, nice, system, irq, softirq))) / _TICKS
