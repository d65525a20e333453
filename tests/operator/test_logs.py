"""Does every line come out in one format, with the job's keys, and without credentials?"""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from aiohttp.http_exceptions import BadHttpMessage

from trainyard.telemetry.logs import BLOTTED, LONGEST, about_job, blot_secrets, configure_logs


@pytest.fixture(autouse=True)
def untouched_afterwards() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_ours_and_the_standard_librarys_lines_look_alike(stream: io.StringIO) -> None:
    configure_logs(as_json=True, level="info", stream=stream)
    structlog.get_logger("trainyard.engine").info("opened", attempt=2, node=None)
    logging.getLogger("trainyard.kube").warning("no answer from %s", "server")
    ours, theirs = lines(stream)
    assert list(ours) == ["time", "level", "logger", "message", "attempt"]
    assert (ours["level"], ours["logger"], ours["message"], ours["attempt"]) == (
        "info",
        "trainyard.engine",
        "opened",
        2,
    )
    assert list(theirs) == ["time", "level", "logger", "message"]
    assert theirs["message"] == "no answer from server"


def test_a_jobs_key_is_on_every_line_about_it(stream: io.StringIO) -> None:
    configure_logs(as_json=True, level="info", stream=stream)
    log = structlog.get_logger("a")
    with about_job("research", "gpt", attempt=3):
        log.info("closed", reason="NodeLost")
        logging.getLogger("b").warning("and this")
    log.info("outside")
    first, second, third = lines(stream)
    assert (first["job"], first["attempt"], first["reason"]) == ("research/gpt", 3, "NodeLost")
    assert (second["job"], second["attempt"]) == ("research/gpt", 3)
    assert "job" not in third


def test_standard_lines_may_bring_the_keys_and_nothing_else(stream: io.StringIO) -> None:
    configure_logs(as_json=True, level="info", stream=stream)
    logging.getLogger("a").info("x", extra={"job": "ns/j", "k8s_ref": {"kind": "Pod"}})
    (line,) = lines(stream)
    assert line["job"] == "ns/j"
    assert "k8s_ref" not in line


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Authorization: Bearer abcdefgh12345", "Authorization: Bearer "),
        ("token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0abc.c2lnbmF0dXJl was refused", "was refused"),
        ("?token=eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0abc.c2lnbmF0dXJl refused", "?token="),
        ("https://user:hunter2pass@proxy:3128 failed", "@proxy:3128 failed"),
    ],
)
def test_credentials_are_blotted_out_of_texts(stream: io.StringIO, text: str, kept: str) -> None:
    configure_logs(as_json=True, level="info", stream=stream)
    structlog.get_logger().info(text, detail={"deep": [text]})
    logging.getLogger("a").warning("%s", text)
    written = stream.getvalue()
    for secret in ("abcdefgh12345", "eyJhbGciOiJSUzI1NiJ9", "hunter2pass"):
        assert secret not in written
    assert BLOTTED in written
    assert kept in written


def test_credentials_are_blotted_out_by_name(stream: io.StringIO) -> None:
    configure_logs(as_json=True, level="info", stream=stream)
    structlog.get_logger().info("x", headers={"Authorization": "s3cr3t"}, apiToken="s3cr3t")
    assert "s3cr3t" not in stream.getvalue()


def test_a_text_that_only_begins_like_tokens_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each beginning would be followed to the text's end."""
    monkeypatch.setattr("trainyard.telemetry.logs.LONGEST", 2**20)
    text = "eyJ-" * 20_000
    started = time.process_time()
    assert blot_secrets(None, "info", {"event": text}) == {"event": text}
    assert time.process_time() - started < 2


def test_a_long_text_is_cut(stream: io.StringIO) -> None:
    configure_logs(as_json=True, level="info", stream=stream)
    structlog.get_logger().info("x" * 2**20, detail=["y" * LONGEST])
    logging.getLogger("a").warning("%s", "x" * 2**20)
    ours, theirs = lines(stream)
    assert ours["message"] == theirs["message"] == "x" * LONGEST + " ... (1048576 characters)"
    assert ours["detail"] == ["y" * LONGEST]


def test_what_is_no_http_is_no_line_of_ours(stream: io.StringIO) -> None:
    """Anybody may send it to a port, as often as he likes."""
    configure_logs(as_json=True, level="info", stream=stream)
    server = logging.getLogger("aiohttp.server")
    server.error("Error handling request from %s", "10.0.0.7", exc_info=BadHttpMessage("no method"))
    assert not stream.getvalue()
    server.error("Error handling request", exc_info=RuntimeError("a fault of ours"))
    server.error("Unhandled exception")
    assert [line["message"] for line in lines(stream)] == ["Error handling request", "Unhandled exception"]


def test_tracebacks_show_neither_locals_nor_credentials(stream: io.StringIO) -> None:
    configure_logs(as_json=True, level="info", stream=stream)
    hidden = "a-local-value"
    try:
        raise RuntimeError("Bearer abcdefgh12345 refused" + hidden[:0])
    except RuntimeError:
        structlog.get_logger().exception("failed")
        logging.getLogger("a").exception("failed too")
    for line in lines(stream):
        assert "RuntimeError" in line["exception"]
        assert hidden not in line["exception"].replace(f'hidden = "{hidden}"', "")
        assert "abcdefgh12345 refused" not in line["exception"]


def test_libraries_are_quiet_unless_asked(stream: io.StringIO) -> None:
    configure_logs(as_json=True, level="info", stream=stream)
    logging.getLogger("kopf.objects").info("Handler 'x' succeeded.")
    assert not stream.getvalue()
    configure_logs(as_json=True, level="debug", stream=stream)
    logging.getLogger("kopf.objects").info("Handler 'x' succeeded.")
    assert lines(stream)[0]["message"] == "Handler 'x' succeeded."


def test_troubles_of_kopf_are_no_errors_of_ours(stream: io.StringIO) -> None:
    configure_logs(as_json=True, level="info", stream=stream)
    logging.getLogger("kopf._cogs.clients.watching").error("Request attempt #1 failed; will retry")
    logging.getLogger("trainyard.kube").error("a real one")
    assert [line["level"] for line in lines(stream)] == ["warning", "error"]


def test_console_lines_are_for_people(stream: io.StringIO) -> None:
    configure_logs(as_json=False, level="warning", stream=stream)
    structlog.get_logger("a").info("below the level")
    with about_job("research", "gpt"):
        structlog.get_logger("a").warning("restarted", attempt=1)
    (line,) = stream.getvalue().splitlines()
    assert "restarted" in line
    assert "job=research/gpt" in line
    assert "attempt=1" in line
