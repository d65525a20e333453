"""Clusters for tests, made by the project's own front door `hack/yard`; kept between runs, taken down by `make`.

Their names begin with TRAINYARD_TESTS (default `tests`), so that two checkouts can test side by side.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from yardlib import build

ROOT = Path(__file__).resolve().parents[2]
YARD = ROOT / "hack" / "yard"
PREFIX = os.environ.get("TRAINYARD_TESTS", "tests")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster and the file that opens it."""

    name: str
    kubeconfig: str

    def yard(self, command: str, *arguments: str) -> str:
        """Run a command of the front door on this cluster."""
        return run_yard(command, "--name", self.name, *arguments)

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run the kubectl that was built with the cluster; the outcome is the caller's to judge unless `check`."""
        done = subprocess.run(
            [build.kubectl(), f"--kubeconfig={self.kubeconfig}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"kubectl {' '.join(arguments)} failed ({done.returncode}): {done.stderr}{done.stdout}"
            )
        return done


def run_yard(command: str, *arguments: str, timeout: float = 3000.0) -> str:
    """Standard output of `hack/yard COMMAND ...`; raises AssertionError with its words where it fails."""
    done = subprocess.run(
        [str(YARD), command, *arguments], capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode != 0:
        raise AssertionError(f"hack/yard {command} failed ({done.returncode}):\n{done.stdout}\n{done.stderr}")
    return done.stdout


def shared(purpose: str) -> str:
    """The name of a cluster that all test processes of this checkout use."""
    return f"{PREFIX}-{purpose}"


def own(purpose: str) -> str:
    """The name of a cluster of this test process alone; the tests of one file may fall to several of them."""
    return f"{PREFIX}-{purpose}-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"


def ensure_cluster(name: str, *flags: str) -> Cluster:
    """Bring a cluster up, or find it up; idempotent and safe to call from several test processes at once."""
    run_yard("up", "--name", name, "--provider", "local", *flags)
    return Cluster(name, run_yard("kubeconfig", "--name", name).strip())


def simulated_cluster(name: str, *flags: str, profile: str = "fast-timers") -> Cluster:
    """A control plane with simulated kubelets that serves our kinds; quick to see a node die, unless told otherwise."""
    found = ensure_cluster(name, "--nodes", "0", "--fake-nodes", "1", "--profile", profile, *flags)
    apply_crds(found)
    return found


def shared_api() -> Cluster:
    """The one that all suites share; its audit log tells which rights were used."""
    return simulated_cluster(shared("api"), "--audit")


def apply_crds(cluster: Cluster) -> None:
    """Install our kinds, and wait until the API server serves them."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    until = time.monotonic() + 30
    while (answer := cluster.kubectl("get", "trainingjobs", check=False)).returncode != 0:
        assert time.monotonic() < until, f"the API server does not serve our kinds: {answer.stderr}"
        time.sleep(0.2)
