"""Is the scheduler told what the pods will really ask for, and does the record say what was granted?"""

from typing import Any

import pytest

from launch.builders import REQUIRED, SETTINGS, make_job, make_record, node_affinity, role
from trainyard.launch import draft_record, render_probe_pod, role_request, template_resources
from trainyard.model.cluster import Grant, RoleRequest
from trainyard.model.plan import ProbeResult
from trainyard.model.views import JobView, Requirement, Toleration

ACCELERATOR = {"nodeSelector": {"gpu": "h100"}, "tolerations": [{"key": "gpu", "operator": "Exists"}]}


def request(job: JobView, name: str = "worker") -> RoleRequest:
    return role_request(job, name, (), SETTINGS)


class TestRoleRequest:
    def test_all_of_it(self) -> None:
        zone = {"key": "zone", "operator": "In", "values": ["a", "b"]}
        pod = {"affinity": node_affinity({"matchExpressions": [zone]}), "nodeSelector": {"pool": "x"}}
        job = make_job(role("ps", 3, completes=False), role(gpus=8, pod=pod), accelerator=ACCELERATOR)
        assert role_request(job, "worker", (("cpu", 1),), SETTINGS) == RoleRequest(
            name="worker",
            replicas=2,
            first_rank=3,
            resources=(("cpu", 1),),
            accelerator="nvidia.com/gpu",
            gpus=8,
            node_selector=(("gpu", "h100"), ("pool", "x")),
            terms=((Requirement("zone", "In", ("a", "b")),),),
            tolerations=(Toleration("gpu", "Exists"),),
        )

    def test_without_accelerators(self) -> None:
        got = request(make_job(accelerator=ACCELERATOR))
        assert (got.accelerator, got.gpus, got.node_selector, got.terms, got.tolerations) == ("", 0, (), (), ())

    def test_an_unknown_role(self) -> None:
        with pytest.raises(ValueError, match="no role ps"):
            request(make_job(), "ps")

    def test_host_ports_keep_pods_apart(self) -> None:
        got = request(make_job(role(container={"ports": [{"containerPort": 80, "hostPort": 8080}]})))
        assert (got.host_ports, got.spread_hosts) == ((8080,), True)
        assert not request(make_job()).spread_hosts

    def test_pods_with_an_active_deadline_of_their_own(self) -> None:
        assert request(make_job(role(pod={"activeDeadlineSeconds": 60}))).terminating
        assert not request(make_job(activeDeadlineSeconds=60)).terminating, "it is the job's"

    def test_the_derived_port_is_among_them(self) -> None:
        job = make_job(role(pod={"hostNetwork": True}), framework="tensorflow", status={"attempt": 4})
        (port,) = request(job).host_ports
        assert SETTINGS.host_ports[0] <= port <= SETTINGS.host_ports[1]

    @pytest.mark.parametrize("framework", ["torch", "jax"])
    def test_a_derived_port_is_the_coordinators_alone_and_keeps_no_pods_apart(self, framework: str) -> None:
        own = {"ports": [{"containerPort": 80, "hostPort": 8080}]}
        job = make_job(role("a", 4, pod={"hostNetwork": True}), role("b", 2, pod={"hostNetwork": True}))
        a, b = request(job, "a"), request(job, "b")
        (port,) = a.coordinator_ports
        assert SETTINGS.host_ports[0] <= port <= SETTINGS.host_ports[1]
        assert (a.host_ports, a.spread_hosts, a.ports_of(0), a.ports_of(3)) == ((), False, (port,), ())
        assert (b.host_ports, b.coordinator_ports, b.spread_hosts) == ((), (), False), (
            "it is not the world's first role"
        )
        both = request(make_job(role("a", 4, pod={"hostNetwork": True}, container=own), framework=framework), "a")
        assert (both.host_ports, both.coordinator_ports, both.spread_hosts) == ((8080,), (port,), True)
        alone = request(make_job(role("a", 1, pod={"hostNetwork": True})), "a")
        assert (alone.host_ports, alone.coordinator_ports) == ((port,), ())

    @pytest.mark.parametrize(
        "selector, key, apart",
        [
            ({"matchLabels": {"app": "train"}}, "kubernetes.io/hostname", True),
            ({"matchLabels": {"trainyard.dev/role": "worker"}}, "kubernetes.io/hostname", True),
            ({}, "kubernetes.io/hostname", True),
            (None, "kubernetes.io/hostname", False),
            ({"matchLabels": {"app": "train"}}, "zone", False),
            ({"matchLabels": {"app": "other"}}, "kubernetes.io/hostname", False),
            (
                {
                    "matchLabels": {"app": "train"},
                    "matchExpressions": [
                        {"key": "app", "operator": "In", "values": ["train"]},
                        {"key": "app", "operator": "NotIn", "values": ["x"]},
                        {"key": "app", "operator": "Exists"},
                        {"key": "tier", "operator": "DoesNotExist"},
                    ],
                },
                "kubernetes.io/hostname",
                True,
            ),
            ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, "kubernetes.io/hostname", False),
        ],
    )
    def test_self_anti_affinity(self, selector: Any, key: str, apart: bool) -> None:
        affinity = {"podAntiAffinity": {REQUIRED: [{"labelSelector": selector, "topologyKey": key}]}}
        job = make_job(role(pod={"affinity": affinity}, meta={"labels": {"app": "train"}}))
        assert request(job).spread_hosts is apart


class TestProbe:
    def test_it_is_the_pod_without_a_node_under_a_name_of_its_own(self) -> None:
        job = make_job(role("a", 1), role(gpus=2), rdma={"resource": "rdma/hca"})
        probe = render_probe_pod(job, "worker", SETTINGS)
        assert "-a99999-worker-0" in probe["metadata"]["name"]
        assert "affinity" not in probe["spec"]
        assert probe["spec"]["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "2", "rdma/hca": "1"}

    def test_the_longest_names_have_room_for_it(self) -> None:
        job = make_job(role("r" * 10, 1), name="j" * 37)
        assert len(render_probe_pod(job, "r" * 10, SETTINGS)["metadata"]["name"]) == 63

    def test_an_estimate_from_the_template(self) -> None:
        job = make_job(role(gpus=2, container={"resources": {"requests": {"cpu": "3"}, "limits": {"memory": "1Ki"}}}))
        assert template_resources(job, "worker", SETTINGS) == (
            ("cpu", 3000),
            ("memory", 1024),
            ("nvidia.com/gpu", 2),
        )


class TestDraft:
    def draft(self, job: JobView, probe: ProbeResult | None = None, nodes: tuple[str, ...] = ("b", "a", "c")) -> Any:
        grant = Grant(job.key, job.uid, 5, job.spec_hash, nodes, 0.0)
        return draft_record(job, grant, probe, build="7", dead=("z", "y"), settings=SETTINGS)

    def test_what_was_granted(self) -> None:
        job = make_job(
            role("a", 1, gpus=2, processesPerPod=3),
            role("b", 2, framework="jax", gpus=4, completes=False),
            status={"restarts": {"total": 9}},
        )
        draft = self.draft(job, ProbeResult(job.spec_hash, resources={"b": (("cpu", 5),)}))
        assert (draft.attempt, draft.nodes, draft.build, draft.dead) == (5, ("b", "a", "c"), "7", ("y", "z"))
        assert (draft.job_uid, draft.spec_hash, draft.restarts) == (job.uid, job.spec_hash, 9)
        assert (draft.claim, draft.directory) == ("", "")
        a, b = draft.roles
        assert (a.name, a.replicas, a.completes, a.trainer, a.framework) == ("a", 1, True, "trainer", "torch")
        assert (a.gpus, a.processes, a.resources) == (2, 3, (("nvidia.com/gpu", 2),))
        assert (b.completes, b.framework, b.processes, b.resources) == (False, "jax", 1, (("cpu", 5),))

    def test_where_its_pods_write_checkpoints(self) -> None:
        volume = {"volume": {"claimName": "ckpt"}}
        draft = self.draft(make_job(role("a", 3), checkpoint={**volume, "directory": "runs/7"}))
        assert (draft.claim, draft.directory) == ("ckpt", "runs/7")
        by_name = make_job(role("a", 3), checkpoint=volume)
        assert self.draft(by_name).directory == by_name.name

    def test_the_host_ports_of_this_very_attempt(self) -> None:
        ports = {"ports": [{"containerPort": 80, "hostPort": 8080}]}
        roles = role("a", 1, pod={"hostNetwork": True}), role("b", 1, container=ports), role("c", 1)
        job = make_job(*roles)
        a, b, c = self.draft(job).roles
        asked = role_request(make_job(*roles, status={"attempt": 5}), "a", (), SETTINGS)
        assert (a.host_ports, b.host_ports, c.host_ports) == (asked.host_ports, (8080,), ())
        assert a.host_ports != role_request(job, "a", (), SETTINGS).host_ports
        (wide,) = self.draft(make_job(role("a", 3, pod={"hostNetwork": True}))).roles
        assert (wide.host_ports, wide.coordinator_ports) == ((), a.host_ports)
        assert (wide.ports_of(0), wide.ports_of(2)) == (a.host_ports, ())

    @pytest.mark.parametrize(
        "framework, gpus, processes",
        [("torch", 8, 8), ("torch", 0, 1), ("custom", 2, 2), ("jax", 8, 1), ("tensorflow", 8, 1)],
    )
    def test_processes_by_default(self, framework: str, gpus: int, processes: int) -> None:
        job = make_job(role("w", 3, gpus=gpus), framework=framework)
        assert self.draft(job).roles[0].processes == processes

    def test_a_delegated_grant_names_no_nodes(self) -> None:
        job = make_job(role("w", 3))
        assert self.draft(job, nodes=()).nodes == ("", "", "")
        assert make_record(job, placed=False).nodes == ("", "", "")
