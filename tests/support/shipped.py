"""The rights that the install manifest gives the operator, for operators that tests start: no test runs it as admin."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from support.yard import ROOT, Cluster

Object = dict[str, Any]
NAME = "trainyard-operator"
RBAC = "rbac.authorization.k8s.io"


@cache
def shipped_roles() -> tuple[Object, Object]:
    """The operator's ClusterRole, and its Role for the Lease."""
    objects = list(yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text(encoding="utf-8")))
    of_cluster, of_home = (
        next(one for one in objects if (one["kind"], one["metadata"]["name"]) == (kind, NAME))
        for kind in ("ClusterRole", "Role")
    )
    return of_cluster, of_home


def account_kubeconfig(cluster: Cluster, namespace: str, folder: Path) -> str:
    """A kubeconfig with the token of a service account in this namespace that has these rights and no others."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump_all(_of(namespace)))
    token = cluster.kubectl("-n", namespace, "create", "token", NAME).stdout.strip()
    config = json.loads(cluster.kubectl("config", "view", "--minify", "--raw", "-o", "json").stdout)
    config["users"][0]["user"] = {"token": token}
    path = folder / f"{NAME}.kubeconfig"
    path.write_text(json.dumps(config))
    return str(path)


def forget_account(cluster: Cluster, namespace: str) -> None:
    """What of it does not go with its namespace."""
    cluster.kubectl("delete", "clusterrolebinding", f"{NAME}-{namespace}", "--ignore-not-found", "--wait=false")


def _of(namespace: str) -> list[Object]:
    of_cluster, of_home = shipped_roles()
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": namespace}}
    home = {**of_home, "metadata": {"name": NAME, "namespace": namespace}}
    return [
        account,
        of_cluster,
        home,
        _binding("ClusterRole", namespace, {"name": f"{NAME}-{namespace}"}),
        _binding("Role", namespace, {"name": NAME, "namespace": namespace}),
    ]


def _binding(kind: str, namespace: str, meta: Object) -> Object:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": f"{kind}Binding",
        "metadata": meta,
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": NAME},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}],
    }
