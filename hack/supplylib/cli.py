"""The commands `hack/sbom` and `hack/provenance`: both read an image that `hack/image --output` wrote."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from supplylib.contents import Contents, locked, read_image
from supplylib.provenance import source, statement
from supplylib.sbom import bill, mismatches
from yardlib import images
from yardlib.errors import YardError
from yardlib.operator_image import BUILDERS
from yardlib.paths import REPOSITORY

INPUTS = (
    "requirements/operator.txt",
    "Dockerfile",
    "hack/yardlib/images.py",
    "hack/cluster/operator/trainyard-operator",
)


def sbom(argv: Sequence[str]) -> int:
    """What is in the image; 1 where it is not what the checkout or its lock says."""
    arguments = _parser("sbom", "Write the image's bill of materials (CycloneDX).").parse_args(argv)
    contents = _contents(arguments.image)
    if wrong := mismatches(contents, locked(images.OPERATOR_LOCK)):
        print("sbom: the image is not made from requirements/operator.txt:", *wrong, sep="\n  ", file=sys.stderr)
        return 1
    _write(bill(contents, name=images.OPERATOR.reference, build=contents.build), arguments.output)
    return 0


def provenance(argv: Sequence[str]) -> int:
    """Where the image came from; 1 where it is of another checkout, or of changes that no commit holds."""
    parser = _parser("provenance", "Write where the image came from (in-toto, SLSA).")
    parser.add_argument("--allow-changes", action="store_true", help="list uncommitted files instead of refusing them")
    parser.add_argument("--builder", choices=BUILDERS, default="own", help="which one made it (default: own)")
    arguments = parser.parse_args(argv)
    of = source(REPOSITORY)
    if of.changed and not arguments.allow_changes:
        print(f"provenance: {len(of.changed)} files differ from commit {of.commit[:12]}", file=sys.stderr)
        return 1
    contents = _contents(arguments.image)
    document = statement(
        of,
        name=images.OPERATOR.reference,
        image_id=contents.image_id,
        build=contents.build,
        builder=arguments.builder,
        inputs={name: REPOSITORY / name for name in INPUTS},
    )
    _write(document, arguments.output)
    return 0


def run(command: str, argv: Sequence[str]) -> int:
    """One of the two, its errors as words."""
    try:
        return {"sbom": sbom, "provenance": provenance}[command](argv)
    except (YardError, OSError, ValueError) as error:
        print(f"{command}: error: {error}", file=sys.stderr)
        return 1


def _contents(given: Path | None) -> Contents:
    """What is in the image; ValueError for one that is not, by the name of its build, made from this checkout."""
    contents = read_image(given if given is not None else images.build(images.OPERATOR))
    ours = images.operator_build()
    if contents.build != ours:
        theirs = f"says that it is build {contents.build}" if contents.build else "names no build"
        raise ValueError(
            f"the image {theirs}, and this checkout makes {ours}: check out what the image was built from, "
            f"or build it anew, by hack/image or with --build-arg BUILD={ours}"
        )
    return contents


def _write(document: dict[str, Any], output: Path | None) -> None:
    text = json.dumps(document, indent=2) + "\n"
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")


def _parser(command: str, text: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"hack/{command}", description=text)
    parser.add_argument("--image", type=Path, metavar="TAR", help="a docker-archive (default: one built here, as root)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to write (default: standard output)")
    return parser
