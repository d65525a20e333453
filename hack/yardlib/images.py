"""The images that clusters need, made on this machine from Debian packages and our own sources; no registry.

A recipe names its layers; a layer is built once for its input and kept. Changing the operator's sources therefore
rebuilds one small layer.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from yardlib import archive, toolchain
from yardlib.archive import Config, Entry
from yardlib.errors import YardError
from yardlib.paths import CLUSTER_SOURCES, REPOSITORY, cache_root, runtime_root
from yardlib.progress import step
from yardlib.shell import run
from yardlib.slots import locked

BUSYBOX = Path("/usr/bin/busybox")
SUITE = "trixie"
PYTHON = "3.13"  # Debian trixie's
NOBODY = "65532"
KEPT_SECONDS = 3600.0
EPOCH = "1"  # instead of today in what package tools write down: the same packages give the same bytes
OPERATOR_SOURCES = REPOSITORY / "operator"
OPERATOR_LOCK = REPOSITORY / "requirements" / "operator.txt"
OPERATOR_ENTRY = CLUSTER_SOURCES / "operator" / "trainyard-operator"
# Documentation, translations and headers are half of what packages bring and nothing a container reads.
UNREAD = (
    "/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/include/*", "*.a",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: what its content depends on, and how to write it."""

    name: str
    inputs: Callable[[], bytes]
    write: Callable[[Path], None]
    expect: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """One image: its short name for the command line, its reference for manifests."""

    name: str
    reference: str
    layers: tuple[Layer, ...]
    config: Config
    late_environment: Callable[[], tuple[str, ...]] = tuple  # what is known only when it is built


def layers_folder() -> Path:
    """Where layers and archives are kept."""
    return cache_root() / "images"


def build(image: Image) -> Path:
    """The image's archive, made if need be; older ones of the same image are removed by and by."""
    with locked(runtime_root() / "images.lock"):
        layers = [_layer(layer) for layer in image.layers]
        config = dataclasses.replace(image.config, environment=(*image.config.environment, *image.late_environment()))
        description = f"{image.reference}\n{config}\n" + "\n".join(map(archive.digest, layers))
        out = layers_folder() / f"{image.name}-{_short(description.encode())}.image.tar"
        if not out.exists():
            forget(layers_folder().glob(f"{image.name}-*.image.tar*"))
            archive.write_archive(out, image.reference, layers, config)
        return out


def is_built(image: Image) -> bool:
    """True when its archive exists, if only for an older recipe: somebody on this machine uses it."""
    return any(layers_folder().glob(f"{image.name}-*.image.tar"))


def _layer(layer: Layer) -> Path:
    out = layers_folder() / f"{layer.name}-{_short(layer.inputs())}.layer.tar"
    if out.exists():
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = out.with_suffix(".new")
    with step(f"building image layer {layer.name}", layer.expect):
        layer.write(fresh)
    forget(layers_folder().glob(f"{layer.name}-*.layer.tar*"))
    fresh.replace(out)
    return out


def forget(made_before: Iterable[Path]) -> None:
    """Removes what newer ones stand in for; young ones stay, since another checkout or run may be reading them."""
    for path in made_before:
        if time.time() - path.stat().st_mtime > KEPT_SECONDS:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def _write_busybox(out: Path) -> None:
    toolchain.require({str(BUSYBOX): "busybox-static"})
    applets = run([str(BUSYBOX), "--list"]).split()
    folders = [Entry(name, folder=True, mode=0o755) for name in ("bin", "etc", "root", "usr", "usr/bin", "var")]
    archive.write_layer(
        out,
        [
            *folders,
            Entry("tmp", folder=True, mode=0o1777),
            Entry("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
            Entry("etc/group", b"root:x:0:\nnogroup:x:65534:\n"),
            Entry("bin/busybox", BUSYBOX.read_bytes(), mode=0o755),
            *(Entry(f"bin/{name}", link="/bin/busybox") for name in applets if name != "busybox"),
        ],
    )


def _busybox_inputs() -> bytes:
    toolchain.require({str(BUSYBOX): "busybox-static"})
    return b"1" + BUSYBOX.read_bytes()


def _debian(*packages: str) -> Callable[[Path], None]:
    """A root file system of Debian packages."""

    def write(out: Path) -> None:
        toolchain.require_root("building an image from Debian packages")
        toolchain.require(toolchain.FOR_IMAGES)
        excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in UNREAD]
        run(
            [
                "mmdebstrap", "--variant=minbase", "--format=tar", f"--include={','.join(packages)}", *excluded,
                SUITE, str(out),
            ],
            env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH},
            hint="the packages come from deb.debian.org: is it reachable?",
        )  # fmt: skip

    return write


def _debian_inputs(*packages: str) -> Callable[[], bytes]:
    return lambda: "\n".join([SUITE, *packages, *UNREAD]).encode()


def _write_torch_fix(out: Path) -> None:
    fix = CLUSTER_SOURCES / "torch" / "trainyard_torch_store.py"
    folder = "usr/lib/python3/dist-packages"
    archive.write_layer(
        out,
        [
            Entry(f"{folder}/{fix.name}", fix.read_bytes()),
            Entry(f"{folder}/trainyard_torch_store.pth", b"import trainyard_torch_store\n"),
        ],
    )


def _write_dependencies(out: Path) -> None:
    """The locked wheels for the image's Python, whichever Python runs us; hashes are checked by pip."""
    scratch = out.with_suffix(".scratch")
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(archive.architecture(), archive.architecture())
    platforms = [f"--platform={tag}_{machine}" for tag in ("manylinux_2_28", "manylinux_2_17", "manylinux2014")]
    try:
        run(
            [
                *toolchain.pip(), "install", "--quiet", "--no-compile", "--no-deps", "--require-hashes",
                "--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON}", *platforms,
                "--target", str(scratch), "-r", str(OPERATOR_LOCK),
            ],
            hint="the wheels come from PyPI: is it reachable?",
        )  # fmt: skip
        _drop_scripts(scratch)
        archive.write_layer(
            out, [Entry("app", folder=True, mode=0o755), *archive.folder_entries(scratch, "app/dependencies")]
        )
    finally:
        archive.discard(scratch)


def _drop_scripts(installed: Path) -> None:
    """Nothing runs the packages' own programs, and their first lines, which RECORD has hashes of, name our Python."""
    shutil.rmtree(installed / "bin", ignore_errors=True)
    for record in installed.glob("*.dist-info/RECORD"):
        lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
        record.write_text("".join(line for line in lines if not line.startswith("../../bin/")), encoding="utf-8")


def _write_operator(out: Path) -> None:
    archive.write_layer(out, _operator_entries())


def _operator_entries() -> Iterable[Entry]:
    yield Entry(f"usr/local/bin/{OPERATOR_ENTRY.name}", OPERATOR_ENTRY.read_bytes(), mode=0o755)
    yield from archive.folder_entries(OPERATOR_SOURCES / "trainyard", "app/operator/trainyard")


def _operator_inputs() -> bytes:
    return b"\0".join(part for entry in _operator_entries() for part in (entry.path.encode(), entry.content))


def operator_build() -> str:
    """The name of the build that today's sources and lock make, whichever way the image is built."""
    return _short(_operator_inputs() + OPERATOR_LOCK.read_bytes())


_BUSYBOX_LAYER = Layer("busybox", _busybox_inputs, _write_busybox)
PAUSE = Image("pause", "trainyard.dev/pause:1", (_BUSYBOX_LAYER,), Config(command=("/bin/sleep", "2147483647")))
BUSYBOX_IMAGE = Image("busybox", "trainyard.dev/busybox:1", (_BUSYBOX_LAYER,), Config(command=("/bin/sh",)))
TORCH = Image(
    "torch",
    "trainyard.dev/torch:2.6",
    (
        Layer("torch", _debian_inputs("python3-torch"), _debian("python3-torch"), "2 min, once"),
        Layer("torch-fix", (CLUSTER_SOURCES / "torch" / "trainyard_torch_store.py").read_bytes, _write_torch_fix),
    ),
    Config(command=("/usr/bin/python3",), environment=("PYTHONUNBUFFERED=1",)),
)
OPERATOR = Image(
    "operator",
    "trainyard.dev/operator:dev",
    (
        Layer(
            "python", _debian_inputs("python3", "ca-certificates"), _debian("python3", "ca-certificates"), "40 s, once"
        ),
        Layer("dependencies", lambda: b"2" + PYTHON.encode() + OPERATOR_LOCK.read_bytes(), _write_dependencies, "20 s"),
        Layer("operator", _operator_inputs, _write_operator),
    ),
    Config(
        entrypoint=(OPERATOR_ENTRY.name,),
        environment=(
            "PYTHONPATH=/app/operator:/app/dependencies",
            "PYTHONUNBUFFERED=1",
            "PYTHONDONTWRITEBYTECODE=1",
            "HOME=/tmp",
        ),
        user=f"{NOBODY}:{NOBODY}",
        directory="/app",
    ),
    late_environment=lambda: (f"TRAINYARD_BUILD={operator_build()}",),
)
BASE = (PAUSE, BUSYBOX_IMAGE)
BY_NAME = {image.name: image for image in (PAUSE, BUSYBOX_IMAGE, TORCH, OPERATOR)}


def by_name(name: str) -> Image:
    """The image of that short name."""
    if name not in BY_NAME:
        raise YardError(f"there is no image '{name}'", f"known: {', '.join(BY_NAME)}; or give a docker-archive's path")
    return BY_NAME[name]


def image_name(archive_file: Path) -> str:
    """What an archive is remembered by: our images by their short names, others by their files' names."""
    return archive_file.name.rsplit("-", 1)[0] if archive_file.name.endswith(".image.tar") else archive_file.name
