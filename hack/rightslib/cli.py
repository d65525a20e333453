"""The command `hack/rights`: after a test run, was any request denied, and was any right never used?"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from rightslib.rights import Account, Right, granted, superfluous, used
from yardlib.paths import REPOSITORY, cluster_dir

MANIFEST = REPOSITORY / "manifests" / "install.yaml"
JUSTIFIED = REPOSITORY / "hack" / "rightslib" / "justified.yaml"
ACCOUNT = Account("trainyard-system", "trainyard-operator")


def main(argv: Sequence[str]) -> int:
    """Prints each right with how often it was used; 1 where one was denied, or never used without a reason."""
    arguments = _parser().parse_args(argv)
    log: Path = arguments.log or cluster_dir(arguments.name) / "control" / "audit.log"
    if arguments.begin:
        begin(log)
        return 0
    if not log.exists():
        print(f"rights: there is no audit log {log}: make the cluster with `hack/yard up --audit`", file=sys.stderr)
        return 1
    objects = yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8"))
    # Tests have an operator in each of their namespaces: what counts is what is asked for, not where.
    grants = {replace(right, namespace="") for right in granted(objects, ACCOUNT)}
    use = used(log, ACCOUNT.name, after=begun(log))
    counts = Counter[Right]()
    for asked, count in use.allowed.items():
        for grant in grants:
            counts[grant] += count if grant.covers(asked) else 0
    reasons = justified()
    unused = superfluous(grants, use.allowed)
    for grant in sorted(grants):
        told = str(counts[grant]) if counts[grant] else reasons.get(key(grant), "never used")
        print(f"{grant.verb:8} {grant.resource:42} {told}")
    unreasoned = [grant for grant in unused if key(grant) not in reasons]
    for denied, count in sorted(use.denied.items()):
        print(f"denied {count} times: {denied}", file=sys.stderr)
    for grant in unreasoned:
        print(f"granted, never used and without a reason in {JUSTIFIED.name}: {grant}", file=sys.stderr)
    return 1 if use.denied or unreasoned else 0


def begin(log: Path) -> None:
    """What the log holds by now belongs to earlier runs on the same cluster."""
    if log.exists():
        _mark(log).write_text(str(log.stat().st_size))


def begun(log: Path) -> int:
    """Where the run began; at the beginning of a log that is newer than the mark."""
    mark = _mark(log)
    size = int(mark.read_text()) if mark.exists() else 0
    return size if size <= log.stat().st_size else 0


def _mark(log: Path) -> Path:
    return log.with_suffix(".begin")


def key(right: Right) -> tuple[str, str]:
    """What a reason is given for."""
    return right.verb, right.resource


def justified() -> dict[tuple[str, str], str]:
    """(verb, resource) → why it is granted though a run may never use it."""
    entries = yaml.safe_load(JUSTIFIED.read_text(encoding="utf-8")) or []
    return {(entry["verb"], entry["resource"]): entry["reason"] for entry in entries}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hack/rights", description="Compare the operator's rights with what it asked a cluster's API server for."
    )
    parser.add_argument("--name", default="tests-api", help="a cluster made with --audit (default: tests-api)")
    parser.add_argument("--begin", action="store_true", help="only remember that a run begins here")
    parser.add_argument("--log", type=Path, help="an audit log elsewhere")
    return parser
