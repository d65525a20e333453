"""Pods for the pod-security levels, each with one thing that matters: for our judgement and for the API server's."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
IMAGE = "trainyard.dev/busybox:1"
GOOD: Object = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
GOOD_POD: Object = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def pod(
    context: Object | None = None,
    *,
    whole: Object | None = None,
    container: Object | None = None,
    init: Object | None = None,
    notes: Object | None = None,
    **spec: Any,
) -> Object:
    """A pod that `restricted` admits, but for what is laid over it."""
    main = {"name": "trainer", "image": IMAGE, "securityContext": {**GOOD, **(context or {})}, **(container or {})}
    body: Object = {"containers": [main], "securityContext": {**GOOD_POD, **(whole or {})}, **spec}
    if init is not None:
        body["initContainers"] = [{"name": "before", "image": IMAGE, **init}]
    meta: Object = {"name": "case", **({"annotations": notes} if notes else {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": body}


def _windows(**context: Any) -> Object:
    """Such a pod may say nothing of what only Linux has."""
    spec = {"os": {"name": "windows"}, "securityContext": context, "containers": [{"name": "trainer", "image": IMAGE}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "case"}, "spec": spec}


def _capabilities(*add: str, drop: tuple[str, ...] = ("ALL",)) -> Object:
    return {"capabilities": {"add": list(add), "drop": list(drop)}}


def _probe(**host: Any) -> Object:
    return {"livenessProbe": {"httpGet": {"path": "/", "port": 80, **host}}}


CASES: dict[str, Object] = {
    "nothing": pod(),
    "bare": {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "case"},
        "spec": {"containers": [{"name": "trainer", "image": IMAGE}]},
    },
    "host network": pod(hostNetwork=True),
    "host pid": pod(hostPID=True),
    "host ipc": pod(hostIPC=True),
    "host port": pod(container={"ports": [{"containerPort": 80, "hostPort": 80}]}),
    "port": pod(container={"ports": [{"containerPort": 80}]}),
    "host path": pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
    "nfs": pod(volumes=[{"name": "v", "nfs": {"server": "a", "path": "/"}}]),
    "empty dir": pod(volumes=[{"name": "v", "emptyDir": {"medium": "Memory"}}]),
    "volume without source": pod(volumes=[{"name": "v"}]),
    "claim": pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]),
    "secret": pod(volumes=[{"name": "v", "secret": {"secretName": "s"}}]),
    "privileged": pod({"privileged": True, "allowPrivilegeEscalation": True}),
    "privileged false": pod({"privileged": False}),
    "privileged init": pod(init={"securityContext": {"privileged": True, "allowPrivilegeEscalation": True}}),
    "good init": pod(init={"securityContext": GOOD}),
    "bare init": pod(init={}),
    "capability of baseline": pod(_capabilities("CHOWN")),
    "net bind": pod(_capabilities("NET_BIND_SERVICE")),
    "ipc lock": pod(_capabilities("IPC_LOCK")),
    "all capabilities": pod(_capabilities("ALL")),
    "drops too little": pod(_capabilities(drop=("NET_RAW",))),
    "drops nothing": pod({"capabilities": {}}),
    "escalation": pod({"allowPrivilegeEscalation": True}),
    "escalation unsaid": pod(container={"securityContext": {"capabilities": {"drop": ["ALL"]}}}),
    "proc mount": pod({"procMount": "Unmasked"}, hostUsers=False),
    "root of a user namespace": pod(whole={"runAsNonRoot": False, "runAsUser": 0}, hostUsers=False),
    "seccomp unconfined pod": pod(whole={"seccompProfile": {"type": "Unconfined"}}),
    "seccomp unconfined container": pod({"seccompProfile": {"type": "Unconfined"}}),
    "seccomp of container": pod({"seccompProfile": {"type": "RuntimeDefault"}}, whole={"seccompProfile": None}),
    "seccomp mended by container": pod(
        {"seccompProfile": {"type": "RuntimeDefault"}}, whole={"seccompProfile": {"type": "Unconfined"}}
    ),
    "seccomp unsaid": pod(whole={"seccompProfile": None}),
    "app armor unconfined": pod({"appArmorProfile": {"type": "Unconfined"}}),
    "app armor of pod": pod(whole={"appArmorProfile": {"type": "Unconfined"}}),
    "app armor confined": pod({"appArmorProfile": {"type": "RuntimeDefault"}}),
    "app armor by annotation": pod(notes={"container.apparmor.security.beta.kubernetes.io/trainer": "unconfined"}),
    "app armor confined by annotation": pod(
        notes={"container.apparmor.security.beta.kubernetes.io/trainer": "runtime/default", "example.com/a": "b"}
    ),
    "selinux level": pod({"seLinuxOptions": {"level": "s0:c1,c2"}}),
    "selinux type": pod({"seLinuxOptions": {"type": "spc_t"}}),
    "selinux usual type": pod(whole={"seLinuxOptions": {"type": "container_t"}}),
    "selinux user": pod(whole={"seLinuxOptions": {"user": "system_u"}}),
    "selinux role": pod(whole={"seLinuxOptions": {"role": "system_r"}}),
    "safe sysctl": pod(whole={"sysctls": [{"name": "net.ipv4.tcp_wmem", "value": "1 2 3"}]}),
    "unsafe sysctl": pod(whole={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}),
    "root": pod({"runAsUser": 0}),
    "root pod": pod(whole={"runAsUser": 0}),
    "user": pod({"runAsUser": 1000}),
    "non-root unsaid": pod(whole={"runAsNonRoot": None}),
    "non-root false": pod(whole={"runAsNonRoot": False}),
    "non-root of container": pod({"runAsNonRoot": True}, whole={"runAsNonRoot": None}),
    "non-root mended by container": pod({"runAsNonRoot": True}, whole={"runAsNonRoot": False}),
    "non-root spoilt by container": pod({"runAsNonRoot": False}),
    "probe": pod(container=_probe()),
    "probe elsewhere": pod(container=_probe(host="example.com")),
    "hook elsewhere": pod(container={"lifecycle": {"preStop": {"tcpSocket": {"port": 1, "host": "a"}}}}),
    "hook of a command": pod(container={"lifecycle": {"preStop": {"exec": {"command": ["true"]}}}}),
    "host process": pod(
        {"windowsOptions": {"hostProcess": True}}, whole={"windowsOptions": {"hostProcess": True}}, hostNetwork=True
    ),
    "windows": _windows(runAsNonRoot=True),
    "windows as anybody": _windows(),
}
