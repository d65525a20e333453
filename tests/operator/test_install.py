"""Does the install manifest give the operator what it uses and nothing else, and can it be run restricted?"""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import yaml

from trainyard.api.constants import GROUP, PLURAL
from trainyard.kube import resources
from trainyard.kube.resources import EVENTS, LEASES, SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS, Resource
from trainyard.settings import Settings
from trainyard.settings.explain import env_name
from verifylib.tree import ROOT

Rule = dict[str, list[str]]


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((ROOT / "manifests/install.yaml").read_text(encoding="utf-8")))


def find(documents: list[dict[str, Any]], kind: str, name: str = "trainyard-operator") -> dict[str, Any]:
    (found,) = [d for d in documents if d["kind"] == kind and d["metadata"]["name"] == name]
    return found


@pytest.fixture
def rules(documents: list[dict[str, Any]]) -> list[Rule]:
    found: list[Rule] = find(documents, "ClusterRole")["rules"]
    return found


@pytest.fixture
def pod(documents: list[dict[str, Any]]) -> dict[str, Any]:
    spec: dict[str, Any] = find(documents, "Deployment")["spec"]["template"]["spec"]
    return spec


def verbs(rules: list[Rule], group: str, plural: str) -> set[str]:
    return {
        verb for rule in rules if group in rule["apiGroups"] and plural in rule["resources"] for verb in rule["verbs"]
    }


UNWATCHED = (LEASES, EVENTS, SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS)
WATCHED = [r for r in vars(resources).values() if isinstance(r, Resource) and r not in UNWATCHED]


@pytest.mark.parametrize("resource", WATCHED, ids=str)
def test_every_watched_resource_may_be_watched(rules: list[Rule], resource: Resource) -> None:
    assert {"list", "watch"} <= verbs(rules, resource.group, resource.plural)


@pytest.mark.parametrize(
    ("group", "plural", "writes"),
    [
        (GROUP, PLURAL, {"delete"}),
        (GROUP, f"{PLURAL}/status", {"patch"}),
        ("", "pods", {"create", "delete"}),
        ("", "configmaps", {"create", "delete"}),
        ("", "services", {"create"}),
        ("", "persistentvolumeclaims", {"create"}),
        ("", "nodes", set()),
        ("", "persistentvolumes", set()),
        ("", "secrets", set()),
        ("", "pods/exec", set()),
        ("events.k8s.io", "events", {"create", "patch"}),
    ],
)
def test_writes_are_the_least_that_works(rules: list[Rule], group: str, plural: str, writes: set[str]) -> None:
    assert verbs(rules, group, plural) - {"get", "list", "watch"} == writes


def test_no_rule_is_a_wildcard_or_touches_secrets(documents: list[dict[str, Any]]) -> None:
    for document in documents:
        for rule in document.get("rules", []):
            assert "*" not in rule["apiGroups"] + rule["resources"] + rule["verbs"]
            assert not {"secrets", "serviceaccounts", "roles", "clusterroles"} & set(rule["resources"])


def test_the_lease_is_the_settings_lease_in_the_operators_own_namespace(documents: list[dict[str, Any]]) -> None:
    settings = Settings()
    role = find(documents, "Role")
    assert role["metadata"]["namespace"] == settings.home
    assert [rule.get("resourceNames") for rule in role["rules"]] == [None, [settings.lease_name]]
    assert verbs(role["rules"], LEASES.group, LEASES.plural) == {"create", "get", "update"}


def test_the_pod_meets_the_restricted_standard(documents: list[dict[str, Any]], pod: dict[str, Any]) -> None:
    labels = find(documents, "Namespace", "trainyard-system")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == 65532
    (container,) = pod["containers"]
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}


def test_the_pod_knows_itself_and_nothing_else_sets_settings(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    known = {env_name(name) for name in Settings.model_fields}
    assert {entry["name"] for entry in container["env"]} <= known
    assert not pod["enableServiceLinks"]
    assert pod["terminationGracePeriodSeconds"] > 10


def test_probes_and_service_ask_the_ports_that_are_served(documents: list[dict[str, Any]], pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    ports = {port["containerPort"]: port["name"] for port in container["ports"]}
    assert set(ports) == {Settings().http_port, Settings().metrics_port}
    probes = ports[Settings().http_port]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": probes}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": probes}
    service = find(documents, "Service", "trainyard-metrics")
    labels = find(documents, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert service["spec"]["ports"][0]["targetPort"] == ports[Settings().metrics_port]


def test_nothing_of_it_says_that_helm_manages_it(documents: list[dict[str, Any]]) -> None:
    for document in documents:
        meta = document["metadata"]
        assert not [key for key in {**meta.get("labels", {}), **meta.get("annotations", {})} if "helm" in key]
        assert meta["labels"].get("app.kubernetes.io/managed-by") is None
        assert meta["labels"]["app.kubernetes.io/name"] == "trainyard"


def test_another_image_can_be_asked_for() -> None:
    command = [str(ROOT / "hack/manifests"), "--image", "example.com/operator:1"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (deployment,) = [d for d in yaml.safe_load_all(told) if d["kind"] == "Deployment"]
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "example.com/operator:1"
