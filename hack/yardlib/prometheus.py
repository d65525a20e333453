"""A real Prometheus without a system service: the one on PATH, else Debian's package unpacked into the cache.

It finds the programs, runs the server, and installs nothing on the machine.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from yardlib.errors import YardError
from yardlib.paths import cache_root, runtime_root
from yardlib.progress import step
from yardlib.shell import run, wait_until
from yardlib.slots import locked

PROGRAMS = ("prometheus", "promtool")
NEEDED = (2, 42)
PACKAGE = "prometheus"


@dataclass(frozen=True, slots=True)
class Programs:
    """Where they lie."""

    prometheus: str
    promtool: str


def programs() -> Programs:
    """Both programs, fetched once where the machine has none that is new enough."""
    on_path = [shutil.which(name) for name in PROGRAMS]
    if all(on_path) and _version(str(on_path[0])) >= NEEDED:
        return Programs(*map(str, on_path))
    unpacked = [_unpacked() / "usr" / "bin" / name for name in PROGRAMS]
    with locked(runtime_root() / "prometheus.lock"):
        if not all(path.exists() for path in unpacked):
            _fetch()
    return Programs(*map(str, unpacked))


def _unpacked() -> Path:
    return cache_root() / PACKAGE


def _version(program: str) -> tuple[int, ...]:
    match = re.search(r"version (\d+)\.(\d+)", run([program, "--version"]))
    return tuple(map(int, match.groups())) if match else (0, 0)


def _fetch() -> None:
    """The whole package or nothing: it is moved to its place last."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise YardError(
            "there is no Prometheus here, and no Debian to fetch one from",
            f"put prometheus and promtool {'.'.join(map(str, NEEDED))} or newer on PATH (https://prometheus.io/download)",
        )
    place = _unpacked()
    place.parent.mkdir(parents=True, exist_ok=True)
    with step("fetching Prometheus from Debian", "10 s"), tempfile.TemporaryDirectory(dir=place.parent) as folder:
        if os.geteuid() == 0:
            run(["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "update"])
        run(
            ["apt-get", "-qq", "download", PACKAGE],
            cwd=Path(folder),
            hint="apt knows no package prometheus: as root, apt-get update",
        )
        package = next(Path(folder).glob("*.deb"))
        run(["dpkg-deb", "--extract", str(package), f"{folder}/tree"])
        shutil.rmtree(place, ignore_errors=True)
        Path(folder, "tree").rename(place)


@dataclass
class Prometheus:
    """A server of its own: configuration, data and log in one folder, on a port of the loopback address."""

    folder: Path
    port: int
    config: str
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; returns once it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "prometheus.yml").write_text(self.config, encoding="utf-8")
        with (self.folder / "prometheus.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    programs().prometheus,
                    f"--config.file={self.folder}/prometheus.yml",
                    f"--storage.tsdb.path={self.folder}/data",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--log.level=warn",
                ],
                stdout=log,
                stderr=log,
            )
        wait_until(self._ready, seconds=60, what="Prometheus to be ready", hint=self.tail())

    def _ready(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise YardError(f"Prometheus ended at once:\n{self.tail()}")
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        """As a service manager does; its data stay."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def tail(self, lines: int = 20) -> str:
        log = self.folder / "prometheus.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""
