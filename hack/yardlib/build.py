"""Builds the cluster's programs from their Go modules, once a version, into the cache."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from yardlib import toolchain
from yardlib.errors import YardError
from yardlib.paths import CLUSTER_SOURCES, cache_root, runtime_root
from yardlib.progress import step
from yardlib.shell import run
from yardlib.slots import locked

BUILD_DATE = "1970-01-01T00:00:00Z"  # a fixed one: the same sources give the same bytes


@dataclass(frozen=True, slots=True)
class Component:
    """A Go module in `hack/cluster/` and the programs that are built from it."""

    folder: str
    module: str  # whose version in go.mod is the component's version
    programs: tuple[tuple[str, str], ...]  # (program, Go package)
    expect: str
    kubernetes: str = ""  # the minor version that it is; several give the same programs

    @property
    def sources(self) -> Path:
        """Where its go.mod lies."""
        return CLUSTER_SOURCES / self.folder

    @property
    def version(self) -> str:
        """As pinned in go.mod."""
        match = re.search(
            rf"^(?:require )?\s*{re.escape(self.module)} (v\S+)", (self.sources / "go.mod").read_text(), re.M
        )
        if match is None:
            raise YardError(f"{self.sources / 'go.mod'} does not name {self.module}")
        return match.group(1)

    @property
    def folder_built(self) -> Path:
        """Its place in the cache, other for other sources."""
        digest = hashlib.sha256()
        for file in sorted([self.sources / "go.mod", *self.sources.glob("*.go")]):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
        return cache_root() / "bin" / f"{self.folder}-{self.version}-{digest.hexdigest()[:8]}"

    def missing(self) -> list[tuple[str, str]]:
        """The programs that are not built yet."""
        return [(program, package) for program, package in self.programs if not (self.folder_built / program).exists()]


_KUBERNETES_PROGRAMS = (
    "kubectl", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy",
)  # fmt: skip
KUBERNETES = ("1.37", "1.34")
"""What clusters can be made of: the usual first; the oldest that the project calls supported."""


def _kubernetes(folder: str, minor: str) -> Component:
    programs = tuple((name, f"k8s.io/kubernetes/cmd/{name}") for name in _KUBERNETES_PROGRAMS)
    return Component(folder, "k8s.io/kubernetes", programs, "10 min on 2 cores, once", minor)


COMPONENTS = (
    _kubernetes("kubernetes", KUBERNETES[0]),
    Component("etcd", "go.etcd.io/etcd/server/v3", (("etcd", "go.etcd.io/etcd/server/v3"),), "1 min, once"),
    Component("kwok", "sigs.k8s.io/kwok", (("kwok", "sigs.k8s.io/kwok/cmd/kwok"),), "2 min, once"),
    Component("coredns", "github.com/coredns/coredns", (("coredns", "."),), "2 min, once"),
    Component("deviceplugin", "k8s.io/kubelet", (("deviceplugin", "."),), "20 s, once"),
    Component("helm", "helm.sh/helm/v4", (("helm", "helm.sh/helm/v4/cmd/helm"),), "5 min on 2 cores, once"),
    Component("helm3", "helm.sh/helm/v3", (("helm3", "helm.sh/helm/v3/cmd/helm"),), "5 min on 2 cores, once"),
    _kubernetes("kubernetes-1.34", KUBERNETES[1]),
)
CONTROL_PLANE = ("kubectl", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")
NODES = ("kubelet", "kube-proxy", "coredns", "deviceplugin")
FAKE_NODES = ("kwok",)
CHART = ("helm", "helm3")  # only the chart's tests need them
PROGRAMS = tuple(dict.fromkeys(program for component in COMPONENTS for program, _ in component.programs))


def binary(program: str, kubernetes: str = KUBERNETES[0]) -> Path:
    """Where a program lies once it is built."""
    (component,) = (c for c in _of(kubernetes) if program in dict(c.programs))
    return component.folder_built / program


def kubectl() -> str:
    """The kubectl that was built with local clusters, else whichever is on PATH."""
    built = binary("kubectl")
    return str(built) if built.exists() else "kubectl"


def _of(kubernetes: str) -> list[Component]:
    return [component for component in COMPONENTS if component.kubernetes in ("", kubernetes)]


def ensure(programs: tuple[str, ...], kubernetes: str = KUBERNETES[0]) -> None:
    """Builds what is missing of these programs; two runs at once do not build the same thing twice."""
    if all(binary(program, kubernetes).exists() for program in programs):
        return
    with locked(runtime_root() / "build.lock"):
        for component in _of(kubernetes):
            for program, package in component.missing():
                if program in programs:
                    _build(component, program, package)


def _build(component: Component, program: str, package: str) -> None:
    component.folder_built.mkdir(parents=True, exist_ok=True)
    fresh = component.folder_built / f".{program}.new"
    go = toolchain.go()
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false"}
    with step(f"building {program} {component.version}", component.expect):
        run(
            [go, "build", "-trimpath", "-mod=readonly", f"-ldflags={link_flags(component)}", "-o", str(fresh), package],
            cwd=component.sources,
            env=environment,
            hint="the Go modules come from proxy.golang.org (or GOPROXY): is it reachable?",
        )
    fresh.replace(component.folder_built / program)


def link_flags(component: Component) -> str:
    """Small programs that know their version; a Kubernetes that calls itself v0.0.0 makes clients choke."""
    flags = ["-s", "-w"]
    if component.kubernetes:
        major, minor, _ = component.version.removeprefix("v").split(".")
        stamps = {
            "gitVersion": component.version,
            "gitMajor": major,
            "gitMinor": minor,
            "gitTreeState": "clean",
            "gitCommit": "unknown",
            "buildDate": BUILD_DATE,
        }
        flags += [f"-X k8s.io/component-base/version.{key}={value}" for key, value in stamps.items()]
    if component.folder in CHART:
        flags.append(f"-X {component.module}/internal/version.version={component.version}")
    return " ".join(flags)
