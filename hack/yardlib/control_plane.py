"""etcd, API server, controller manager and scheduler of one cluster, as processes of this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from yardlib import build, cgroups, kubeconfig, process
from yardlib.api import Api
from yardlib.errors import YardError
from yardlib.pki import Authority, Identity
from yardlib.process import Program
from yardlib.profiles import PROFILES
from yardlib.slots import Addresses
from yardlib.spec import ClusterSpec

API_PORT = 6443
ETCD_PORT = 2379
READY_SECONDS = 120.0
PARTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster's fixed facts: what was asked for, its addresses, its folders."""

    spec: ClusterSpec
    addresses: Addresses
    state: Path

    @property
    def api_host(self) -> str:
        """Real nodes need the bridge's address; without any, the loopback needs neither bridge nor root."""
        return self.addresses.gateway if self.spec.nodes else self.addresses.loopback

    @property
    def authority(self) -> Authority:
        """The cluster's certificate authority."""
        return Authority(self.state / "pki")

    @property
    def admin_kubeconfig(self) -> Path:
        """For the person at the terminal, and for all tests."""
        return self.state / "kubeconfig"

    @property
    def control(self) -> Path:
        """Pid files, logs and settings of the control plane."""
        return self.state / "control"

    def group(self, *parts: str) -> Path | None:
        """The control group for a process of ours, where control groups can be had."""
        if not cgroups.available():
            return None
        return cgroups.create(cgroups.path_of(self.addresses.slot, *parts))

    def admin(self) -> Identity:
        """The certificate of the cluster's administrator."""
        return self.authority.issue("admin", "kubernetes-admin", "system:masters")

    def api(self) -> Api:
        """Requests as the administrator."""
        return Api(self.api_host, API_PORT, self.authority.certificate, self.admin())

    def write_kubeconfig(self, path: Path, identity: Identity) -> Path:
        """A kubeconfig of this cluster for that identity."""
        return kubeconfig.write(
            path,
            cluster=self.spec.name,
            server=f"https://{self.api_host}:{API_PORT}",
            authority=self.authority.certificate,
            identity=identity,
        )


def prepare(cluster: Cluster) -> None:
    """Certificates, kubeconfigs and settings; does nothing twice."""
    cluster.control.mkdir(parents=True, exist_ok=True)
    authority = cluster.authority
    authority.create()
    addresses = cluster.addresses
    authority.issue(
        "apiserver",
        "kube-apiserver",
        names=[
            *(f"DNS:{name}" for name in ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")),
            *(f"IP:{ip}" for ip in (addresses.gateway, addresses.loopback, addresses.first_service)),
        ],
    )
    authority.issue("kubelet-client", "kube-apiserver-kubelet-client", "system:masters")
    cluster.write_kubeconfig(cluster.admin_kubeconfig, cluster.admin())
    for user in ("kube-controller-manager", "kube-scheduler"):
        cluster.write_kubeconfig(cluster.control / f"{user}.kubeconfig", authority.issue(user, f"system:{user}"))
    (cluster.control / "scheduler.json").write_text(json.dumps(scheduler_config(cluster), indent=1) + "\n")
    (cluster.control / "audit-policy.json").write_text(json.dumps(AUDIT_POLICY, indent=1) + "\n")


# What programs of ours ask as service accounts; the cluster's own controllers would fill the log many times over.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
        {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
        {"level": "None"},
    ],
}


def scheduler_config(cluster: Cluster) -> dict[str, object]:
    """The scheduler's settings: only the connection differs from its defaults."""
    connection: dict[str, object] = {"kubeconfig": str(cluster.control / "kube-scheduler.kubeconfig")}
    qps = PROFILES[cluster.spec.profile].scheduler_qps
    if qps is not None:
        connection |= {"qps": qps, "burst": qps}
    return {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        "clientConnection": connection,
    }


def etcd_args(cluster: Cluster) -> list[str]:
    """On the loopback only, and without fsync: this data is worth no disk's time."""
    client = f"http://{cluster.addresses.loopback}:{ETCD_PORT}"
    peer = f"http://{cluster.addresses.loopback}:{ETCD_PORT + 1}"
    return [
        f"--data-dir={cluster.state / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--quota-backend-bytes=8589934592",
        "--log-level=warn",
    ]


def api_server_args(cluster: Cluster) -> list[str]:
    """A server as strict towards nodes as any real one (Node authoriser, NodeRestriction)."""
    addresses, pki = cluster.addresses, cluster.state / "pki"
    arguments = [
        f"--etcd-servers=http://{addresses.loopback}:{ETCD_PORT}",
        f"--bind-address={cluster.api_host}",
        f"--advertise-address={addresses.gateway}",
        f"--secure-port={API_PORT}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--service-account-key-file={pki / 'sa.pub'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={addresses.services}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
        f"--kubelet-client-key={pki / 'kubelet-client.key'}",
        "--kubelet-preferred-address-types=InternalIP",
        *PROFILES[cluster.spec.profile].api_server,
    ]
    if cluster.spec.audit:
        arguments += [
            f"--audit-policy-file={cluster.control / 'audit-policy.json'}",
            f"--audit-log-path={cluster.control / 'audit.log'}",
            "--audit-log-maxsize=1000",
        ]
    return arguments


def controller_manager_args(cluster: Cluster) -> list[str]:
    """All controllers of a stock cluster."""
    config, pki = cluster.control / "kube-controller-manager.kubeconfig", cluster.state / "pki"
    return [
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        f"--bind-address={cluster.addresses.loopback}",
        "--leader-elect=false",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={pki / 'sa.key'}",
        f"--root-ca-file={pki / 'ca.crt'}",
        f"--cluster-signing-cert-file={pki / 'ca.crt'}",
        f"--cluster-signing-key-file={pki / 'ca.key'}",
        f"--flex-volume-plugin-dir={cluster.control / 'volume-plugins'}",  # it would make a folder in /usr/libexec
        *PROFILES[cluster.spec.profile].controller_manager,
    ]


def scheduler_args(cluster: Cluster) -> list[str]:
    """Everything else stands in its file."""
    config = cluster.control / "kube-scheduler.kubeconfig"
    return [
        f"--config={cluster.control / 'scheduler.json'}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        f"--bind-address={cluster.addresses.loopback}",
    ]


_ARGUMENTS = {
    "etcd": etcd_args,
    "kube-apiserver": api_server_args,
    "kube-controller-manager": controller_manager_args,
    "kube-scheduler": scheduler_args,
}


def program(cluster: Cluster, part: str) -> Program:
    """One part of the control plane, ready to run."""
    if part not in _ARGUMENTS:
        raise YardError(f"the control plane has no part '{part}'", f"its parts: {', '.join(PARTS)}")
    return Program(
        name=part,
        argv=[str(build.binary(part, cluster.spec.kubernetes)), *_ARGUMENTS[part](cluster)],
        folder=cluster.control,
        cgroup=cluster.group("control"),
        listens=listens(cluster, part),
    )


def listens(cluster: Cluster, part: str) -> list[tuple[str, int]]:
    """The addresses that must be free before that part is started, also after it was killed."""
    loopback = cluster.addresses.loopback
    if part == "etcd":
        return [(loopback, ETCD_PORT), (loopback, ETCD_PORT + 1)]
    return [(cluster.api_host, API_PORT)] if part == "kube-apiserver" else []


def start(cluster: Cluster) -> None:
    """Starts what does not run and waits until pods could be created."""
    for part in PARTS[:2]:
        process.ensure(program(cluster, part))
    wait_serving(cluster)
    for part in PARTS[2:]:  # not before the server has its roles: without permissions they give up at once
        process.ensure(program(cluster, part))
    wait_ready(cluster)


def wait_serving(cluster: Cluster) -> None:
    """Until the API server says that it is ready."""
    api = cluster.api()
    _wait(cluster, api.ready, PARTS[:2], "the API server")


def wait_ready(cluster: Cluster) -> None:
    """Until the namespace `default` has its service account too, without which no pod is admitted."""
    wait_serving(cluster)
    api = cluster.api()
    account = "/api/v1/namespaces/default/serviceaccounts/default"
    _wait(cluster, lambda: api.find(account) is not None, PARTS, "the controller manager")


def _wait(cluster: Cluster, condition: Callable[[], bool], parts: Sequence[str], what: str) -> None:
    programs = [program(cluster, part) for part in parts]
    process.wait_until_alive(programs, condition, seconds=READY_SECONDS, what=what)


def restart(cluster: Cluster, part: str) -> None:
    """Kills one part as a crash would and starts it again."""
    one = program(cluster, part)
    process.stop(one.pid_file, kill=True)
    process.ensure(one)
    wait_ready(cluster)
