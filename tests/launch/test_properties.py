"""Whatever valid job comes: do its children keep the promises that others rest on?"""

import copy
import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from launch.builders import REQUIRED, SETTINGS, env_of, jobs, make_record
from trainyard.api.effective import effective_roles
from trainyard.launch import (
    checkpoint_directory,
    claim_name,
    overridden,
    render_hosts,
    render_pod,
    render_pods,
    render_probe_pod,
    render_service,
    role_request,
    template_resources,
)
from trainyard.launch.worlds import seat
from trainyard.model.podspec import pod_resources
from trainyard.model.ranges import parse_ranges
from trainyard.model.translate import pod_view
from trainyard.model.views import JobView

DNS = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
ATTEMPTS = st.integers(0, 99_999)


@settings(max_examples=50)
@given(jobs(), ATTEMPTS)
def test_names_are_labels_of_dns_and_never_repeat(job: JobView, attempt: int) -> None:
    pods = []
    for number in (attempt, attempt + 1):
        record = make_record(job, number)
        pods += list(render_pods(job, record, range(record.size), SETTINGS))
    names = [pod["metadata"]["name"] for pod in pods]
    assert len(set(names)) == len(names)
    assert all(DNS.fullmatch(name) for name in names)
    assert all(DNS.fullmatch(pod["spec"]["subdomain"]) for pod in pods)
    assert [pod["spec"]["hostname"] for pod in pods] == names


@settings(max_examples=50)
@given(jobs())
def test_rendering_changes_no_template_and_gives_the_same_twice(job: JobView) -> None:
    assert job.spec is not None
    before = copy.deepcopy([role.template for role in job.spec.roles])
    record = make_record(job)
    first = [json.dumps(pod) for pod in render_pods(job, record, range(record.size), SETTINGS)]
    second = [json.dumps(render_pod(job, record, rank, SETTINGS)) for rank in range(record.size)]
    assert first == second
    assert [role.template for role in job.spec.roles] == before


@settings(max_examples=50)
@given(jobs())
def test_the_pod_that_is_read_is_the_pod_that_was_meant(job: JobView) -> None:
    record = make_record(job)
    for rank, pod in enumerate(render_pods(job, record, range(record.size), SETTINGS)):
        role, index = record.locate(rank)
        view = pod_view(pod)
        assert (view.job_uid, view.job, view.role) == (job.uid, job.name, role.name)
        assert (view.index, view.rank, view.incarnation) == (index, rank, record.attempt)
        assert view.resources == role.resources == template_resources(job, role.name, SETTINGS)
        assert (view.claim, view.directory) == (claim_name(job), checkpoint_directory(job))


@settings(max_examples=50)
@given(jobs())
def test_the_node_of_the_record_stands_in_every_term(job: JobView) -> None:
    record = make_record(job)
    for rank, pod in enumerate(render_pods(job, record, range(record.size), SETTINGS)):
        own = _template(job, record.locate(rank)[0].name)["spec"].get("affinity")
        terms = pod["spec"]["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
        wanted = [term for term in own["nodeAffinity"][REQUIRED]["nodeSelectorTerms"] if term] if own else [{}]
        if not wanted:
            # What matches no node must not begin to match one.
            assert pod["spec"]["affinity"] == own
            continue
        assert pod_view(pod).pinned == f"node-{rank}"
        assert len(terms) == len(wanted)
        for term, its in zip(terms, wanted, strict=True):
            assert term.get("matchExpressions") == its.get("matchExpressions")
            assert term["matchFields"][:-1] == its.get("matchFields", [])


@settings(max_examples=50)
@given(jobs())
def test_worlds_are_numbered_without_gap_or_twin(job: JobView) -> None:
    record = make_record(job)
    pods = list(render_pods(job, record, range(record.size), SETTINGS))
    for framework in {role.framework for role in record.roles}:
        world = [env_of(pod) for pod in pods if env_of(pod)["TRAINYARD_WORLD"] == framework]
        assert [int(env["TRAINYARD_WORLD_RANK"]) for env in world] == list(range(len(world)))
        assert {int(env["TRAINYARD_WORLD_SIZE"]) for env in world} == {len(world)}
        processes = [
            int(env["TRAINYARD_FIRST_PROCESS"]) + i for env in world for i in range(int(env["TRAINYARD_PROCESSES"]))
        ]
        assert processes == list(range(int(world[0]["TRAINYARD_WORLD_PROCESSES"])))
        assert len({env["TRAINYARD_COORDINATOR"] for env in world}) == 1
    assert [int(env_of(pod)["TRAINYARD_RANK"]) for pod in pods] == list(range(record.size))


@settings(max_examples=50)
@given(jobs())
def test_every_coordinator_has_a_name_that_the_service_answers(job: JobView) -> None:
    record = make_record(job)
    selector = render_service(job, SETTINGS)["spec"]["selector"]
    pods = list(render_pods(job, record, range(record.size), SETTINGS))
    named = {
        f"{pod['spec']['hostname']}.{pod['spec']['subdomain']}"
        for pod in pods
        if selector.items() <= pod["metadata"]["labels"].items()
    }
    assert {env_of(pod)["TRAINYARD_COORDINATOR"] for pod in pods} <= named


@settings(max_examples=50)
@given(jobs())
def test_what_the_user_sets_wins_and_is_told(job: JobView) -> None:
    record = make_record(job)
    for rank, pod in enumerate(render_pods(job, record, range(record.size), SETTINGS)):
        role = record.locate(rank)[0]
        container, own = pod["spec"]["containers"][0], _template(job, role.name)["spec"]["containers"][0]
        env, told = env_of(pod), overridden(job, role.name, SETTINGS)
        for entry in own.get("env", ()):
            assert env[entry["name"]] == entry["value"]
        if role.framework == "torch":
            assert ("variable PET_NNODES" in told) == ("env" in own)
        mounts = [mount["mountPath"].rstrip("/") for mount in container["volumeMounts"]]
        assert len(set(mounts)) == len(mounts)
        own_shm = any(mount["mountPath"].rstrip("/") == "/dev/shm" for mount in own.get("volumeMounts", ()))
        assert ("volume at /dev/shm" in told) == own_shm


@settings(max_examples=50)
@given(jobs())
def test_every_pod_waits_for_its_hosts(job: JobView) -> None:
    record = make_record(job)
    hosts = render_hosts(job, record, SETTINGS)
    for pod in render_pods(job, record, range(record.size), SETTINGS):
        volume = next(v for v in pod["spec"]["volumes"] if v["name"] == "trainyard-hosts")
        assert volume["configMap"] == {"name": hosts["metadata"]["name"], "optional": False}
        assert any(mount["name"] == "trainyard-hosts" for mount in pod["spec"]["containers"][0]["volumeMounts"])
        volumes = [v["name"] for v in pod["spec"]["volumes"]]
        assert {mount["name"] for mount in pod["spec"]["containers"][0]["volumeMounts"]} <= set(volumes)
        assert len(set(volumes)) == len(volumes)


@settings(max_examples=50)
@given(jobs())
def test_the_hosts_file_names_every_pod(job: JobView) -> None:
    record = make_record(job)
    told = []
    for line in render_hosts(job, record, SETTINGS)["data"]["hosts"].splitlines():
        match = re.fullmatch(r"(.+-)(?:\[([0-9-]+)\]|0)\.(.+)", line)
        assert match is not None
        numbers = parse_ranges(match[2]) if match[2] else [0]
        told += [f"{match[1]}{number}.{match[3]}" for number in sorted(numbers)]
    pods = render_pods(job, record, range(record.size), SETTINGS)
    assert told == [f"{pod['spec']['hostname']}.{pod['spec']['subdomain']}" for pod in pods]


@settings(max_examples=50)
@given(jobs())
def test_the_scheduler_is_asked_for_what_the_pods_ask_for(job: JobView) -> None:
    assert job.spec is not None
    record = make_record(job)
    for effective in effective_roles(job.spec):
        probe = render_probe_pod(job, effective.name, SETTINGS)
        request = role_request(job, effective.name, pod_resources(probe["spec"]), SETTINGS)
        assert (request.replicas, request.first_rank) == (effective.replicas, record.first_rank(effective.name))
        if effective.gpus:
            assert dict(request.resources)[request.accelerator] == request.gpus == effective.gpus
        pods = [render_pod(job, record, effective.rank(i), SETTINGS) for i in range(effective.replicas)]
        assert probe["metadata"]["name"] not in {pod["metadata"]["name"] for pod in pods}
        assert all(dict(request.node_selector) == pod["spec"].get("nodeSelector", {}) for pod in pods)


@settings(max_examples=50)
@given(jobs(), ATTEMPTS)
def test_seats_agree_with_the_record(job: JobView, attempt: int) -> None:
    record = make_record(job, attempt)
    for rank in range(record.size):
        place = seat(record, rank)
        assert (place.role, place.index) == record.locate(rank)
        assert place.first_process + place.processes <= place.world_processes
        assert place.world_rank < place.world_size


def _template(job: JobView, name: str) -> Any:
    assert job.spec is not None
    return next(role.template for role in job.spec.roles if role.name == name)
