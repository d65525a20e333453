"""Docker or podman, where one answers: builds the operator's image by the Dockerfile, and says what it holds."""

from __future__ import annotations

from pathlib import Path

from yardlib import images
from yardlib.errors import YardError
from yardlib.paths import REPOSITORY
from yardlib.progress import step
from yardlib.shell import run, succeeds

ENGINES = ("docker", "podman")


def find() -> str | None:
    """The container engine whose daemon answers, if any."""
    return next((name for name in ENGINES if succeeds([name, "info"])), None)


def require() -> str:
    """That engine; raises where there is none."""
    found = find()
    if found is None:
        raise YardError("no container engine answers", "start docker or podman")
    return found


def build_operator(engine: str) -> str:
    """Builds the image by the Dockerfile and returns its reference."""
    reference = images.OPERATOR.reference
    with step(f"building {reference} with {engine}", "1 min"):
        run(
            [
                engine, "build", "--tag", reference, "--build-arg", f"BUILD={images.operator_build()}",
                str(REPOSITORY),
            ],
            hint="the base image comes from Docker Hub, the wheels from PyPI: are they reachable?",
        )  # fmt: skip
    return reference


def has(engine: str, reference: str) -> bool:
    """Whether the engine holds an image of that reference."""
    return succeeds([engine, "image", "inspect", reference])


def image_id(engine: str, reference: str) -> str:
    """The digest of the image's configuration: what engines and nodes call its ID."""
    found = run([engine, "image", "inspect", "--format", "{{.Id}}", reference]).strip()
    return found if found.startswith("sha256:") else f"sha256:{found}"  # podman leaves the prefix out


def save(engine: str, reference: str, archive: Path) -> None:
    """Writes the image as a docker-archive."""
    forced = ["--format", "docker-archive"] if engine == "podman" else []
    run([engine, "save", *forced, "--output", str(archive), reference])
