"""Does one pod look as the job, its role and the record want it?"""

from dataclasses import replace
from typing import Any

import pytest

from launch.builders import REQUIRED, SETTINGS, UID, env_of, make_job, make_record, node_affinity, role
from trainyard.api.names import uid5
from trainyard.launch import LaunchSettings, overridden, render_pod, render_pods
from trainyard.model.cluster import Avoided
from trainyard.model.podspec import checkpoint_place
from trainyard.model.translate import job_view
from trainyard.model.views import JobView

Json = dict[str, Any]
SHORT = uid5(UID)


def rendered(
    job: JobView, rank: int = 0, *, placed: bool = True, settings: LaunchSettings = SETTINGS, **more: Any
) -> Json:
    return render_pod(job, make_record(job, placed=placed), rank, settings, **more)


def spec_with(**pod: Any) -> Json:
    spec: Json = rendered(make_job(role(pod=pod)))["spec"]
    return spec


def told(job: JobView) -> tuple[str, ...]:
    return overridden(job, "worker", SETTINGS)


class TestMetadata:
    def test_name_host_and_domain(self) -> None:
        pod = rendered(make_job(), 1)
        assert pod["metadata"]["name"] == pod["spec"]["hostname"] == f"gpt-{SHORT}-a2-worker-1"
        assert pod["spec"]["subdomain"] == f"gpt-{SHORT}"
        assert pod["metadata"]["namespace"] == "research"

    def test_owner(self) -> None:
        assert rendered(make_job())["metadata"]["ownerReferences"] == [
            {
                "apiVersion": "trainyard.dev/v1alpha1",
                "kind": "TrainingJob",
                "name": "gpt",
                "uid": UID,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ]

    def test_labels(self) -> None:
        job = make_job(role("ps", 1, completes=False), role("worker", 2))
        assert rendered(job, 2)["metadata"]["labels"] == {
            "trainyard.dev/job": "gpt",
            "trainyard.dev/job-uid": UID,
            "trainyard.dev/role": "worker",
            "trainyard.dev/index": "1",
            "trainyard.dev/rank": "2",
            "trainyard.dev/attempt": "2",
        }

    def test_inherited_and_own_labels(self) -> None:
        settings = LaunchSettings(inherit_labels=("team", "cost", "none"), inherit_annotations=("mail",))
        meta = {"labels": {"team": "a", "cost": "7", "x": "y"}, "annotations": {"mail": "m", "secret": "s"}}
        own = {"labels": {"cost": "9", "app": "train"}, "annotations": {"note": "n"}}
        got = rendered(make_job(role(meta=own), meta=meta), settings=settings)["metadata"]
        labels = {key: value for key, value in got["labels"].items() if "trainyard.dev" not in key}
        assert labels == {"team": "a", "cost": "9", "app": "train"}
        assert got["annotations"] == {
            "karpenter.sh/do-not-disrupt": "true",
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
            "mail": "m",
            "note": "n",
        }

    def test_the_templates_own_word_on_eviction_wins(self) -> None:
        key = "cluster-autoscaler.kubernetes.io/safe-to-evict"
        job = make_job(role(meta={"annotations": {key: "true"}}))
        assert rendered(job)["metadata"]["annotations"][key] == "true"
        assert told(job) == (f"annotation {key}",)


class TestSpec:
    def test_what_every_pod_gets(self) -> None:
        spec = spec_with()
        assert spec["restartPolicy"] == "Never"
        assert spec["automountServiceAccountToken"] is False
        assert "dnsPolicy" not in spec
        assert "priorityClassName" not in spec
        assert spec["containers"][0]["terminationMessagePolicy"] == "FallbackToLogsOnError"
        assert {"name": "trainyard-shm", "emptyDir": {"medium": "Memory"}} in spec["volumes"]

    def test_the_rest_of_the_template_stays(self) -> None:
        inits = [{"name": "fetch", "image": "f"}, {"name": "proxy", "image": "p", "restartPolicy": "Always"}]
        job = make_job(
            role(
                pod={"initContainers": inits, "serviceAccountName": "sa", "volumes": [{"name": "v", "emptyDir": {}}]},
                container={"command": ["torchrun"], "args": ["--x=$(TRAINYARD_RANK)"], "workingDir": "/w"},
            )
        )
        spec = rendered(job)["spec"]
        assert [{k: c[k] for k in init} for c, init in zip(spec["initContainers"], inits, strict=True)] == inits
        assert all(c["terminationMessagePolicy"] == "FallbackToLogsOnError" for c in spec["initContainers"])
        assert spec["serviceAccountName"] == "sa"
        assert spec["volumes"][0] == {"name": "v", "emptyDir": {}}
        trainer = spec["containers"][0]
        assert (trainer["command"], trainer["args"], trainer["workingDir"]) == (
            ["torchrun"],
            ["--x=$(TRAINYARD_RANK)"],
            "/w",
        )

    def test_only_the_trainer_is_equipped(self) -> None:
        containers = [{"name": "logger", "image": "l"}, {"name": "trainer", "image": "t"}]
        logger, trainer = rendered(make_job(role(pod={"containers": containers}, gpus=1)))["spec"]["containers"]
        assert logger == {"name": "logger", "image": "l", "terminationMessagePolicy": "FallbackToLogsOnError"}
        assert trainer["resources"]["limits"] == {"nvidia.com/gpu": "1"}
        assert trainer["env"]

    def test_without_that_name_the_first_is_the_trainer(self) -> None:
        containers = [{"name": "main", "image": "t"}, {"name": "logger", "image": "l"}]
        spec = spec_with(containers=containers)
        assert "env" in spec["containers"][0]
        assert "env" not in spec["containers"][1]

    @pytest.mark.parametrize(
        "pod, message",
        [
            ({"automountServiceAccountToken": True}, "automountServiceAccountToken"),
            ({"hostNetwork": True, "dnsPolicy": "Default"}, "dnsPolicy"),
        ],
    )
    def test_what_the_pod_says_otherwise(self, pod: Json, message: str) -> None:
        job = make_job(role(pod=pod))
        assert told(job) == (message,)
        spec = rendered(job)["spec"]
        assert {key: spec[key] for key in pod} == pod

    def test_saying_the_same_overrides_nothing(self) -> None:
        container = {"terminationMessagePolicy": "FallbackToLogsOnError"}
        assert told(make_job(role(pod={"automountServiceAccountToken": False}, container=container))) == ()

    def test_its_own_termination_messages(self) -> None:
        job = make_job(role(container={"terminationMessagePolicy": "File"}))
        assert rendered(job)["spec"]["containers"][0]["terminationMessagePolicy"] == "File"
        assert told(job) == ("terminationMessagePolicy of container trainer",)

    def test_priority_class(self) -> None:
        job = make_job(scheduling={"priorityClassName": "high"})
        assert rendered(job)["spec"]["priorityClassName"] == "high"

    def test_a_host_ipc_pod_keeps_its_nodes_shared_memory(self) -> None:
        job = make_job(role(pod={"hostIPC": True}))
        assert all(v["name"] != "trainyard-shm" for v in rendered(job)["spec"]["volumes"])
        assert told(job) == ("volume at /dev/shm",)

    def test_an_invalid_job_renders_nothing(self) -> None:
        job = job_view({"metadata": {"name": "x", "namespace": "n", "uid": "u"}, "spec": {}})
        with pytest.raises(ValueError, match="not valid"):
            list(render_pods(job, make_record(make_job()), [0], SETTINGS))

    def test_a_record_of_other_roles_renders_nothing(self) -> None:
        record = make_record(make_job(role("ps", 1), role("worker", 1)))
        with pytest.raises(ValueError, match=r"attempt 2 has roles that the spec has not: \['ps'\]"):
            render_pod(make_job(role("worker", 2)), record, 1, SETTINGS)


class TestDevices:
    def test_accelerators(self) -> None:
        accelerator = {
            "resource": "amd.com/gpu",
            "nodeSelector": {"gpu": "mi300", "pool": "a"},
            "tolerations": [{"key": "amd.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        }
        own = {"nodeSelector": {"pool": "b"}, "tolerations": [{"key": "spot", "operator": "Exists"}]}
        job = make_job(role(gpus=8, pod=own), role("ps", 1, completes=False), accelerator=accelerator)
        spec = rendered(job)["spec"]
        assert spec["containers"][0]["resources"] == {
            "limits": {"amd.com/gpu": "8"},
            "requests": {"amd.com/gpu": "8"},
        }
        assert spec["nodeSelector"] == {"gpu": "mi300", "pool": "b"}
        assert spec["tolerations"] == [*own["tolerations"], *accelerator["tolerations"]]
        assert told(job) == ("nodeSelector pool",)
        server = rendered(job, 2)["spec"]
        assert "resources" not in server["containers"][0]
        assert not {"nodeSelector", "tolerations"} & server.keys()

    def test_a_toleration_is_not_said_twice(self) -> None:
        toleration = {"key": "g", "operator": "Exists"}
        job = make_job(role(gpus=1, pod={"tolerations": [toleration]}), accelerator={"tolerations": [toleration]})
        assert rendered(job)["spec"]["tolerations"] == [toleration]

    def test_other_resources_stay(self) -> None:
        resources = {"limits": {"memory": "1Gi"}, "requests": {"cpu": "2"}}
        spec = rendered(make_job(role(gpus=2, container={"resources": resources})))["spec"]
        assert spec["containers"][0]["resources"] == {
            "limits": {"memory": "1Gi", "nvidia.com/gpu": "2"},
            "requests": {"cpu": "2", "nvidia.com/gpu": "2"},
        }

    def test_rdma(self) -> None:
        job = make_job(role(gpus=8), role("cpu", 1), rdma={"resource": "rdma/hca", "perPod": 2})
        trainer = rendered(job)["spec"]["containers"][0]
        assert trainer["resources"]["limits"] == {"nvidia.com/gpu": "8", "rdma/hca": "2"}
        assert trainer["securityContext"] == {"capabilities": {"add": ["IPC_LOCK"]}}
        assert "securityContext" not in rendered(job, 2)["spec"]["containers"][0]

    def test_rdma_without_the_capability(self) -> None:
        job = make_job(role(gpus=8), rdma={"resource": "rdma/hca", "ipcLock": "Never"})
        assert "securityContext" not in rendered(job)["spec"]["containers"][0]

    @pytest.mark.parametrize(
        "own, capabilities, told_of",
        [
            ({"drop": ["ALL"]}, {"drop": ["ALL"], "add": ["IPC_LOCK"]}, ()),
            ({"add": ["SYS_PTRACE"]}, {"add": ["SYS_PTRACE", "IPC_LOCK"]}, ()),
            ({"add": ["IPC_LOCK"]}, {"add": ["IPC_LOCK"]}, ()),
            ({"add": ["ALL"]}, {"add": ["ALL"]}, ()),
            ({"drop": ["IPC_LOCK"]}, {"drop": ["IPC_LOCK"]}, ("capability IPC_LOCK",)),
        ],
    )
    def test_capabilities_of_its_own(self, own: Json, capabilities: Json, told_of: tuple[str, ...]) -> None:
        context = {"runAsNonRoot": True, "capabilities": own}
        job = make_job(role(gpus=1, container={"securityContext": context}), rdma={"resource": "rdma/hca"})
        got = rendered(job)["spec"]["containers"][0]["securityContext"]
        assert got == {"runAsNonRoot": True, "capabilities": capabilities}
        assert told(job) == told_of

    @pytest.mark.parametrize("limit, told_of", [("4", ("limit rdma/hca",)), (1, ())])
    def test_a_limit_of_its_own(self, limit: Any, told_of: tuple[str, ...]) -> None:
        resources = {"limits": {"rdma/hca": limit}}
        job = make_job(role(gpus=1, container={"resources": resources}), rdma={"resource": "rdma/hca"})
        assert rendered(job)["spec"]["containers"][0]["resources"]["limits"]["rdma/hca"] == limit
        assert told(job) == told_of


class TestCheckpoint:
    def test_the_volume_is_mounted_in_every_role(self) -> None:
        job = make_job(role(), role("ps", 1, completes=False), checkpoint={"volume": {"claimName": "ckpt"}})
        for rank in range(3):
            spec = rendered(job, rank)["spec"]
            volume = {"name": "trainyard-checkpoint", "persistentVolumeClaim": {"claimName": "ckpt"}}
            assert volume in spec["volumes"]
            mount = {"name": "trainyard-checkpoint", "mountPath": "/checkpoints"}
            assert mount in spec["containers"][0]["volumeMounts"]
            assert env_of({"spec": spec})["TRAINYARD_CHECKPOINT_DIR"] == "/checkpoints/gpt"

    def test_directory_and_path(self) -> None:
        checkpoint = {"volume": {"claimName": "c"}, "mountPath": "/data/ckpt", "directory": "runs/7"}
        pod = rendered(make_job(checkpoint=checkpoint))
        assert env_of(pod)["TRAINYARD_CHECKPOINT_DIR"] == "/data/ckpt/runs/7"
        assert checkpoint_place(pod["spec"], "trainer") == ("c", "runs/7"), "as it is read back"

    def test_none(self) -> None:
        pod = rendered(make_job())
        assert "TRAINYARD_CHECKPOINT_DIR" not in env_of(pod)
        assert checkpoint_place(pod["spec"], "trainer") == ("", "")
        assert all(volume["name"] != "trainyard-checkpoint" for volume in pod["spec"]["volumes"])

    def test_the_template_mounts_something_there(self) -> None:
        mine = {"name": "mine", "mountPath": "/checkpoints/"}
        job = make_job(
            role(pod={"volumes": [{"name": "mine", "emptyDir": {}}]}, container={"volumeMounts": [mine]}),
            checkpoint={"volume": {"claimName": "c"}},
        )
        spec = rendered(job)["spec"]
        assert all(volume["name"] != "trainyard-checkpoint" for volume in spec["volumes"])
        assert [m["mountPath"] for m in spec["containers"][0]["volumeMounts"]] == [
            "/checkpoints/",
            "/etc/trainyard/hosts",
            "/dev/shm",
        ]
        assert told(job) == ("volume at /checkpoints",)


PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
PIN = {"key": "metadata.name", "operator": "In", "values": ["node-1"]}


class TestPlacement:
    def test_pinned(self) -> None:
        assert rendered(make_job(), 1)["spec"]["affinity"] == node_affinity({"matchFields": [PIN]})

    def test_other_affinity_stays(self) -> None:
        own = {"podAntiAffinity": {"x": 1}, "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
        affinity = rendered(make_job(role(pod={"affinity": own})), 1)["spec"]["affinity"]
        assert affinity["podAntiAffinity"] == {"x": 1}
        assert affinity["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] == []
        assert affinity["nodeAffinity"][REQUIRED]["nodeSelectorTerms"] == [{"matchFields": [PIN]}]

    def test_a_pinned_pod_says_nothing_of_topology_or_avoidance(self) -> None:
        job = make_job(scheduling={"topology": {"required": "rack"}})
        affinity = rendered(job, 1, avoid=Avoided(frozenset({"node-7"}), frozenset({"node-8"})))["spec"]["affinity"]
        assert affinity == node_affinity({"matchFields": [PIN]})

    def test_delegated_without_wishes(self) -> None:
        assert "affinity" not in rendered(make_job(scheduling={"placement": "Delegated"}), placed=False)["spec"]

    def test_delegated_avoids_nodes_in_every_term(self) -> None:
        zone = {"key": "zone", "operator": "Exists"}
        own = node_affinity({"matchExpressions": [zone]}, {"matchFields": [PIN]})
        job = make_job(role(pod={"affinity": own}), scheduling={"placement": "Delegated"})
        avoid = Avoided(frozenset({"node-8", "node-7", "n" * 64}))
        affinity = rendered(job, placed=False, avoid=avoid)["spec"]["affinity"]
        elsewhere = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["node-7", "node-8"]}
        assert affinity == node_affinity(
            {"matchExpressions": [zone, elsewhere]}, {"matchFields": [PIN], "matchExpressions": [elsewhere]}
        )

    def test_delegated_would_rather_have_other_nodes_than_those_that_were_away(self) -> None:
        own = {"nodeAffinity": {PREFERRED: [{"weight": 1, "preference": {"matchFields": [PIN]}}]}}
        job = make_job(role(pod={"affinity": own}), scheduling={"placement": "Delegated"})
        affinity = rendered(job, placed=False, avoid=Avoided(away=frozenset({"node-8", "n" * 64})))["spec"]["affinity"]
        elsewhere = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["node-8"]}
        wish = {"weight": 100, "preference": {"matchExpressions": [elsewhere]}}
        assert affinity == {"nodeAffinity": {PREFERRED: [*own["nodeAffinity"][PREFERRED], wish]}}

    @pytest.mark.parametrize(
        "level, key", [("rack", "topology.trainyard.dev/rack"), ("example.com/island", "example.com/island")]
    )
    def test_delegated_topology(self, level: str, key: str) -> None:
        mine = {"labelSelector": {"matchLabels": {"a": "b"}}, "topologyKey": "zone"}
        own = {"podAffinity": {REQUIRED: [mine]}}
        job = make_job(
            role(pod={"affinity": own}), scheduling={"placement": "Delegated", "topology": {"required": level}}
        )
        mates = {"matchLabels": {"trainyard.dev/job-uid": UID, "trainyard.dev/attempt": "2"}}
        assert rendered(job, placed=False)["spec"]["affinity"]["podAffinity"] == {
            REQUIRED: [mine, {"labelSelector": mates, "topologyKey": key}]
        }

    def test_delegated_preferred_topology(self) -> None:
        job = make_job(scheduling={"placement": "Delegated", "topology": {"preferred": "block"}})
        pods = rendered(job, placed=False)["spec"]["affinity"]["podAffinity"]
        (wish,) = pods["preferredDuringSchedulingIgnoredDuringExecution"]
        assert wish["podAffinityTerm"]["topologyKey"] == "topology.trainyard.dev/block"
        assert REQUIRED not in pods


class TestHostNetwork:
    def port(self, pod: Json) -> int:
        return int(env_of(pod)["TRAINYARD_COORDINATOR_PORT"])

    def test_names_resolve_and_the_coordinators_port_is_derived_and_declared(self) -> None:
        job = make_job(role(pod={"hostNetwork": True}))
        coordinator, other = (rendered(job, rank) for rank in (0, 1))
        assert coordinator["spec"]["dnsPolicy"] == "ClusterFirstWithHostNet"
        port = self.port(coordinator)
        assert port == self.port(other)
        assert SETTINGS.host_ports[0] <= port <= SETTINGS.host_ports[1]
        declared = {"containerPort": port, "hostPort": port, "protocol": "TCP", "name": "rendezvous"}
        assert coordinator["spec"]["containers"][0]["ports"] == [declared]
        assert "ports" not in other["spec"]["containers"][0]

    def test_every_attempt_has_its_own(self) -> None:
        job = make_job(role(pod={"hostNetwork": True}))
        ports = {self.port(render_pod(job, make_record(job, attempt), 0, SETTINGS)) for attempt in range(50)}
        assert len(ports) > 45

    def test_a_range_of_one(self) -> None:
        job = make_job(role(pod={"hostNetwork": True}))
        narrow, other = LaunchSettings(host_ports=(25000, 25000)), LaunchSettings(host_ports=(26000, 26000))
        record = make_record(job, settings=narrow)
        assert self.port(render_pod(job, record, 0, narrow)) == 25000
        assert self.port(render_pod(job, record, 0, other)) == 25000, "a gang that is half created must still meet"
        assert self.port(render_pod(job, replace(record, host_ports=None), 0, other)) == 26000

    def test_a_port_declared_by_the_job_is_the_port(self) -> None:
        ports = [{"containerPort": 7777, "name": "rendezvous"}, {"containerPort": 80, "name": "web"}]
        job = make_job(role(pod={"hostNetwork": True}, container={"ports": ports}), rendezvous={"port": 7777})
        pod = rendered(job)
        assert self.port(pod) == 7777
        assert pod["spec"]["containers"][0]["ports"] == ports

    def test_a_name_in_use_is_not_given_twice(self) -> None:
        ports = [{"containerPort": 80, "name": "rendezvous"}]
        job = make_job(role(pod={"hostNetwork": True}, container={"ports": ports}), rendezvous={"port": 7777})
        assert rendered(job)["spec"]["containers"][0]["ports"][1] == {
            "containerPort": 7777,
            "hostPort": 7777,
            "protocol": "TCP",
        }

    def test_every_pod_of_tensorflow_listens(self) -> None:
        job = make_job(role(pod={"hostNetwork": True}), framework="tensorflow")
        assert all(rendered(job, rank)["spec"]["containers"][0]["ports"] for rank in (0, 1))
