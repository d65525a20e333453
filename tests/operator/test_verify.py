"""Do the project's own checks find what they are there for, and leave alone what is right?"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from branches import judge
from verifylib import texts, tools
from verifylib.tree import Tree

JOB = """\
apiVersion: trainyard.dev/v1alpha1
kind: TrainingJob
metadata: {name: gpt}
spec: {roles: [{name: worker, replicas: %s, template: {spec: {containers: [{name: trainer, image: a}]}}}]}
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Tree]:
    """Put a file into an otherwise empty checkout."""
    root = tmp_path / "checkout"
    root.mkdir()
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)

    def put(name: str, text: str) -> Tree:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return Tree(root)

    return put


@pytest.mark.parametrize(
    "line",
    [
        "# TODO: later",
        "raise NotImplementedError",
        "# see issue 12",
        "# decided in the last session",
        "see ../shared/notes.md",
    ],
)
def test_words_that_do_not_belong_are_found(write: Callable[[str, str], Tree], line: str) -> None:
    tree = write("operator/a.py", f"x = 1\n{line}\n")
    (found,) = texts.words(tree)
    assert found.startswith("operator/a.py:2: ")


def test_paths_of_one_machine_are_found(write: Callable[[str, str], Tree]) -> None:
    tree = write("docs/a.md", "fine")
    write("docs/b.md", f"look into {tree.root.parent}/notes")
    (found,) = texts.words(tree)
    assert "docs/b.md:1" in found


@pytest.mark.parametrize("line", ["with aiohttp.ClientSession() as session:", "scope='session'", "issues and todos"])
def test_ordinary_words_are_left_alone(write: Callable[[str, str], Tree], line: str) -> None:
    assert texts.words(write("operator/a.py", line + "\n")) == []


def test_oversized_files_and_functions_are_found(write: Callable[[str, str], Tree]) -> None:
    body = "def long():\n" + "    x = 1\n" * texts.MAX_FUNCTION
    tree = write("operator/a.py", body)
    assert texts.sizes(tree) == [
        f"operator/a.py:1: long has {texts.MAX_FUNCTION + 1} lines, at most {texts.MAX_FUNCTION}"
    ]
    write("operator/a.py", "x = 1\n" * (texts.MAX_FILE + 1))
    assert texts.sizes(tree) == [f"operator/a.py: {texts.MAX_FILE + 1} lines, at most {texts.MAX_FILE}"]
    write("operator/a.py", "x = 1\n")
    write("tests/a.py", body)
    assert texts.sizes(tree) == []


def test_scripts_without_a_suffix_are_python_too(write: Callable[[str, str], Tree]) -> None:
    tree = write("hack/tool", "#!/usr/bin/env python3\nx = 1\n")
    write("hack/other", "#!/bin/sh\n")
    assert [tree.name(path) for path in tree.python("hack")] == ["hack/tool"]


def test_dead_links_are_found(write: Callable[[str, str], Tree]) -> None:
    tree = write("docs/a.md", "[gone](b.md) [web](https://example.com) [here](#x) [self](a.md#x)")
    assert texts.links(tree) == ["docs/a.md: b.md does not exist"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [", "is not YAML"),
        ("", "holds no object"),
        ("- a", "no Kubernetes object"),
        ("{apiVersion: v1, kind: Service, metadata: {}}", "a Service without a name"),
        ("{apiVersion: v1, kind: A, metadata: {name: x}}\n---\n" * 2, "A x twice"),
        (JOB % -1, "gpt: spec.roles[0].replicas"),
    ],
)
def test_bad_manifests_are_found(write: Callable[[str, str], Tree], text: str, expected: str) -> None:
    (found,) = texts.manifests(write("manifests/a.yaml", text))
    assert expected in found


def test_good_manifests_are_left_alone(write: Callable[[str, str], Tree]) -> None:
    assert texts.manifests(write("manifests/a.yaml", JOB % 2)) == []


@pytest.mark.parametrize(
    "licence",
    [
        "MIT",
        "MIT License",
        "Apache-2.0 AND MIT",
        "MIT OR GPL-3.0-only",
        "BSD-3-Clause",
        "3-Clause BSD License",
        "MPL-2.0",
    ],
)
def test_licences_that_may_be_linked(licence: str) -> None:
    assert tools.acceptable(licence)


@pytest.mark.parametrize(
    "licence", ["UNKNOWN", "", "GPL-3.0-only", "AGPL-3.0", "MIT AND GPL-2.0-only", "LGPL-2.1-or-later"]
)
def test_licences_that_may_not(licence: str) -> None:
    assert not tools.acceptable(licence)


def test_copied_code_is_found(write: Callable[[str, str], Tree]) -> None:
    block = "".join(f"value_{n} = compute({n}) + {n}\n" for n in range(tools.COPIED_LINES + 2))
    tree = write("operator/a.py", block)
    assert tools.copied(tree) == []
    write("hack/b.py", block)
    assert any("Similar lines" in line or "similar lines" in line for line in tools.copied(tree))


def taken(**files: tuple[int, int]) -> dict[str, Any]:
    """What coverage reports: by file, branches that were taken, of all."""
    total = {"num_branches": sum(n for _, n in files.values()), "covered_branches": sum(n for n, _ in files.values())}
    return {"totals": total, "files": {f: {"summary": {"missing_branches": n - t}} for f, (t, n) in files.items()}}


def test_branches_are_judged_in_sum_and_the_files_that_lack_most_are_named() -> None:
    assert judge(taken(a=(80, 80), b=(15, 20)), 95) == (True, ["branches alone: 95 of 100, 95.0 % (wanted: 95 %)"])
    enough, told = judge(taken(a=(79, 80), b=(15, 20), c=(0, 0)), 95)
    assert not enough and told[1:] == ["  5 not taken in b", "  1 not taken in a"]


def test_branches_of_no_file_are_not_enough() -> None:
    assert not judge(taken(), 95)[0]
