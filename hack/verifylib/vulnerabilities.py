"""Known vulnerabilities of what the operator ships with, asked of the OSV database in one request.

Where the database cannot be reached the check says that it was skipped: silence is no all-clear.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from supplylib.contents import locked
from verifylib.tree import Skipped, Tree

DATABASE = "https://api.osv.dev/v1/querybatch"
SECONDS = 20
ACCEPTED: Mapping[str, str] = {}
"""ID → why it does no harm here. An entry without a reason is no entry."""


def known(tree: Tree, database: str = DATABASE, accepted: Mapping[str, str] = ACCEPTED) -> list[str]:
    """One line for each vulnerability that is not accepted."""
    packages = sorted(locked(tree.root / "requirements/operator.txt").items())
    queries = [{"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in packages]
    results = _ask(database, {"queries": queries})["results"]
    if len(results) != len(packages):
        raise ValueError(f"{database} answered {len(results)} of {len(packages)} questions")
    return [
        f"{name} {version}: {found['id']}, see https://osv.dev/vulnerability/{found['id']}"
        for (name, version), result in zip(packages, results, strict=True)
        for found in result.get("vulns") or ()
        if not accepted.get(found["id"])
    ]


def _ask(database: str, question: Mapping[str, Any]) -> Any:
    body = json.dumps(question).encode()
    request = urllib.request.Request(database, data=body, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return json.load(answer)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        if isinstance(error, urllib.error.HTTPError) and error.code in (400, 404):
            raise  # it was reached, and our question is wrong
        raise Skipped(f"data not reachable: {database}: {getattr(error, 'reason', error)}") from error
