"""The rights that the install manifest gives the operator, for operators that tests start: no test runs it as admin."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from support.yard import ROOT, Cluster
from trainyard.kube.client import Client
from trainyard.kube.resources import Resource

Object = dict[str, Any]
NAME = "trainyard-operator"
RBAC = "rbac.authorization.k8s.io"
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
ROLES = Resource(RBAC, "v1", "roles", "Role")
ROLE_BINDINGS = Resource(RBAC, "v1", "rolebindings", "RoleBinding")
CLUSTER_ROLE_BINDINGS = Resource(RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)


@cache
def shipped(kind: str) -> Object:
    """The operator's ClusterRole, or its Role for the Lease."""
    objects = yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text(encoding="utf-8"))
    found: Object = next(one for one in objects if (one["kind"], one["metadata"]["name"]) == (kind, NAME))
    return found


@cache
def apply_cluster_role(cluster: Cluster) -> None:
    """Once a process: all namespaces' operators share it."""
    cluster.kubectl(
        "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump(shipped("ClusterRole"))
    )


async def bind_account(client: Client, namespace: str) -> None:
    """A service account of this namespace that has these rights and no others."""
    meta = {"name": NAME, "namespace": namespace}
    role = {key: value for key, value in shipped("Role").items() if key != "metadata"}
    await client.create(SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    await client.create(ROLES, {**role, "metadata": meta})
    await client.create(ROLE_BINDINGS, _binding("Role", namespace, meta))
    await client.create(CLUSTER_ROLE_BINDINGS, _binding("ClusterRole", namespace, {"name": cluster_binding(namespace)}))


def cluster_binding(namespace: str) -> str:
    """The one object of the account that does not go with its namespace."""
    return f"{NAME}-{namespace}"


def account_kubeconfig(cluster: Cluster, namespace: str, folder: Path) -> str:
    """A kubeconfig with the account's token and nothing else."""
    config = yaml.safe_load(Path(cluster.kubeconfig).read_text(encoding="utf-8"))
    config["users"][0]["user"] = {"token": cluster.kubectl("-n", namespace, "create", "token", NAME).stdout.strip()}
    path = folder / f"{NAME}.kubeconfig"
    path.write_text(json.dumps(config))
    return str(path)


def _binding(kind: str, namespace: str, meta: Object) -> Object:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": f"{kind}Binding",
        "metadata": meta,
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": NAME},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}],
    }
