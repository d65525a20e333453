"""Packages of the lock and of an image: names, versions, licences. It reads files; it builds and fetches nothing."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from email.parser import HeaderParser
from pathlib import Path

_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+?)(?:\s*;.*?)?\s*\\?$", re.MULTILINE)
_REQUIRED = re.compile(r"^[A-Za-z0-9._-]+")
DPKG_STATUS = "var/lib/dpkg/status"
METADATA, RECORD = ".dist-info/METADATA", ".dist-info/RECORD"
OURS = "app/dependencies/"
BUILD = "TRAINYARD_BUILD"
# How a layer says that a file, or all of a folder, of the layers below is gone.
WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """One package as it is installed."""

    name: str
    version: str
    licence: str = ""
    needs: tuple[str, ...] = ()
    sha256: str = ""
    """Of the list of its files, which has a hash of each."""
    ours: bool = True
    """Installed from our lock, and not by the base image."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What an image holds."""

    python: tuple[Package, ...]
    debian: tuple[Package, ...]
    architecture: str
    image_id: str
    build: str = ""
    """What the image's operator calls itself."""


def locked(lock: Path) -> dict[str, str]:
    """Name → version of the lock, names as indexes compare them."""
    found = {normal(name): version for name, version in _PINNED.findall(lock.read_text(encoding="utf-8"))}
    if not found:
        raise ValueError(f"{lock} pins nothing")
    return found


def normal(name: str) -> str:
    """Package indexes take these spellings for one."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_image(archive: Path) -> Contents:
    """The packages in an image, a docker-archive as `hack/image` writes it."""
    with tarfile.open(archive) as tar:
        (manifest,) = json.loads(_member(tar, "manifest.json"))
        config = _member(tar, manifest["Config"])
        files: dict[str, bytes] = {}
        for layer in manifest["Layers"]:
            stream = tar.extractfile(layer)
            if stream is None:
                raise ValueError(f"{archive}: {layer} is no file")
            with tarfile.open(fileobj=stream, mode="r|") as entries:
                added, removed = _read_layer(entries)
            below = {path: content for path, content in files.items() if not f"{path}/".startswith(removed)}
            files = below | added
    told = json.loads(config)
    return Contents(
        python=tuple(sorted(_python_packages(files))),
        debian=tuple(sorted(debian_packages(files.get(DPKG_STATUS, b"").decode()))),
        architecture=told["architecture"],
        image_id=f"sha256:{hashlib.sha256(config).hexdigest()}",
        build=_variable(told.get("config", {}).get("Env") or (), BUILD),
    )


def _read_layer(entries: tarfile.TarFile) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """What a layer adds that tells of packages, and what it removes from those below: beginnings of paths.

    It streams: layers are large, and what is wanted of them is small.
    """
    added: dict[str, bytes] = {}
    removed: list[str] = []
    for entry in entries:
        path = entry.name.removeprefix("./")
        folder, _, name = path.rpartition("/")
        if name == OPAQUE:
            removed.append(f"{folder}/".lstrip("/"))
        elif name.startswith(WHITEOUT):
            removed.append(f"{folder}/{name.removeprefix(WHITEOUT)}/".lstrip("/"))
        elif path == DPKG_STATUS or path.endswith((METADATA, RECORD)):
            stream = entries.extractfile(entry) if entry.isfile() else None
            if stream is not None:
                added[path] = stream.read()
    return added, tuple(removed)


def _python_packages(files: Mapping[str, bytes]) -> Iterator[Package]:
    for path, content in files.items():
        if path.endswith(METADATA):
            record = files.get(path.removesuffix(METADATA) + RECORD)
            sha256 = hashlib.sha256(record).hexdigest() if record is not None else ""
            yield replace(python_package(content.decode()), sha256=sha256, ours=path.startswith(OURS))


def _variable(environment: Iterable[str], name: str) -> str:
    """The value of one variable of an image's configuration; empty where there is none."""
    return next((one.partition("=")[2] for one in environment if one.partition("=")[0] == name), "")


def python_package(text: str) -> Package:
    """A wheel's METADATA."""
    head = HeaderParser().parsestr(text)
    needs = {
        normal(match[0])
        for line in head.get_all("Requires-Dist") or ()
        if "extra ==" not in line and (match := _REQUIRED.match(line))
    }
    licence = str(head.get("License-Expression") or head.get("License") or "")
    return Package(
        name=normal(str(head["Name"])),
        version=str(head["Version"]),
        licence=licence.splitlines()[0] if licence else "",
        needs=tuple(sorted(needs)),
    )


def debian_packages(status: str) -> Iterator[Package]:
    """dpkg's own account of what is installed."""
    for block in status.split("\n\n"):
        head = HeaderParser().parsestr(block.strip() + "\n\n")
        if str(head.get("Status", "")).endswith(" installed"):
            yield Package(str(head["Package"]), str(head["Version"]))


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    stream = tar.extractfile(name)
    if stream is None:
        raise ValueError(f"{name} is no file of the archive")
    return stream.read()
