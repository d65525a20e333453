"""One log for everything: ours by structlog, kopf's, aiohttp's and Python's by the standard library, in one format.

Every line has `time`, `level`, `logger`, `message`; lines about a job carry `job` (namespace/name), `uid`, `attempt`
and, where it applies, `reason`. What looks like a credential is blotted out before it is written, tracebacks included,
and tracebacks never show local variables.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import structlog
from aiohttp.http_exceptions import HttpProcessingError
from structlog.contextvars import bound_contextvars
from structlog.typing import EventDict, Processor, WrappedLogger

KEYS = ("job", "uid", "attempt", "reason")
BLOTTED = "[redacted]"
LONGEST = 16_384
"""Characters of one text, tracebacks included: what strangers have a part in must not cost what they like."""

# Libraries whose ordinary news is noise in an operator's log: kopf has an INFO line for every event it hands over.
_QUIET = ("kopf", "aiohttp", "asyncio", "kubernetes", "urllib3")
_SECRET_NAME = re.compile(r"authorization|token|password|passwd|secret|api[-_]?key|private[-_]?key", re.IGNORECASE)
_SECRET_TEXT = re.compile(
    r"(?P<kept>\b(?:bearer|basic)\s+)[\w+/=.~-]{8,}"  # an Authorization header
    r"|(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # a JSON Web Token; looked for once in a word, however long that is
    r"|(?P<scheme>://)[^/\s:@]+:[^/\s@]+(?=@)",  # user and password in an address
    re.IGNORECASE,
)


def configure_logs(*, as_json: bool, level: str, stream: TextIO | None = None) -> None:
    """Send every log line of the process through one formatter to `stream` (default: stderr)."""
    shared = _shared_processors()
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(allow=KEYS)],
            processors=_final_processors(as_json),
        )
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    threshold = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(threshold)
    for name in _QUIET:
        logging.getLogger(name).setLevel(threshold if threshold <= logging.DEBUG else max(threshold, logging.WARNING))
    logging.getLogger("aiohttp.server").addFilter(_is_our_fault)  # added once, however often
    logging.captureWarnings(True)


def _is_our_fault(record: logging.LogRecord) -> bool:
    """What somebody sent to a port is no HTTP: he is answered so, and that is all there is to it."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


@contextmanager
def about_job(namespace: str, name: str, **more: object) -> Iterator[None]:
    """Within, every log line of this task carries the job's key, and whatever else is given."""
    with bound_contextvars(job=f"{namespace}/{name}", **more):
        yield


def blot_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace what looks like a credential: by the name of its key, or by its own looks, however deep it stands."""
    return {key: BLOTTED if _SECRET_NAME.search(key) else _blotted(value) for key, value in event.items()}


def _blotted(value: Any) -> Any:
    match value:
        case str():
            # Cut twice: what the first cut has parted, and was not known for a credential, is beyond the second.
            text = _SECRET_TEXT.sub(lambda m: (m["kept"] or m["scheme"] or "") + BLOTTED, value[: 2 * LONGEST])
            return text if len(value) <= LONGEST else f"{text[:LONGEST]} ... ({len(value)} characters)"
        case dict():
            return {k: BLOTTED if _SECRET_NAME.search(str(k)) else _blotted(v) for k, v in value.items()}
        case list() | tuple():
            return [_blotted(part) for part in value]
        case _:
            return value


def _shared_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]


def _final_processors(as_json: bool) -> list[Processor]:
    renderer: Processor
    if as_json:
        renderer = structlog.processors.JSONRenderer(sort_keys=False, default=str)
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), event_key="message", timestamp_key="time", exception_formatter=_plain
        )
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.EventRenamer("message"),
        blot_secrets,
        _only_hints,
        _in_order,
        renderer,
    ]


def _only_hints(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """kopf's troubles are no errors of the operator, which misses nothing without it: they must wake nobody."""
    if str(event.get("logger", "")).startswith("kopf") and event.get("level") in ("error", "critical"):
        event["level"] = "warning"
    return event


def _in_order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Time, level and message first: people read lines from the left. What is None is not said at all."""
    first = {key: event.pop(key) for key in ("time", "level", "logger", "message", *KEYS) if key in event}
    return {key: value for key, value in {**first, **event}.items() if value is not None}


_plain = structlog.dev.plain_traceback
