"""The demo's hands on the cluster: kubectl, waits for a line of a log or for a status; every wait has a limit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from yardlib import build

ROOT = Path(__file__).resolve().parents[2]
YARD = ROOT / "hack" / "yard"
CLUSTER = "demo"


class DemoFailed(Exception):
    """A step of the story did not happen; the words say which, and what was seen instead."""


class Stage:
    """One cluster, seen through kubectl."""

    def __init__(self) -> None:
        self.kubeconfig = ""
        self.kubectl_path = "kubectl"

    def yard(self, *arguments: str) -> None:
        """Run the local cluster's front door, its progress shown."""
        if subprocess.run([str(YARD), *arguments], check=False).returncode != 0:
            raise DemoFailed(f"hack/yard {' '.join(arguments)} failed; its words are above")

    def connect(self) -> None:
        """Use the cluster's own kubeconfig and, where it built one, its own kubectl."""
        done = subprocess.run([str(YARD), "kubeconfig", "--name", CLUSTER], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise DemoFailed(f"hack/yard kubeconfig: {done.stderr.strip()}")
        self.kubeconfig = done.stdout.strip()
        self.kubectl_path = build.kubectl()

    def kubectl(self, *arguments: str, check: bool = True, stdin: str | None = None) -> str:
        """Standard output of kubectl, in the namespace `default` unless told otherwise."""
        command = [self.kubectl_path, f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, input=stdin)
        if check and done.returncode != 0:
            raise DemoFailed(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def job(self, name: str) -> dict[str, Any]:
        """The job as it is now."""
        found: dict[str, Any] = json.loads(self.kubectl("get", "trainingjob", name, "-o", "json"))
        return found

    def until(self, what: str, probe: Callable[[], str], seconds: float) -> str:
        """The first non-empty answer of the probe; DemoFailed after the limit."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = probe()
            if answer:
                return answer
            time.sleep(0.5)
        raise DemoFailed(f"waited {seconds:.0f} s in vain for: {what}")

    def log_line(self, pod: str, pattern: str, seconds: float) -> str:
        """The first line of a pod's log that matches."""

        def probe() -> str:
            lines = self.kubectl("logs", pod, check=False).splitlines()
            return next((line for line in lines if re.search(pattern, line)), "")

        return self.until(f"a line like {pattern!r} in the log of {pod}", probe, seconds)

    def last_line(self, pod: str, pattern: str) -> str:
        """The last line of a pod's log that matches; empty without one."""
        lines = self.kubectl("logs", pod, check=False).splitlines()
        return next((line for line in reversed(lines) if re.search(pattern, line)), "")


def say(text: str = "") -> None:
    """One line of the story."""
    print(text, flush=True)


def chapter(number: int, title: str) -> None:
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    say(f"\n{bold}{number}. {title}{plain}")


def shown(command: str, output: str) -> None:
    """A command as the reader would type it, and what it printed."""
    say(f"   $ {command}")
    for line in output.rstrip().splitlines():
        say(f"     {line}")
