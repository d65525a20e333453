"""Is the image the same wherever and whenever it is built, is what is said of it true, and does it run as nobody?"""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from supplylib import cli
from supplylib.contents import Contents, Package, locked, read_image
from supplylib.provenance import source, statement
from supplylib.sbom import bill, mismatches
from support.yard import ROOT
from trainyard.settings import read_settings
from trainyard.version import VERSION
from verifylib import vulnerabilities
from verifylib.tree import Skipped, Tree
from yardlib import archive, images
from yardlib.archive import Config, Entry

STATUS = """\
Package: python3
Status: install ok installed
Version: 3.13.5-1

Package: gone
Status: deinstall ok config-files
Version: 1
"""
METADATA = """\
Metadata-Version: 2.4
Name: Some_Package
Version: 1.2
License-Expression: MIT
Requires-Dist: other>=1
Requires-Dist: absent; extra == "x"

Words: of the description
"""


def image_of(folder: Path, *layers: list[Entry], build: str = "") -> Path:
    """An image of these layers that calls itself by this build."""
    paths = []
    for number, entries in enumerate(layers):
        paths.append(folder / f"layer-{number}.tar")
        archive.write_layer(paths[-1], entries)
    out = folder / "image.tar"
    config = Config(user="65532", environment=(f"TRAINYARD_BUILD={build}",))
    archive.write_archive(out, "trainyard.dev/operator:dev", paths, config)
    return out


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A small image with one package of each kind, which says that it is made from this checkout."""
    folder = "app/dependencies"
    entries = [
        Entry("var/lib/dpkg/status", STATUS.encode()),
        Entry(f"{folder}/some_package-1.2.dist-info/METADATA", METADATA.encode()),
        Entry(f"{folder}/some_package-1.2.dist-info/RECORD", b"a,b,c\n"),
        Entry(f"{folder}/other-3.dist-info/METADATA", b"Name: other\nVersion: 3\n\n"),
    ]
    return image_of(tmp_path, entries, build=images.operator_build())


def built_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch, mask: int) -> tuple[str, str]:
    """Digests of the operator's layer and of an image of it, built from a fresh copy of the sources there."""
    folder.mkdir(parents=True)
    previous = os.umask(mask)
    try:
        copied = folder / "operator"
        shutil.copytree(ROOT / "operator", copied, copy_function=shutil.copy)  # with the time of now
        (copied / "trainyard" / "__pycache__").mkdir(exist_ok=True)
        (copied / "trainyard" / "__pycache__" / "left.pyc").write_bytes(os.urandom(8))
        monkeypatch.setattr(images, "OPERATOR_SOURCES", copied)
        layer, out = folder / "layer.tar", folder / "image.tar"
        images.OPERATOR.layers[-1].write(layer)
        archive.write_archive(out, images.OPERATOR.reference, [layer], images.OPERATOR.config)
    finally:
        os.umask(previous)
    return archive.digest(layer), archive.digest(out)


def test_the_operators_layer_is_the_same_wherever_and_whenever_it_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = built_elsewhere(tmp_path / "a", monkeypatch, 0o022)
    long_ago = time.time() - 86400
    for path in (tmp_path / "a").rglob("*"):
        os.utime(path, (long_ago, long_ago))
    assert built_elsewhere(tmp_path / "somewhere" / "else", monkeypatch, 0o077) == first


@pytest.mark.slow  # fetches packages, twice
@pytest.mark.skipif(os.geteuid() != 0, reason="Debian's packages are unpacked as root")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [0, 1], ids=["system", "locked packages"])
def test_what_is_fetched_gives_the_same_layer_twice(tmp_path: Path, number: int) -> None:
    made = [tmp_path / "a.tar", tmp_path / "elsewhere" / "b.tar"]
    for out in made:
        out.parent.mkdir(exist_ok=True)
        images.OPERATOR.layers[number].write(out)
    assert len({archive.digest(out) for out in made}) == 1


def test_installed_packages_do_not_tell_where_they_were_installed(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "kopf").write_text("#!/home/someone/python\n")
    record = tmp_path / "kopf-1.dist-info" / "RECORD"
    record.parent.mkdir()
    record.write_text("../../bin/kopf,sha256=abc,22\nkopf/__init__.py,sha256=def,1\n")
    images._drop_scripts(tmp_path)
    assert not (tmp_path / "bin").exists() and record.read_text() == "kopf/__init__.py,sha256=def,1\n"


def test_an_image_is_read_back(image: Path) -> None:
    contents = read_image(image)
    assert contents.debian == (Package("python3", "3.13.5-1"),)
    assert [(p.name, p.version, p.licence, p.needs) for p in contents.python] == [
        ("other", "3", "", ()),
        ("some-package", "1.2", "MIT", ("other",)),
    ]
    assert contents.image_id == archive.image_id(image)


def test_what_a_layer_takes_away_or_replaces_is_not_in_the_image(tmp_path: Path) -> None:
    """As a base image's package is upgraded or removed, and the list of packages written anew."""
    base, ours = "usr/lib/python3/site-packages", "app/dependencies"
    status = "Package: {}\nStatus: install ok installed\nVersion: {}\n\n"
    below = [
        Entry("var/lib/dpkg/status", (status.format("kept", "1") + status.format("gone", "1")).encode()),
        Entry(f"{base}/pip-1.dist-info/METADATA", b"Name: pip\nVersion: 1\n\n"),
        Entry(f"{base}/wheel-1.dist-info/METADATA", b"Name: wheel\nVersion: 1\n\n"),
        Entry(f"{ours}/other-2.dist-info/METADATA", b"Name: other\nVersion: 2\n\n"),
    ]
    above = [
        Entry("var/lib/dpkg/status", (status.format("kept", "2") + status.format("new", "1")).encode()),
        Entry(f"{base}/.wh.pip-1.dist-info"),
        Entry(f"{base}/pip-2.dist-info/METADATA", b"Name: pip\nVersion: 2\n\n"),
        Entry(f"{ours}/.wh..wh..opq"),
        Entry(f"{ours}/other-3.dist-info/METADATA", b"Name: other\nVersion: 3\n\n"),
    ]
    contents = read_image(image_of(tmp_path, below, above))
    assert [(p.name, p.version) for p in contents.debian] == [("kept", "2"), ("new", "1")]
    assert [(p.name, p.version, p.ours) for p in contents.python] == [
        ("other", "3", True),
        ("pip", "2", False),
        ("wheel", "1", False),
    ]


def test_a_package_that_is_there_twice_is_one_component() -> None:
    ours, theirs = Package("yaml", "2"), Package("yaml", "2", ours=False)
    older, user = Package("yaml", "1", ours=False), Package("user", "1", needs=("yaml",))
    debian = (Package("libc6", "1"), Package("libc6", "1", licence="of another architecture"))
    made = bill(Contents((older, user, ours, theirs), debian, "amd64", "sha256:ab"), name="x:1", build="b")
    urls = [one["bom-ref"] for one in made["components"]]
    assert sorted(urls) == [
        "pkg:deb/debian/libc6@1?arch=amd64",
        "pkg:pypi/user@1",
        "pkg:pypi/yaml@1",
        "pkg:pypi/yaml@2",
    ]
    assert {"ref": "pkg:pypi/user@1", "dependsOn": ["pkg:pypi/yaml@2"]} in made["dependencies"]


@pytest.mark.parametrize("command", ["sbom", "provenance"])
@pytest.mark.parametrize(("build", "words"), [("", "names no build"), ("0123", "says that it is build 0123")])
def test_an_image_of_another_checkout_is_not_vouched_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, build: str, words: str
) -> None:
    flags = ["--allow-changes"] if command == "provenance" else []
    assert cli.run(command, ["--image", str(image_of(tmp_path, [], build=build)), *flags]) == 1
    told = capsys.readouterr()
    assert words in told.err and f"BUILD={images.operator_build()}" in told.err and not told.out


def test_the_bill_names_everything_and_is_the_same_each_time(image: Path) -> None:
    made = [bill(read_image(image), name="trainyard.dev/operator:dev", build="b") for _ in range(2)]
    assert made[0] == made[1] and made[0]["specVersion"] == "1.6"
    urls = [one["purl"] for one in made[0]["components"]]
    assert urls[:2] == ["pkg:pypi/other@3", "pkg:pypi/some-package@1.2"] and urls[2].startswith(
        "pkg:deb/debian/python3@"
    )
    root, *edges = made[0]["dependencies"]
    assert sorted(root["dependsOn"]) == sorted(urls)
    assert {"ref": urls[1], "dependsOn": [urls[0]]} in edges
    assert {edge["ref"] for edge in edges} < set(urls)


def test_an_image_that_is_not_made_from_the_lock_gets_no_bill(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run("sbom", ["--image", str(image)]) == 1
    assert "other 3 is in the image, nothing in the lock" in capsys.readouterr().err
    base = Package("pip", "1", ours=False)
    installed = (base, *(Package(name, version) for name, version in locked(images.OPERATOR_LOCK).items()))
    assert mismatches(Contents(installed, (), "amd64", ""), locked(images.OPERATOR_LOCK)) == []


def test_the_lock_pins_every_package_by_hash() -> None:
    text = images.OPERATOR_LOCK.read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=\S)", text.strip())
    assert len(blocks) == len(locked(images.OPERATOR_LOCK)) and all("--hash=sha256:" in block for block in blocks)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    root.mkdir()
    (root / "file").write_text("a")
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.com"]
    for command in (["init", "-q"], ["add", "file"], [*identity, "commit", "-qm", "First"]):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    return root


def test_provenance_names_the_image_and_what_it_was_built_from(checkout: Path) -> None:
    clean = source(checkout)
    assert clean.changed == () and re.fullmatch("[0-9a-f]{40}", clean.commit)
    inputs = {"file": checkout / "file"}
    told = statement(clean, name="image", image_id="sha256:ab", build="b", builder="own", inputs=inputs)
    assert told["subject"] == [{"name": "image", "digest": {"sha256": "ab"}}]
    assert told["predicateType"] == "https://slsa.dev/provenance/v1"
    materials = told["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert materials[0]["digest"]["gitCommit"] == clean.commit
    assert materials[1]["digest"]["sha256"].startswith("ca978112")
    (checkout / "file").write_text("b")
    assert source(checkout).changed == ("file",)


def test_changes_that_no_commit_holds_are_not_vouched_for(
    checkout: Path, image: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "REPOSITORY", checkout)
    monkeypatch.setattr(cli, "INPUTS", ("file",))
    (checkout / "file").write_text("b")
    assert cli.run("provenance", ["--image", str(image)]) == 1
    assert "1 files differ from commit" in capsys.readouterr().err
    assert cli.run("provenance", ["--image", str(image), "--allow-changes"]) == 0
    told = json.loads(capsys.readouterr().out)["predicate"]["buildDefinition"]["internalParameters"]
    assert told == {"build": images.operator_build(), "changedFiles": ["file"]}


Database = Callable[[dict[str, list[str]]], str]


@pytest.fixture
def database() -> Iterator[Database]:
    """Serves answers of a vulnerability database: package name → IDs."""
    servers = []

    def serve(known: dict[str, list[str]]) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                question: Any = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                names = [query["package"]["name"] for query in question["queries"]]
                results = [
                    {"vulns": [{"id": found} for found in known[name]]} if name in known else {} for name in names
                ]
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps({"results": results}).encode())

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_known_vulnerabilities_are_told_unless_they_are_accepted_with_a_reason(database: Database) -> None:
    url = database({"aiohttp": ["GHSA-1", "GHSA-2"]})
    told = vulnerabilities.known(Tree(), url, {"GHSA-2": "not reached from here"})
    assert len(told) == 1 and re.match(r"aiohttp \S+: GHSA-1, see https://", told[0])
    assert vulnerabilities.known(Tree(), database({}), {}) == []


def test_a_database_out_of_reach_is_no_all_clear() -> None:
    with pytest.raises(Skipped, match="data not reachable"):
        vulnerabilities.known(Tree(), "http://127.0.0.1:9")


@pytest.fixture
def stages() -> list[list[tuple[str, str]]]:
    """The Dockerfile's stages: instructions with their arguments."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    found: list[list[tuple[str, str]]] = [[]]
    for word, rest in lines:
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest.strip()))
    return found


def test_the_dockerfile_makes_an_image_for_nobody_without_an_installer(stages: list[list[tuple[str, str]]]) -> None:
    arguments, dependencies, final = stages
    assert arguments[0][1].startswith("BASE=") and {s[0][1].split()[0] for s in (dependencies, final)} == {"${BASE}"}
    assert [rest for word, rest in final if word == "USER"] == ["65532:65532"]
    assert not [word for word, _ in final if word in ("RUN", "ADD", "EXPOSE", "VOLUME")]
    assert all("--require-hashes" in rest for word, rest in dependencies if word == "RUN")
    assert not [rest for stage in stages for word, rest in stage if word == "ADD" or "curl" in rest or "http" in rest]


def test_both_builders_start_the_operator_alike(stages: list[list[tuple[str, str]]]) -> None:
    final = dict(stages[-1])
    config = images.OPERATOR.config
    assert json.loads(final["ENTRYPOINT"]) == list(config.entrypoint)
    assert final["USER"] == config.user and final["WORKDIR"] == config.directory
    assert set(config.environment) < set(final["ENV"].split())
    assert "PYTHONDONTWRITEBYTECODE=1" in config.environment and "HOME=/tmp" in config.environment  # read-only root


def test_an_image_built_by_hand_calls_itself_by_the_version(
    stages: list[list[tuple[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    final = stages[-1]
    assert ("ARG", "BUILD=") in final and "TRAINYARD_BUILD=${BUILD}" in dict(final)["ENV"].split()
    monkeypatch.setenv("TRAINYARD_BUILD", "")
    assert read_settings({}).build == VERSION
