"""Does the chart fit what is around it: guarded networks, tainted nodes, private registries, readers of metrics?"""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from helm_python import HelmError

from chartlib import chart

Object = dict[str, Any]
POOL = {
    "imagePullSecrets": [{"name": "registry"}],
    "settings": {"ownedNodes": {"pool": "training"}},
    "tests": {
        "nodeSelector": {"pool": "training"},
        "tolerations": [{"key": "pool", "value": "training", "effect": "NoSchedule"}],
    },
}
CERTIFICATE = {"cert": {"secret": {"name": "c", "key": "tls.crt"}}, "keySecret": {"name": "c", "key": "tls.key"}}
TOKEN = {"credentials": {"name": "reader", "key": "token"}}
TLS = {"secretName": "metrics"}


def the(kind: str, values: Object) -> Object:
    (found,) = [thing for thing in chart.objects(values) if thing["kind"] == kind]
    spec: Object = found["spec"]
    return spec


# The network


@pytest.mark.parametrize("peers", [[], [{"ipBlock": {"cidr": "192.0.2.10/32"}}, {"ipBlock": {"cidr": "10.96.0.1/32"}}]])
def test_the_operator_reaches_the_api_servers_ports_where_the_values_say(peers: list[Object]) -> None:
    policy = the("NetworkPolicy", {"networkPolicy": {"enabled": True, "apiServer": peers}})
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    (out,) = policy["egress"]
    assert out["ports"] == [{"port": 443, "protocol": "TCP"}, {"port": 6443, "protocol": "TCP"}]
    assert out.get("to", []) == peers


@pytest.mark.parametrize("wrong", [{"apiServerPorts": []}, {"apiServer": [{}]}])
def test_a_policy_is_not_opened_by_an_empty_list_or_peer(wrong: Object) -> None:
    """To Kubernetes both mean everything."""
    with pytest.raises(HelmError, match=next(iter(wrong))):
        chart.objects({"networkPolicy": {"enabled": True, **wrong}})


# Jobs that are tested and shown


def shown_jobs(values: Object) -> list[Object]:
    """Pod specs of the job that `helm test` submits, and of the one in the notes."""
    tester = the("Pod", values)["containers"][0]
    tested = json.loads(next(one["value"] for one in tester["env"] if one["name"] == "JOB"))
    notes = chart.texts(values)["templates/NOTES.txt"]
    noted = yaml.safe_load(notes.partition("<<'EOF'\n")[2].partition("     EOF\n")[0])
    return [job["spec"]["roles"][0]["template"]["spec"] for job in (tested, noted)]


def test_jobs_that_are_shown_get_onto_tainted_nodes_and_their_image_in() -> None:
    for pod in shown_jobs(POOL):
        assert pod["imagePullSecrets"] == POOL["imagePullSecrets"]
        assert {"nodeSelector": pod["nodeSelector"], "tolerations": pod["tolerations"]} == POOL["tests"]
    for pod in shown_jobs({}):
        assert not {"imagePullSecrets", "nodeSelector", "tolerations"} & set(pod)


# Readers of metrics


def monitored(name: str, monitor: Object, **metrics: Any) -> Object:
    """The endpoint of a monitor."""
    kind, field = {
        "serviceMonitor": ("ServiceMonitor", "endpoints"),
        "podMonitor": ("PodMonitor", "podMetricsEndpoints"),
    }[name]
    (endpoint,) = the(kind, {"metrics": {**metrics, name: {"enabled": True, **monitor}}})[field]
    found: Object = endpoint
    return found


@pytest.mark.parametrize("name", ["serviceMonitor", "podMonitor"])
@pytest.mark.parametrize("config", [{}, {"serverName": "x"}, {"cert": CERTIFICATE["cert"]}], ids=str)
def test_a_reader_without_a_certificate_is_refused_where_one_is_asked_for(name: str, config: Object) -> None:
    with pytest.raises(HelmError, match=rf"metrics\.{name}\.tlsConfig has none to show"):
        monitored(name, {"tlsConfig": config}, tls={**TLS, "clientCAKey": "ca.crt"})


@pytest.mark.parametrize("name", ["serviceMonitor", "podMonitor"])
def test_a_reader_shows_the_certificate_and_token_that_the_values_name(name: str) -> None:
    monitor = {"tlsConfig": CERTIFICATE, "authorization": TOKEN}
    endpoint = monitored(name, monitor, auth="kubernetes", tls={**TLS, "clientCAKey": "ca.crt"})
    assert (endpoint["tlsConfig"], endpoint["authorization"]) == (CERTIFICATE, TOKEN)
    assert "bearerTokenFile" not in endpoint, "both exclude each other"


def test_only_a_service_monitor_reads_files() -> None:
    endpoint = monitored("serviceMonitor", {}, auth="kubernetes", tls=TLS)
    assert endpoint["bearerTokenFile"].startswith("/var/run/secrets/")
    assert "bearerTokenFile" not in monitored("serviceMonitor", {}, tls=TLS)
    files = {"certFile": "/c", "keyFile": "/k"}
    assert monitored("serviceMonitor", {"tlsConfig": files}, tls={**TLS, "clientCAKey": "ca.crt"})["tlsConfig"] == files
    with pytest.raises(HelmError, match="certFile"):
        monitored("podMonitor", {"tlsConfig": files}, tls=TLS)
    with pytest.raises(HelmError, match=r"metrics\.podMonitor\.authorization"):
        monitored("podMonitor", {}, auth="kubernetes", tls=TLS)
