"""The settings of one real node's programs, as data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from yardlib import cgroups
from yardlib.control_plane import Cluster
from yardlib.paths import runtime_root
from yardlib.profiles import PROFILES

PAUSE_IMAGE = "trainyard.dev/pause:1"
CNI_PLUGINS = "/usr/lib/cni"
Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class RealNode:
    """One node of one cluster: its names, addresses and folders."""

    cluster: Cluster
    index: int

    @property
    def name(self) -> str:
        """As `kubectl get nodes` shows it."""
        return f"node-{self.index}"

    @property
    def address(self) -> str:
        """On the cluster's bridge."""
        return self.cluster.addresses.node(self.index)

    @property
    def folder(self) -> Path:
        """Its disk: images, volumes, logs, settings."""
        return self.cluster.state / "nodes" / self.name

    @property
    def runtime(self) -> Path:
        """Sockets and what does not survive a reboot; short, since socket paths are bounded."""
        return runtime_root() / str(self.cluster.addresses.slot) / self.name

    @property
    def socket(self) -> Path:
        """containerd's."""
        return self.runtime / "containerd.sock"

    @property
    def device_plugins(self) -> Path:
        """What this node's kubelet sees as its fixed folder for device plugins."""
        return self.runtime / "dp"

    @property
    def faults(self) -> Path:
        """The list of its broken devices."""
        return self.folder / "faults"

    @property
    def group(self) -> str:
        """The control group of everything on it."""
        return cgroups.path_of(self.cluster.addresses.slot, self.name)


def containerd(node: RealNode) -> str:
    """containerd's TOML."""
    return f"""\
version = 2
root = "{node.folder}/containerd"
state = "{node.runtime}/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"]

[grpc]
  address = "{node.socket}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Without CAP_SYS_RESOURCE a lower score than one's own is refused, and the container with it.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{node.folder}/cni"
"""


def cni(node: RealNode) -> Json:
    """A bridge for the node's pods, addresses from its own range."""
    ranges = [[{"subnet": node.cluster.addresses.pods(node.index)}]]
    bridge: Json = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": f"{node.runtime}/ipam",
            "ranges": ranges,
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    portmap: Json = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "yard", "plugins": [bridge, portmap]}


def kubelet(node: RealNode) -> Json:
    """A kubelet with stock timers, but for the profile's lease."""
    pki = node.cluster.state / "pki"
    config: Json = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.address,
        "port": 10250,
        "healthzPort": 0,
        "tlsCertFile": str(pki / f"{node.name}.crt"),
        "tlsPrivateKeyFile": str(pki / f"{node.name}.key"),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": node.group,
        "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{node.socket}",
        "imageServiceEndpoint": f"unix://{node.socket}",
        "clusterDNS": [node.cluster.addresses.gateway],
        "clusterDomain": "cluster.local",
        "resolvConf": str(node.folder / "resolv.conf"),
        # The machine's disk and memory are shared by all nodes: no node shall clean up on account of the others.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "volumePluginDir": str(node.folder / "volume-plugins"),
        "podLogsDir": str(node.folder / "pod-logs"),
        "nodeLeaseDurationSeconds": PROFILES[node.cluster.spec.profile].node_lease_seconds,
    }
    if config["nodeLeaseDurationSeconds"] != 40:
        config["nodeStatusUpdateFrequency"] = "2s"
    return config


def kube_proxy(node: RealNode) -> Json:
    """kube-proxy by nftables, inside the node's own network."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "bindAddress": node.address,
        "clientConnection": {"kubeconfig": str(node.cluster.control / "kube-proxy.kubeconfig")},
        "clusterCIDR": node.cluster.addresses.network,
        "hostnameOverride": node.name,
        "mode": "nftables",
        "healthzBindAddress": f"{node.address}:10256",
        "metricsBindAddress": f"{node.address}:10249",
        "conntrack": {"maxPerCore": 0, "min": 0},
    }
