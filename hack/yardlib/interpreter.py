"""A Python new enough for the rest, found by whichever one was started. Keep it readable for Python 3.6."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NEEDED = (3, 11)
REPOSITORY = Path(__file__).resolve().parents[2]
CANDIDATES = (str(REPOSITORY / ".venv" / "bin" / "python"), "python3.11", "python3.12", "python3.13", "python3.14")
_ASK = f"import sys; sys.exit(sys.version_info < {NEEDED})"


def ensure(argv):  # type: (list[str]) -> None
    """Returns where this Python will do; else runs the script again with one that does, or says what is missing."""
    if tuple(sys.version_info[:2]) >= NEEDED:
        return
    found = newer()
    if found is None:
        sys.exit(f"Python {NEEDED[0]}.{NEEDED[1]} or newer is needed; as root on Debian: apt-get install python3")
    os.execv(found, [found, *argv])


def newer():  # type: () -> str | None
    """The first candidate that is there and new enough; a name on PATH may lead nowhere."""
    for candidate in CANDIDATES:
        found = shutil.which(candidate)
        if found and subprocess.call([found, "-c", _ASK], stderr=subprocess.DEVNULL) == 0:
            return found
    return None
