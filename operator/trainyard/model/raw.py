"""What several kinds of raw objects have in common: whose they are, numbers, instants. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from sys import intern
from typing import Any

from trainyard.api.constants import GROUP, KIND, LABEL_JOB, LABEL_JOB_UID
from trainyard.model.instants import parse_instant
from trainyard.model.views import Instant

Raw = Mapping[str, Any]
NONE: Raw = {}


def owner_uid(meta: Raw) -> str:
    """UID of the controller owner, where that is a TrainingJob."""
    for owner in meta.get("ownerReferences") or ():
        if owner.get("controller"):
            ours = owner.get("kind") == KIND and owner.get("apiVersion", "").partition("/")[0] == GROUP
            return intern(owner["uid"]) if ours else ""
    return ""


def left_behind(meta: Raw) -> str:
    """The label with the UID of its job, where nobody controls the object any more."""
    labels = meta.get("labels") or NONE
    if LABEL_JOB not in labels or any(owner.get("controller") for owner in meta.get("ownerReferences") or ()):
        return ""
    return intern(labels.get(LABEL_JOB_UID, ""))


def number(text: Any, absent: int) -> int:
    """Labels are the tenants' to spoil: only plain short decimals are numbers."""
    if isinstance(text, str) and len(text) <= 20 and text.isascii() and text.isdigit():
        return int(text)
    return absent


@lru_cache(maxsize=4096)
def instant(text: str | None) -> Instant:
    """0 where the field is absent."""
    return parse_instant(text) if text else 0.0
