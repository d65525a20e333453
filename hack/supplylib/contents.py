"""Packages of the lock and of an image: names, versions, licences. It reads files; it builds and fetches nothing."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.parser import HeaderParser
from pathlib import Path

_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+?)(?:\s*;.*?)?\s*\\?$", re.MULTILINE)
_REQUIRED = re.compile(r"^[A-Za-z0-9._-]+")
DPKG_STATUS = "var/lib/dpkg/status"
OURS = "app/dependencies/"


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
        python: list[Package] = []
        debian: list[Package] = []
        for layer in manifest["Layers"]:
            stream = tar.extractfile(layer)
            if stream is None:
                raise ValueError(f"{archive}: {layer} is no file")
            with tarfile.open(fileobj=stream, mode="r|") as files:
                _read_layer(files, python, debian)
    return Contents(
        python=tuple(sorted(python)),
        debian=tuple(sorted(debian)),
        architecture=json.loads(config)["architecture"],
        image_id=f"sha256:{hashlib.sha256(config).hexdigest()}",
    )


def _read_layer(files: tarfile.TarFile, python: list[Package], debian: list[Package]) -> None:
    """Streams one layer: layers are large, and what is wanted of them is small."""
    metadata: dict[str, Package] = {}
    records: dict[str, str] = {}
    for entry in files:
        path = entry.name.removeprefix("./")
        wanted = path == DPKG_STATUS or path.endswith((".dist-info/METADATA", ".dist-info/RECORD"))
        stream = files.extractfile(entry) if wanted and entry.isfile() else None
        if stream is None:
            continue
        content, folder = stream.read(), path.rpartition("/")[0]
        if path == DPKG_STATUS:
            debian += debian_packages(content.decode())
        elif path.endswith("METADATA"):
            metadata[folder] = python_package(content.decode())
        else:
            records[folder] = hashlib.sha256(content).hexdigest()
    for folder, one in metadata.items():
        ours = folder.startswith(OURS)
        python.append(replace(one, sha256=records.get(folder, ""), ours=ours))


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
