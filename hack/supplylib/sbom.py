"""The bill of materials of the operator's image, in CycloneDX 1.6: the same image gives the same text."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from supplylib.contents import Contents, Package

Json = dict[str, Any]
_NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # of URLs, by RFC 9562


def mismatches(contents: Contents, lock: Mapping[str, str]) -> list[str]:
    """Packages that the lock knows not at all, or in another version. It may know more: those of other systems."""
    return [
        f"{one.name} {one.version} is in the image, {lock.get(one.name, 'nothing')} in the lock"
        for one in contents.python
        if one.ours and lock.get(one.name) != one.version
    ]


def bill(contents: Contents, *, name: str, build: str) -> Json:
    """The whole document."""
    short = name.rpartition("/")[2].partition(":")[0]
    root = f"pkg:oci/{quote(short)}@{quote(contents.image_id)}"
    python = {_python_url(one): one for one in contents.python}
    # By its URL each, once: a base image may have a package of ours too, or one for two architectures.
    found = {**python, **{_debian_url(one, contents.architecture): one for one in contents.debian}}
    needed = {one.name: url for url, one in sorted(python.items(), key=lambda item: item[1].ours)}  # ours wins
    edges = [{"ref": root, "dependsOn": sorted(found)}]
    edges += [
        {"ref": url, "dependsOn": sorted({needed[need] for need in one.needs if need in needed})}
        for url, one in python.items()
    ]
    algorithm, _, digest = contents.image_id.partition(":")
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, contents.image_id)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": root,
                "name": name,
                "version": build,
                "purl": root,
                "hashes": [{"alg": algorithm.upper().replace("SHA256", "SHA-256"), "content": digest}],
            }
        },
        "components": [_component(one, url) for url, one in found.items()],
        "dependencies": edges,
    }


def _python_url(one: Package) -> str:
    return f"pkg:pypi/{one.name}@{quote(one.version)}"


def _debian_url(one: Package, architecture: str) -> str:
    return f"pkg:deb/debian/{quote(one.name)}@{quote(one.version)}?arch={architecture}"


def _component(one: Package, url: str) -> Json:
    found: Json = {"type": "library", "bom-ref": url, "name": one.name, "version": one.version, "purl": url}
    if one.licence:
        found["licenses"] = [{"license": {"name": one.licence}}]
    if one.sha256:
        found["properties"] = [{"name": "trainyard:record:sha256", "value": one.sha256}]
    return found
