"""CoreDNS on the cluster's bridge: what pods ask for names."""

from __future__ import annotations

from yardlib import build, process
from yardlib.control_plane import Cluster
from yardlib.process import Program

# Denials are kept for a second only: a rank that asks for a neighbour just before it exists must see it soon.
COREFILE = """\
cluster.local:53 {{
    bind {address}
    errors
    health {loopback}:8080
    ready {loopback}:8181
    cache {{
        success 9984 5
        denial 9984 1
    }}
    kubernetes cluster.local {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 5
    }}
}}
"""


def server(cluster: Cluster) -> Program:
    """CoreDNS, ready to run."""
    return Program(
        name="coredns",
        argv=[str(build.binary("coredns")), "-conf", str(cluster.control / "Corefile"), "-quiet"],
        folder=cluster.control,
        cgroup=cluster.group("control"),
    )


def corefile(cluster: Cluster) -> str:
    """The settings; queries for names outside the cluster are refused, since nothing outside can be reached."""
    return COREFILE.format(
        address=cluster.addresses.gateway,
        loopback=cluster.addresses.loopback,
        kubeconfig=cluster.admin_kubeconfig,
    )


def start(cluster: Cluster) -> None:
    """Starts it unless it runs."""
    (cluster.control / "Corefile").write_text(corefile(cluster))
    process.ensure(server(cluster))
