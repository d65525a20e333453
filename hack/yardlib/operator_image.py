"""The command `hack/image`: the operator's image from a container engine where one answers, else by our own builder.

Either way it installs the same lock and carries the same build name. It loads nothing anywhere.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from yardlib import archive, engine, images
from yardlib.errors import YardError

BUILDERS = ("engine", "own")


def main(argv: Sequence[str]) -> int:
    """Builds, and prints where the image is and by what names it goes."""
    arguments = _parser().parse_args(argv)
    try:
        facts = build(arguments.builder, arguments.output)
    except YardError as error:
        print(f"image: error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"image: what to do: {error.hint}", file=sys.stderr)
        return 1
    for name, value in facts.items():
        print(f"{name:10} {value}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hack/image", description="Build the operator's image.")
    parser.add_argument(
        "--builder", choices=BUILDERS, help="default: docker or podman where one answers, else our own (root, Debian)"
    )
    parser.add_argument("--output", type=Path, metavar="TAR", help="write a docker-archive there too")
    return parser


def build(builder: str | None, output: Path | None) -> dict[str, str]:
    """What was built: its reference, where it lies, its ID, and the name that the operator gives itself."""
    program = engine.require() if builder == "engine" else None if builder == "own" else engine.find()
    image = images.OPERATOR
    if program is None:
        built = images.build(image)
        if output is not None:
            output.write_bytes(built.read_bytes())
        place, digest = str(output or built), archive.image_id(built)
    else:
        engine.build_operator(program)
        if output is not None:
            output.unlink(missing_ok=True)  # podman writes over nothing
            engine.save(program, image.reference, output)
        place, digest = str(output or f"held by {program}"), engine.image_id(program, image.reference)
    return {"reference": image.reference, "path": place, "digest": digest, "build": images.operator_build()}
