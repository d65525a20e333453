"""Long-running programs without a supervisor: started detached, found again by pid file, never mistaken for another.

A pid file holds the pid and the instant the kernel started it at, so that a number used again by a stranger's
process is not taken for ours.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from yardlib.errors import YardError
from yardlib.shell import TAIL_LINES, run, wait_until

STOP_SECONDS = 10.0
FREE_SECONDS = 10.0
_ENTER_GROUP = 'echo $$ > "$0/cgroup.procs" && exec "$@"'


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, where its words go, in which control group, and on which addresses of this machine it listens."""

    name: str
    argv: Sequence[str]
    folder: Path
    cgroup: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    listens: Sequence[tuple[str, int]] = ()

    @property
    def pid_file(self) -> Path:
        """Where the pid is kept."""
        return self.folder / f"{self.name}.pid"

    @property
    def log(self) -> Path:
        """Where both output streams go."""
        return self.folder / f"{self.name}.log"


def started_at(pid: int) -> str | None:
    """The kernel's start time of a living process, None for a dead one or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" and not _threads_left(pid) else fields[19]


def _threads_left(pid: int) -> bool:
    """The first thread of a killed program may be gone while others still hold its sockets."""
    with contextlib.suppress(OSError):
        return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir()) > 1
    return False


def pid_of(pid_file: Path) -> int | None:
    """The pid, if that very process still lives."""
    try:
        pid, start = pid_file.read_text().split()
    except (OSError, ValueError):
        return None
    return int(pid) if started_at(int(pid)) == start else None


def ensure(program: Program) -> bool:
    """Starts the program unless it runs; True when it had to be started."""
    if pid_of(program.pid_file) is not None:
        return False
    for host, port in program.listens:
        wait_until_free(host, port)
    program.folder.mkdir(parents=True, exist_ok=True)
    argv = list(program.argv)
    if program.cgroup is not None:
        argv = ["/bin/sh", "-c", _ENTER_GROUP, str(program.cgroup), *argv]
    with program.log.open("ab") as log:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=program.folder,
            env={**os.environ, **program.env},
            start_new_session=True,
        )
    child.returncode = 0  # it outlives us on purpose: nobody waits for it, and Popen need not warn of that
    start = started_at(child.pid)
    if start is None:
        raise died(program)
    program.pid_file.write_text(f"{child.pid} {start}\n")
    return True


def wait_until_free(host: str, port: int) -> None:
    """Until a server could listen there: what was killed a moment ago may hold its address a little longer, and the one
    that takes its place does not try twice."""
    deadline = time.monotonic() + FREE_SECONDS
    while (refused := _refusal(host, port)) is not None:
        if time.monotonic() > deadline:
            raise YardError(
                f"waited {FREE_SECONDS:.0f} s in vain for {host}:{port} to be free: {refused}{_listeners(host, port)}",
                f"end what holds it; as root `ss -ltnp 'sport = :{port}'` shows it",
            )
        time.sleep(0.05)


def _refusal(host: str, port: int) -> OSError | None:
    """Why the kernel lets nobody listen there. Asked as servers ask: with SO_REUSEADDR connections that are about to
    end are in nobody's way. Whoever connects meanwhile is reset, so that nothing stays of that either."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(0)
        except OSError as error:
            return error
    return None


def _listeners(host: str, port: int) -> str:
    """What `ss`, where it is installed, says of those who listen there, or on that port of every address."""
    try:
        said = run(["ss", "-Hltnp", f"sport = :{port}"]).splitlines()
    except YardError:
        return ""
    places = {f"{where}:{port}" for where in (host, "0.0.0.0", "*", "[::]")}
    return "".join(f"\n{line.strip()}" for line in said if places & set(line.split()))


def died(program: Program) -> YardError:
    """The error for a program that ended by itself: what it said last."""
    try:
        tail = "\n".join(program.log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
    except OSError:
        tail = "(no log)"
    return YardError(f"{program.name} has ended; the end of {program.log}:\n{tail}")


def wait_until_alive(
    programs: Sequence[Program], condition: Callable[[], bool], *, seconds: float, what: str, pause: float = 0.1
) -> None:
    """Waits for what the programs shall bring about, and gives up as soon as one of them has died."""

    def holds() -> bool:
        for one in programs:
            if pid_of(one.pid_file) is None:
                raise died(one)
        return condition()

    folders = sorted({str(one.folder) for one in programs})
    wait_until(holds, seconds=seconds, what=what, hint=f"read the logs in {', '.join(folders)}", pause=pause)


def stop(pid_file: Path, *, kill: bool = False) -> bool:
    """Ends the process, by SIGKILL at once or after its time is over; True when it was running."""
    pid = pid_of(pid_file)
    if pid is None:
        pid_file.unlink(missing_ok=True)
        return False
    _signal(pid, signal.SIGKILL if kill else signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while pid_of(pid_file) is not None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > deadline:
            _signal(pid, signal.SIGKILL)
        time.sleep(0.02)
    pid_file.unlink(missing_ok=True)
    return True


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
