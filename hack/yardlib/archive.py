"""Images as files: layers are plain tars, an image is a docker-archive of them. The same input gives the same bytes."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shutil
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

BLOCK = 1 << 20
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Config:
    """How a container of the image starts."""

    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    user: str = ""
    directory: str = "/"

    def document(self) -> dict[str, object]:
        """As image configurations spell it."""
        filled: Mapping[str, object] = {
            "Cmd": list(self.command),
            "Entrypoint": list(self.entrypoint),
            "Env": [PATH, *self.environment],
            "User": self.user,
            "WorkingDir": self.directory,
        }
        return {key: value for key, value in filled.items() if value}


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, folder or link of a layer."""

    path: str
    content: bytes = b""
    mode: int = 0o644
    link: str = ""
    folder: bool = field(default=False)


def architecture() -> str:
    """This machine's, in the registry's words."""
    machine = platform.machine()
    return ARCHITECTURES.get(machine, machine)


def write_layer(out: Path, entries: Iterable[Entry]) -> None:
    """A tar of these entries, owned by root, without times."""
    with tarfile.open(out, "w") as tar:
        for entry in entries:
            info = tarfile.TarInfo(entry.path)
            info.mode = entry.mode
            if entry.folder:
                info.type = tarfile.DIRTYPE
                info.mode = entry.mode | 0o111
            elif entry.link:
                info.type, info.linkname = tarfile.SYMTYPE, entry.link
            else:
                info.size = len(entry.content)
            tar.addfile(info, io.BytesIO(entry.content))


def folder_entries(source: Path, target: str) -> Iterable[Entry]:
    """A folder's files below another path, without what Python left there."""
    for file in sorted(source.rglob("*")):
        relative = file.relative_to(source)
        if "__pycache__" in relative.parts or file.suffix == ".pyc":
            continue
        path = f"{target}/{relative}"
        if file.is_dir():
            yield Entry(path, folder=True, mode=0o755)
        else:
            yield Entry(path, file.read_bytes(), mode=0o755 if file.stat().st_mode & 0o100 else 0o644)


def digest(file: Path) -> str:
    """SHA-256 of a file; remembered beside it, since layers are large and never change."""
    known = file.with_suffix(file.suffix + ".sha256")
    if known.exists():
        return known.read_text()
    hashed = hashlib.sha256()
    with file.open("rb") as handle:
        while block := handle.read(BLOCK):
            hashed.update(block)
    known.write_text(hashed.hexdigest())
    return hashed.hexdigest()


def write_archive(out: Path, reference: str, layers: list[Path], config: Config) -> None:
    """A docker-archive: the layers, a configuration, a manifest."""
    digests = [digest(layer) for layer in layers]
    document = {
        "architecture": architecture(),
        "os": "linux",
        "config": config.document(),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{one}" for one in digests]},
        "history": [{} for _ in digests],
    }
    body = json.dumps(document, sort_keys=True).encode()
    name = hashlib.sha256(body).hexdigest()
    manifest = [{"Config": f"{name}.json", "RepoTags": [reference], "Layers": [f"{one}/layer.tar" for one in digests]}]
    fresh = out.with_suffix(".new")
    with tarfile.open(fresh, "w") as tar:
        for path, content in ((f"{name}.json", body), ("manifest.json", json.dumps(manifest).encode())):
            info = tarfile.TarInfo(path)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for one, layer in zip(digests, layers, strict=True):
            tar.add(layer, f"{one}/layer.tar", filter=_anonymous)
    fresh.replace(out)


def image_id(archive_file: Path) -> str:
    """The digest of the configuration that an archive names: the image's ID wherever it is loaded."""
    with tarfile.open(archive_file) as tar:
        member = tar.extractfile("manifest.json")
        if member is None:
            raise ValueError(f"{archive_file} is no docker-archive")
        return f"sha256:{json.load(member)[0]['Config'].removesuffix('.json')}"


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime, info.mode = 0, 0o644
    return info


def discard(folder: Path) -> None:
    """Removes a scratch folder."""
    shutil.rmtree(folder, ignore_errors=True)
