"""Which rules of a pod-security level a pod breaks: Kubernetes' own `baseline` and `restricted`, latest version.

The same answers as the API server's own admission, given before anything is created. It must not know namespaces: what
they enforce by their labels is the API server's to judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

Raw = Mapping[str, Any]
_NONE: Raw = {}


class PodSecurity(StrEnum):
    """The most that a job's pods may ask for."""

    NAMESPACE = "namespace"
    """Whatever the labels of the job's namespace let the API server admit; the operator adds no rule of its own."""
    PRIVILEGED = "privileged"
    BASELINE = "baseline"
    RESTRICTED = "restricted"


APP_ARMOR_PREFIX = "container.apparmor.security.beta.kubernetes.io/"
BASELINE_CAPABILITIES = frozenset(
    (
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
        "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    )
)  # fmt: skip
_RESTRICTED_CAPABILITIES = frozenset(("NET_BIND_SERVICE",))
_SAFE_SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_notsent_lowat", "net.ipv4.tcp_rmem", "net.ipv4.tcp_slow_start_after_idle",
        "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
    )
)  # fmt: skip
_SELINUX_TYPES = frozenset(("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"))
_CONFINED = frozenset(("RuntimeDefault", "Localhost"))
_RESTRICTED_VOLUMES = frozenset(
    (
        "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected",
        "secret",
    )
)  # fmt: skip
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS = ("postStart", "preStop")


def violations(pod: Raw, level: PodSecurity) -> tuple[str, ...]:
    """Fields of a raw pod that the level forbids, or lacks; empty where it may run."""
    if level in (PodSecurity.NAMESPACE, PodSecurity.PRIVILEGED):
        return ()
    found = [*_baseline(pod)]
    if level is PodSecurity.RESTRICTED:
        found += _restricted(pod["spec"])
    return tuple(dict.fromkeys(found))


def _baseline(pod: Raw) -> Iterator[str]:
    spec: Raw = pod["spec"]
    yield from (f"{key}: true" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key))
    for volume in spec.get("volumes") or ():
        if "hostPath" in volume:
            yield f"volume {volume['name']}: hostPath"
    notes = (pod.get("metadata") or _NONE).get("annotations") or _NONE
    for key, value in notes.items():
        if key.startswith(APP_ARMOR_PREFIX) and not _app_armor_allowed(value):
            yield f"annotation {key}: {value}"
    own = spec.get("securityContext") or _NONE
    for sysctl in own.get("sysctls") or ():
        if sysctl["name"] not in _SAFE_SYSCTLS:
            yield f"securityContext.sysctls: {sysctl['name']}"
    yield from _confinement("", own)
    for where, container in _containers(spec):
        yield from _baseline_container(where, container, user_namespace=spec.get("hostUsers") is False)


def _baseline_container(where: str, container: Raw, *, user_namespace: bool) -> Iterator[str]:
    own = container.get("securityContext") or _NONE
    if own.get("privileged"):
        yield f"{where}securityContext.privileged: true"
    added = (own.get("capabilities") or _NONE).get("add") or ()
    yield from (f"{where}capability {name}" for name in added if name not in BASELINE_CAPABILITIES)
    mount = own.get("procMount") or "Default"
    if mount != "Default" and not user_namespace:
        yield f"{where}securityContext.procMount: {mount}"
    yield from _confinement(where, own)
    for port in container.get("ports") or ():
        if port.get("hostPort"):
            yield f"{where}hostPort {port['hostPort']}"
    if any(_handler_hosts(container)):
        yield f"{where}a host in a probe or lifecycle hook"


def _confinement(where: str, own: Raw) -> Iterator[str]:
    """What the security contexts of pods and containers have in common."""
    if (own.get("windowsOptions") or _NONE).get("hostProcess"):
        yield f"{where}securityContext.windowsOptions.hostProcess: true"
    app_armor = (own.get("appArmorProfile") or _NONE).get("type")
    if app_armor is not None and app_armor not in _CONFINED:
        yield f"{where}securityContext.appArmorProfile: {app_armor}"
    if (own.get("seccompProfile") or _NONE).get("type") == "Unconfined":
        yield f"{where}securityContext.seccompProfile: Unconfined"
    labels = own.get("seLinuxOptions") or _NONE
    if labels.get("type", "") not in _SELINUX_TYPES or labels.get("user") or labels.get("role"):
        yield f"{where}securityContext.seLinuxOptions"


def _restricted(spec: Raw) -> Iterator[str]:
    for volume in spec.get("volumes") or ():
        kinds = volume.keys() - {"name"} or {"emptyDir"}
        if not kinds & _RESTRICTED_VOLUMES and "hostPath" not in kinds:
            yield f"volume {volume['name']}: {', '.join(sorted(kinds))}"
    own = spec.get("securityContext") or _NONE
    for where, container in _containers(spec):
        # Baseline lets pods in a user namespace of their own unmask it; here nobody may.
        mount = (container.get("securityContext") or _NONE).get("procMount") or "Default"
        if mount != "Default":
            yield f"{where}securityContext.procMount: {mount}"
    windows = (spec.get("os") or _NONE).get("name") == "windows"
    if not windows:
        for where, container in _containers(spec):
            yield from _escalation(where, container.get("securityContext") or _NONE)
        yield from _seccomp(spec, own)
    if spec.get("hostUsers") is not False:  # root of a user namespace is nobody outside of it
        yield from _no_root(spec, own)


def _escalation(where: str, own: Raw) -> Iterator[str]:
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{where}securityContext.allowPrivilegeEscalation is not false"
    capabilities = own.get("capabilities") or _NONE
    if "ALL" not in (capabilities.get("drop") or ()):
        yield f"{where}securityContext.capabilities.drop lacks ALL"
    for name in capabilities.get("add") or ():
        if name not in _RESTRICTED_CAPABILITIES:
            yield f"{where}capability {name}"


def _seccomp(spec: Raw, own: Raw) -> Iterator[str]:
    """Every container must be confined, by itself or by its pod."""
    by_pod = (own.get("seccompProfile") or _NONE).get("type")
    for where, container in _containers(spec):
        by_itself = ((container.get("securityContext") or _NONE).get("seccompProfile") or _NONE).get("type")
        if (by_itself or by_pod) not in _CONFINED:
            yield f"{where}securityContext.seccompProfile is not RuntimeDefault or Localhost"


def _no_root(spec: Raw, own: Raw) -> Iterator[str]:
    by_pod = own.get("runAsNonRoot")
    if by_pod is False:
        yield "securityContext.runAsNonRoot: false"
    if own.get("runAsUser") == 0:
        yield "securityContext.runAsUser: 0"
    for where, container in _containers(spec):
        context = container.get("securityContext") or _NONE
        by_itself = context.get("runAsNonRoot")
        if (by_pod if by_itself is None else by_itself) is not True:
            yield f"{where}securityContext.runAsNonRoot is not true"
        if context.get("runAsUser") == 0:
            yield f"{where}securityContext.runAsUser: 0"


def _containers(spec: Raw) -> Iterator[tuple[str, Raw]]:
    """Every container with the words that lead to it."""
    for key in ("initContainers", "containers"):
        for container in spec.get(key) or ():
            yield f"container {container['name']}: ", container


def _handler_hosts(container: Raw) -> Iterable[str]:
    lifecycle = container.get("lifecycle") or _NONE
    handlers = [container.get(key) for key in _PROBES] + [lifecycle.get(key) for key in _HOOKS]
    for handler in handlers:
        for action in ("httpGet", "tcpSocket"):
            yield ((handler or _NONE).get(action) or _NONE).get("host") or ""


def _app_armor_allowed(profile: str) -> bool:
    return profile in ("", "runtime/default") or profile.startswith("localhost/")
