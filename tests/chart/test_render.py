"""Does the chart render what its values say, with the rights and the safety that it promises, and refuse the rest?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import HelmError

from chart.release import removal
from chartlib import chart, schema
from docs.documents import Document
from trainyard.api.validation import read_job
from trainyard.settings import Settings, read_settings
from trainyard.settings.explain import file_name
from trainyard.version import VERSION
from verifylib.chart import KUBERNETES
from yardlib import build

Object = dict[str, Any]
SELECTOR = {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}
CI = chart.ci_values()


def of_kind(kind: str, values: Object | None = None) -> list[Object]:
    """Without what only `helm test` makes."""
    found = [thing for thing in chart.objects(values) if thing["kind"] == kind]
    return [thing for thing in found if chart.HOOK not in thing["metadata"].get("annotations", {})]


def the(kind: str, values: Object | None = None) -> Object:
    (found,) = of_kind(kind, values)
    return found


def deployment(values: Object | None = None) -> Object:
    spec: Object = the("Deployment", values)["spec"]
    return spec


def container(values: Object | None = None) -> Object:
    (found,) = deployment(values)["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def settings_file(values: Object | None = None) -> str:
    (found,) = [thing for thing in of_kind("ConfigMap", values) if "settings.yaml" in thing["data"]]
    text: str = found["data"]["settings.yaml"]
    return text


def refusal(values: Object) -> str:
    with pytest.raises(HelmError) as refused:
        chart.objects(values)
    return str(refused.value)


# Settings


@pytest.mark.parametrize("name", CI)
def test_the_operator_takes_the_settings_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(settings_file(CI[name]))
    settings = read_settings({}, str(path))
    assert settings.lease_name == "trainyard-operator"
    assert settings.namespaces == tuple(CI[name].get("watchNamespaces", ()))


def test_settings_reach_the_operator(tmp_path: Path) -> None:
    given = {"ownedNodes": {"pool": "training"}, "leaseDuration": "20s", "workers": 8, "metricsPods": False}
    path = tmp_path / "settings.yaml"
    path.write_text(settings_file({"settings": given}))
    settings = read_settings({}, str(path))
    assert settings.owned_nodes == (("pool", "training"),)
    assert (settings.lease_duration, settings.workers, settings.metrics_pods) == (20.0, 8, False)


def test_every_setting_is_the_users_or_the_charts() -> None:
    told = json.loads((chart.CHART / "values.schema.json").read_text())["properties"]["settings"]["properties"]
    assert set(told) == {file_name(name) for name in set(Settings.model_fields) - schema.CHARTS_OWN}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"replicas": 2}, "replicas"),
        ({"image": {"tags": "1"}}, "tags"),
        ({"metrics": {"serviceMonitor": {"enable": True}}}, "enable"),
        ({"settings": {"ownNodes": {}}}, "ownNodes"),
        ({"settings": {"namespaces": ["a"]}}, "namespaces"),
        ({"settings": {"workers": 1000}}, "workers"),
        ({"settings": {"leaseDuration": "soon"}}, "leaseDuration"),
        ({"settings": {"logLevel": "loud"}}, "logLevel"),
        ({"replicaCount": "two"}, "replicaCount"),
        ({"watchNamespaces": "team-a"}, "watchNamespaces"),
        ({"admissionPolicy": {"actions": ["Refuse"]}}, "actions"),
        ({"image": {"digest": "sha256:short"}}, "digest"),
        ({"terminationGracePeriodSeconds": 5}, "terminationGracePeriodSeconds"),
    ],
)
def test_what_nobody_knows_is_refused_by_name(values: Object, named: str) -> None:
    assert named in refusal(values)


@pytest.mark.parametrize("value", ["90s", "1m30s", "1h", 90, 0.5])
def test_spans_may_be_written_as_the_operator_reads_them(value: object) -> None:
    assert f"backfillBound: {value}" in settings_file({"settings": {"backfillBound": value}})


def test_other_settings_make_other_pods_and_nothing_else_does() -> None:
    def checksum(values: Object) -> str:
        found: str = deployment(values)["template"]["metadata"]["annotations"]["checksum/settings"]
        return found

    plain = checksum({})
    assert checksum({"settings": {"workers": 8}}) != plain
    assert checksum({"watchNamespaces": ["a"]}) != plain
    assert checksum({"replicaCount": 2, "image": {"tag": "x"}}) == plain


# What contradicts itself


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"metrics": {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}}, "choose one"),
        ({"metrics": {"serviceMonitor": {"enabled": True}, "service": {"create": False}}}, "service.create"),
        ({"metrics": {"enabled": False, "podMonitor": {"enabled": True}}}, "nothing for a monitor to read"),
        ({"metrics": {"auth": "kubernetes"}}, "metrics.tls.secretName"),
        ({"settings": {"topologyLevels": {"rack": "a/r", "host": "b/h"}}}, "Helm sorts the keys of a mapping"),
        ({"podDisruptionBudget": {"minAvailable": 1, "maxUnavailable": 1}}, "not both"),
        ({"metrics": {"prometheusRule": {"enabled": True, "disabled": ["NoSuch"]}}}, "there is no alert NoSuch"),
    ],
)
def test_contradictions_are_refused_in_words(values: Object, words: str) -> None:
    assert words in refusal(values)


# Rights


def rules(thing: Object) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in thing["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_a_namespaced_installation_has_nothing_of_the_cluster() -> None:
    values = CI["namespaced"]
    kinds = {thing["kind"] for thing in chart.objects(values)}
    assert not kinds & {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "ValidatingAdmissionPolicy"}
    lease, *jobs = sorted(of_kind("Role", values), key=lambda role: str(role["metadata"]["namespace"]), reverse=True)
    assert [role["metadata"]["namespace"] for role in (lease, *jobs)] == ["trainyard-system", "team-b", "team-a"]
    bindings = {b["metadata"]["namespace"]: b for b in of_kind("RoleBinding", values)}
    for role in (lease, *jobs):
        binding = bindings[role["metadata"]["namespace"]]
        assert binding["roleRef"]["name"] == role["metadata"]["name"]
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": "trainyard-operator", "namespace": "trainyard-system"}
        ]


def test_rights_are_the_same_everywhere_and_in_a_namespace() -> None:
    everywhere = next(r for r in of_kind("ClusterRole") if r["metadata"]["name"] == "trainyard-operator")
    scoped = {"watchNamespaces": ["team-a"]}
    cluster = next(r for r in of_kind("ClusterRole", scoped) if r["metadata"]["name"] == "trainyard-operator")
    namespaced = next(r for r in of_kind("Role", scoped) if r["metadata"]["namespace"] == "team-a")
    assert rules(cluster) | rules(namespaced) == rules(everywhere)
    assert {verb for _, _, verb in rules(cluster)} <= {"get", "list", "watch"}


def test_reviews_are_granted_only_where_tokens_are_asked_for() -> None:
    def reviewed(values: Object) -> bool:
        return any("tokenreviews" in str(role["rules"]) for role in of_kind("ClusterRole", values))

    assert reviewed(CI["full-monitoring"])
    assert not reviewed({})
    scoped = {"watchNamespaces": ["a"], "rbac": {"clusterReads": False}, "metrics": CI["full-monitoring"]["metrics"]}
    assert reviewed(scoped)


@pytest.mark.parametrize("name", CI)
def test_no_role_reaches_a_secret_or_everything(name: str) -> None:
    for role in (*of_kind("Role", CI[name]), *of_kind("ClusterRole", CI[name])):
        for rule in role["rules"]:
            assert "*" not in [*rule.get("apiGroups", []), *rule.get("resources", []), *rule["verbs"]]
            assert not {"secrets", "pods/exec", "roles", "clusterroles"} & set(rule.get("resources", []))


def test_an_account_and_rights_of_ones_own_may_be_brought() -> None:
    values = {"serviceAccount": {"create": False, "name": "mine"}, "rbac": {"create": False}}
    assert of_kind("ServiceAccount", values) == []
    assert of_kind("Role", values) == []
    assert deployment(values)["template"]["spec"]["serviceAccountName"] == "mine"


# Kinds


def test_the_kind_is_the_generated_one_and_kept_unless_asked() -> None:
    source = yaml.safe_load((chart.ROOT / "crds/trainyard.dev_trainingjobs.yaml").read_text())
    rendered = the("CustomResourceDefinition")
    assert rendered["spec"] == source["spec"]
    assert rendered["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert "annotations" not in the("CustomResourceDefinition", {"crds": {"keep": False}})["metadata"]
    assert of_kind("CustomResourceDefinition", {"crds": {"install": False}}) == []


def test_the_kinds_alone_are_those_of_the_whole() -> None:
    """With the labels by which both are found and removed."""
    manifests = chart.ROOT / "manifests"
    alone = list(yaml.safe_load_all((manifests / "crds.yaml").read_text()))
    whole = list(yaml.safe_load_all((manifests / "install.yaml").read_text()))
    assert alone == [thing for thing in whole if thing["kind"] == "CustomResourceDefinition"]
    assert alone[0]["metadata"]["labels"]["app.kubernetes.io/part-of"] == "trainyard"


# Pods


def pods(values: Object) -> list[Object]:
    """Of the operator, of the test, and of the test's job."""
    found = [deployment(values)["template"]["spec"]]
    (tester,) = [thing for thing in chart.objects(values) if thing["kind"] == "Pod"]
    job = json.loads(next(e["value"] for e in tester["spec"]["containers"][0]["env"] if e["name"] == "JOB"))
    return [*found, tester["spec"], job["spec"]["roles"][0]["template"]["spec"]]


@pytest.mark.parametrize("name", CI)
def test_every_pod_meets_the_restricted_level(name: str) -> None:
    for pod in pods(CI[name]):
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for one in pod["containers"]:
            assert one["securityContext"]["allowPrivilegeEscalation"] is False
            assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in one["resources"]["limits"]


def test_the_operators_root_is_read_only() -> None:
    assert container()["securityContext"]["readOnlyRootFilesystem"]
    assert {mount["mountPath"] for mount in container()["volumeMounts"]} == {"/etc/trainyard", "/tmp"}


def test_a_digest_wins_over_a_tag() -> None:
    assert container()["image"] == "trainyard.dev/operator:0.1.0"
    digest = f"sha256:{'a' * 64}"
    image = {"repository": "example.com:5000/ops", "tag": "7", "digest": digest}
    assert container({"image": image})["image"] == f"example.com:5000/ops@{digest}"


@pytest.mark.parametrize("name", CI)
def test_selectors_never_change_and_find_the_operator_alone(name: str) -> None:
    objects = chart.objects(CI[name])
    labels = deployment(CI[name])["template"]["metadata"]["labels"]
    assert set(deployment(CI[name])["selector"]["matchLabels"]) == SELECTOR
    selectors = [
        thing["spec"].get("podSelector") or thing["spec"]["selector"]
        for thing in objects
        if thing["kind"] in ("Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor")
    ]
    (tester,) = [thing for thing in objects if thing["kind"] == "Pod"]
    for selector in selectors:
        wanted = selector.get("matchLabels", selector)
        assert wanted.items() <= labels.items()
        assert not wanted.items() <= tester["metadata"]["labels"].items()


def test_spread_has_the_operators_selector_unless_it_says_its_own() -> None:
    (plain,) = deployment()["template"]["spec"]["topologySpreadConstraints"]
    assert set(plain["labelSelector"]["matchLabels"]) == SELECTOR
    own = {
        "maxSkew": 1,
        "topologyKey": "zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"a": "b"}},
    }
    (kept,) = deployment({"topologySpreadConstraints": [own]})["template"]["spec"]["topologySpreadConstraints"]
    assert kept == own


@pytest.mark.parametrize(
    ("values", "spec"),
    [
        ({}, {"maxUnavailable": 1}),
        ({"maxUnavailable": 0}, {"maxUnavailable": 0}),
        ({"minAvailable": 0}, {"minAvailable": 0}),
        ({"minAvailable": "50%"}, {"minAvailable": "50%"}),
    ],
)
def test_a_budget_of_nought_is_a_budget(values: Object, spec: Object) -> None:
    found = the("PodDisruptionBudget", {"podDisruptionBudget": {"enabled": True, **values}})["spec"]
    assert {key: value for key, value in found.items() if key != "selector"} == spec


# Names


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({}, "trainyard-operator"),
        ({"nameOverride": "yard"}, "trainyard-operator"),
        ({"nameOverride": "rail"}, "trainyard-rail-operator"),
        ({"fullnameOverride": "x" * 60}, f"{'x' * 40}-operator"),
    ],
)
def test_names_follow_the_release(values: Object, name: str) -> None:
    found = the("Deployment", values)
    assert found["metadata"]["name"] == name
    assert f"leaseName: {name}\n" in settings_file(values) + "\n"


def test_common_labels_are_everywhere_but_in_selectors() -> None:
    values = {"commonLabels": {"team": "platform"}, "commonAnnotations": {"owner": "me"}}
    for thing in chart.objects(values):
        if not thing["metadata"]["name"].startswith(("trainyard-powers", "trainyard-jobs")):
            assert thing["metadata"]["annotations"]["owner"] == "me", thing["metadata"]["name"]
        assert thing["metadata"]["labels"]["team"] == "platform", thing["metadata"]["name"]
    assert "team" not in deployment(values)["selector"]["matchLabels"]


# Monitoring


def test_metrics_may_stay_inside_the_pod() -> None:
    values = {"metrics": {"enabled": False}}
    assert "metricsAddress: 127.0.0.1" in settings_file(values)
    assert of_kind("Service", values) == []
    assert [port["name"] for port in container(values)["ports"]] == ["probes"]


def test_monitors_keep_the_labels_of_jobs() -> None:
    (endpoint,) = the("ServiceMonitor", CI["full-monitoring"])["spec"]["endpoints"]
    assert endpoint["honorLabels"] is True
    assert (endpoint["port"], endpoint["scheme"]) == ("metrics", "https")
    assert "bearerTokenFile" in endpoint
    (plain,) = the("PodMonitor", {"metrics": {"podMonitor": {"enabled": True}}})["spec"]["podMetricsEndpoints"]
    assert plain["honorLabels"] is True
    assert "scheme" not in plain


def shipped_rules() -> list[Object]:
    files = sorted((chart.CHART / "rules").glob("*.yaml"))
    return [r for file in files for group in yaml.safe_load(file.read_text())["groups"] for r in group["rules"]]


def test_rules_are_the_shipped_ones_but_for_what_the_values_change() -> None:
    bare = the("PrometheusRule", {"metrics": {"prometheusRule": {"enabled": True}}})["spec"]["groups"]
    rendered = [rule for group in bare for rule in group["rules"]]
    assert sorted(json.dumps(rule, sort_keys=True) for rule in rendered) == sorted(
        json.dumps(rule, sort_keys=True) for rule in shipped_rules()
    )


def test_rules_may_be_disabled_changed_and_linked() -> None:
    told = CI["full-monitoring"]["metrics"]["prometheusRule"]
    groups = the("PrometheusRule", CI["full-monitoring"])["spec"]["groups"]
    alerts = {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}
    shipped = {rule["alert"]: rule for rule in shipped_rules() if "alert" in rule}
    assert set(shipped) - set(alerts) == set(told["disabled"])
    assert alerts["TrainyardNoLeader"]["for"] == "5m"
    assert alerts["TrainyardNoLeader"]["expr"] == shipped["TrainyardNoLeader"]["expr"]
    assert alerts["TrainyardNoLeader"]["labels"] == {"severity": "warning", "team": "platform"}
    for name, alert in alerts.items():
        assert alert["annotations"]["runbook_url"] == f"https://example.com/trainyard/docs/runbooks/{name}.md"
        assert alert["annotations"]["dashboard_url"].startswith("https://grafana.example.com/d/")
        assert alert["annotations"]["description"] == shipped[name]["annotations"]["description"]


def test_dashboards_are_the_shipped_ones() -> None:
    found = [
        thing
        for thing in of_kind("ConfigMap", CI["full-monitoring"])
        if thing["metadata"]["name"].endswith("-dashboard")
    ]
    assert {thing["metadata"]["labels"]["grafana_dashboard"] for thing in found} == {"1"}
    told = {name: json.loads(text) for thing in found for name, text in thing["data"].items()}
    assert told == {file.name: json.loads(file.read_text()) for file in (chart.CHART / "dashboards").glob("*.json")}


# Jobs that are shown and tested


def test_the_notes_show_a_job_that_is_one() -> None:
    for values in ({}, {"watchNamespaces": ["team-a"]}):
        notes = chart.texts(values)["templates/NOTES.txt"]
        text = notes.partition("<<'EOF'\n")[2].partition("     EOF\n")[0]
        job = yaml.safe_load(text)
        read_job(job["metadata"]["name"], job["spec"])
        assert job["metadata"]["namespace"] == (values.get("watchNamespaces") or ["default"])[0]


def test_the_notes_and_the_guide_remove_jobs_before_their_kind_by_the_same_commands() -> None:
    commands = removal()
    assert [command.split()[1:3] for command in commands] == [
        ["delete", "trainingjobs"],
        ["wait", "pods"],
        ["delete", "crd"],
    ]
    guide = (chart.ROOT / "docs/install.md").read_text()
    assert "".join(f"$ {command}\n" for command in commands) in guide
    assert "To remove them too" not in chart.texts({"crds": {"keep": False}})["templates/NOTES.txt"]


def test_the_tests_job_is_one_and_runs_where_it_is_looked_after() -> None:
    for values, namespace in (
        ({}, "trainyard-system"),
        (CI["namespaced"], "team-a"),
        ({"tests": {"namespace": "x"}}, "x"),
    ):
        (tester,) = [thing for thing in chart.objects(values) if thing["kind"] == "Pod"]
        job = json.loads(next(e["value"] for e in tester["spec"]["containers"][0]["env"] if e["name"] == "JOB"))
        read_job("trainyard-test-abcdef", job["spec"])
        assert job["metadata"]["namespace"] == namespace
        (role,) = [
            r for r in chart.objects(values) if r["kind"] == "Role" and r["metadata"]["name"] == "trainyard-test"
        ]
        assert role["metadata"]["namespace"] == namespace


def test_further_objects_are_rendered() -> None:
    as_text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-text'}"
    found = of_kind("ConfigMap", {"extraObjects": [as_text]})
    assert "trainyard-text" in [thing["metadata"]["name"] for thing in found]


# Documents


def shown_values() -> list[tuple[str, Object]]:
    """YAML blocks of the pages about the chart that are values: all their keys are."""
    known = set(yaml.safe_load((chart.CHART / "values.yaml").read_text()))
    found = []
    for page in ("install.md", "observability.md"):
        for block in Document(chart.ROOT / "docs" / page).blocks():
            values = yaml.safe_load(block.text) if block.language == "yaml" else None
            if values and set(values) <= known:
                found.append((f"{page}:{block.line}", values))
    return found


def test_values_that_the_documents_show_are_taken() -> None:
    shown = shown_values()
    assert len(shown) >= 4
    for place, values in shown:
        assert chart.objects(values), place


def test_versions_are_claimed_that_can_be_tried() -> None:
    facts = yaml.safe_load((chart.CHART / "Chart.yaml").read_text())
    assert facts["kubeVersion"] == f">={KUBERNETES[0]}.0-0"
    assert set(KUBERNETES) == set(build.KUBERNETES)
    assert facts["appVersion"] == VERSION
