"""What `helm test` runs: submit the job of the variable JOB, follow it to its end, and clear it away.

It speaks to the API server by the pod's own service account and needs nothing beyond the standard library.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PAUSE = 1.0

Object = dict[str, Any]


class Jobs:
    """The jobs of one namespace."""

    def __init__(self, namespace: str) -> None:
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        host = f"[{host}]" if ":" in host else host
        self._base = f"https://{host}:{port}/apis/trainyard.dev/v1alpha1/namespaces/{namespace}/trainingjobs"
        self._tls = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        # Clusters' authorities often lack what newer Pythons ask for; this one was put here by the kubelet.
        self._tls.verify_flags &= ~ssl.VERIFY_X509_STRICT

    def ask(self, method: str, name: str = "", body: Object | None = None) -> Object:
        """One request; an answer that is no success ends the test with the server's words."""
        request = urllib.request.Request(
            f"{self._base}/{name}".rstrip("/"),
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30, context=self._tls) as answer:
                told: Object = json.load(answer)
                return told
        except urllib.error.HTTPError as error:
            sys.exit(f"{method} trainingjobs/{name}: {error.code} {error.read().decode(errors='replace')}")
        except urllib.error.URLError as error:
            sys.exit(f"{method} trainingjobs/{name}: the API server does not answer: {error.reason}")


def follow(jobs: Jobs, name: str, seconds: float) -> bool:
    """Print each change of the job's state until it ends; whether it succeeded in time."""
    until, told = time.monotonic() + seconds, ""
    while True:
        status: Object = jobs.ask("GET", name).get("status", {})
        phase = status.get("phase", "unseen")
        reason = status.get("reason", "the operator has not looked at it yet")
        now = f"{phase}: {reason}, {status.get('ready', '0')} ready"
        if now != told:
            print(now, flush=True)
            told = now
        if phase in ("Succeeded", "Failed") or time.monotonic() > until:
            break
        time.sleep(PAUSE)
    if phase != "Succeeded":
        print(
            f"the job did not succeed within {seconds:.0f} s; its status:\n{json.dumps(status, indent=2)}", flush=True
        )
    return bool(phase == "Succeeded")


def main() -> int:
    job: Object = json.loads(os.environ["JOB"])
    name = f"{job['metadata']['name']}-{os.urandom(3).hex()}"
    job["metadata"]["name"] = name
    jobs = Jobs(job["metadata"]["namespace"])
    jobs.ask("POST", body=job)
    print(f"submitted {name} to {job['metadata']['namespace']}", flush=True)
    try:
        return 0 if follow(jobs, name, float(os.environ["TIMEOUT"])) else 1
    finally:
        jobs.ask("DELETE", name)


if __name__ == "__main__":
    sys.exit(main())
