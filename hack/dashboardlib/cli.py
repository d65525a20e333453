"""The command `hack/dashboards`: writes the chart's dashboards, or says which of them are not what would be written."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from dashboardlib import fleet, job, operator
from dashboardlib.grafana import render
from dashboardlib.model import Board

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "charts" / "trainyard" / "dashboards"


def boards() -> tuple[Board, ...]:
    """All dashboards."""
    return fleet.board(), job.board(), operator.board()


def files() -> dict[Path, str]:
    """Every file and what it must hold."""
    return {FOLDER / f"{board.uid}.json": render(board) for board in boards()}


def main(argv: Sequence[str]) -> int:
    """0: written, or all as they should be; 1: some are not."""
    parser = argparse.ArgumentParser(prog="hack/dashboards", description="Render the Grafana dashboards of the chart.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is not up to date")
    check = parser.parse_args(argv).check
    wanted = files()
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    strangers = [path for path in sorted(FOLDER.glob("*.json")) if path not in wanted]
    if check:
        for path in [*stale, *strangers]:
            print(f"{path.relative_to(ROOT)} is not what hack/dashboards would write; run it")
        return 1 if stale or strangers else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in strangers:
        path.unlink()
    for path in stale:
        path.write_text(wanted[path], encoding="utf-8")
        print(path.relative_to(ROOT))
    return 0
