"""Does the demo own up to a step that did not come true? Its story is not told here: that takes a cluster."""

from __future__ import annotations

import subprocess
from typing import NoReturn

import pytest

from demolib import story
from demolib.stage import CLUSTER, DemoFailed, Stage


def failing(_: Stage) -> NoReturn:
    raise DemoFailed("waited 60 s in vain for: attempt 1")


def test_a_step_that_does_not_happen_is_told_and_fails_the_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(story, "install", failing)
    monkeypatch.setattr(Stage, "yard", lambda *_: None)
    monkeypatch.setattr(Stage, "connect", lambda _: None)
    assert story.main(["up"]) == 1
    told = capsys.readouterr().out
    assert "demo: FAILED: waited 60 s in vain for: attempt 1" in told
    assert f"hack/yard kubeconfig --name {CLUSTER}" in told, "and where to look"
    assert "The story took" not in told


def test_a_story_that_comes_true_ends_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "tell", lambda _: None)
    assert story.main(["up"]) == 0
    assert story.main([]) == story.main(["up", "down"]) == 2


def test_what_a_step_calls_must_succeed(monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "no such file\n")

    monkeypatch.setattr(subprocess, "run", failed)
    stage = Stage()
    with pytest.raises(DemoFailed, match="hack/yard up failed"):
        stage.yard("up")
    with pytest.raises(DemoFailed, match="kubectl get tj: no such file"):
        stage.kubectl("get", "tj")
    assert stage.kubectl("get", "tj", check=False) == ""


def test_a_wait_has_an_end() -> None:
    with pytest.raises(DemoFailed, match="waited 0 s in vain for: a miracle"):
        Stage().until("a miracle", lambda: "", 0)
