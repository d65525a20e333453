"""Is a Prometheus found where there is one, fetched where there is none, and missed with words that help?"""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.fake_tools import FakeTools
from yardlib import prometheus
from yardlib.errors import YardError

UNPACK = 'mkdir -p "$3/usr/bin" && touch "$3/usr/bin/prometheus" "$3/usr/bin/promtool"'


@pytest.fixture
def machine(tools: FakeTools, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeTools:
    """A Debian with an apt and a dpkg-deb that only note how they are called, and no Prometheus."""
    shell = tmp_path / "shell"
    shell.mkdir()
    for name in ("sh", "mkdir", "touch"):
        (shell / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", f"{tools.folder}:{shell}")
    monkeypatch.setattr(prometheus, "runtime_root", lambda: tmp_path / "run")
    tools.add("apt-get", 'case "$*" in *download*) touch prometheus_2.42_amd64.deb;; esac')
    tools.add("dpkg-deb", UNPACK)
    return tools


def installed(tools: FakeTools, version: str) -> None:
    for name in prometheus.PROGRAMS:
        tools.add(name, f'echo "{name}, version {version} (branch: none)"')


def test_one_on_path_is_used(machine: FakeTools) -> None:
    installed(machine, "3.5.0")
    assert prometheus.programs().promtool == str(machine.folder / "promtool")
    assert machine.called("apt-get") == []


def test_an_old_one_on_path_is_not(machine: FakeTools, tmp_path: Path) -> None:
    installed(machine, "2.15.2")
    assert prometheus.programs().promtool.startswith(str(tmp_path / "cache"))


def test_debians_package_is_unpacked_once_and_not_installed(machine: FakeTools, tmp_path: Path) -> None:
    found = prometheus.programs()
    assert found == prometheus.programs()
    assert found.prometheus == str(tmp_path / "cache/trainyard/prometheus/usr/bin/prometheus")
    assert [call.split()[-2:] for call in machine.called("apt-get") if "download" in call] == [
        ["download", "prometheus"]
    ]
    assert not [call for call in machine.called("apt-get") if "install" in call]
    assert list((tmp_path / "cache/trainyard").iterdir()) == [tmp_path / "cache/trainyard/prometheus"]


def test_elsewhere_it_says_what_to_put_on_path(machine: FakeTools) -> None:
    (machine.folder / "apt-get").unlink()
    with pytest.raises(YardError) as refused:
        prometheus.programs()
    assert "promtool 2.42 or newer" in refused.value.hint


def test_a_failed_download_leaves_nothing_behind(machine: FakeTools, tmp_path: Path) -> None:
    machine.add("dpkg-deb", "exit 2")
    with pytest.raises(YardError):
        prometheus.programs()
    assert list((tmp_path / "cache/trainyard").iterdir()) == []
