"""How many of all branches the tests took; ends with 1 where that is less than so many percent.

    coverage json -q -o - --include=PATTERNS | python hack/branches.py 95

coverage's own `--fail-under` counts lines and branches together: of lines there are four times as many, and nearly all
of them run, so branches that nobody tries would hardly show.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

WORST = 5


def judge(report: Mapping[str, Any], wanted: float) -> tuple[bool, list[str]]:
    """Whether enough branches were taken, and the lines to tell; where too few, with the files that lack most."""
    there, taken = report["totals"]["num_branches"], report["totals"]["covered_branches"]
    # Nothing measured is nothing shown: a pattern that matches no file must not pass.
    percent = 100 * taken / there if there else 0.0
    told = [f"branches alone: {taken} of {there}, {percent:.1f} % (wanted: {wanted:g} %)"]
    if percent >= wanted:
        return True, told
    lacking = {name: file["summary"]["missing_branches"] for name, file in report["files"].items()}
    worst = sorted(lacking, key=lambda name: -lacking[name])[:WORST]
    return False, told + [f"  {lacking[name]} not taken in {name}" for name in worst if lacking[name]]


def main() -> int:
    enough, told = judge(json.load(sys.stdin), float(sys.argv[1]))
    print("\n".join(told))
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
