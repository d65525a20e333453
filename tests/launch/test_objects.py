"""Are the Service, the hosts, the record and the claim what the pods and the next leader rely on?"""

from base64 import b64decode
from dataclasses import replace

import pytest

from launch.builders import SETTINGS, UID, make_job, make_record, role
from trainyard.api.names import uid5
from trainyard.launch import (
    LaunchSettings,
    checkpoint_directory,
    claim_created,
    claim_name,
    render_claim,
    render_hosts,
    render_pods,
    render_record,
    render_service,
)
from trainyard.launch.objects import LIST_LIMIT
from trainyard.model.record import RECORD_KEY, encode_record
from trainyard.model.translate import child_view, claim_view
from trainyard.model.views import JobView

SHORT = uid5(UID)
TEMPLATE = {"spec": {"resources": {"requests": {"storage": "1Ti"}}}}


def named(job: JobView) -> list[str]:
    """Pods that the Service answers for, as role-index."""
    selector = render_service(job, SETTINGS)["spec"]["selector"].items()
    record = make_record(job)
    pods = [pod["metadata"]["labels"] for pod in render_pods(job, record, range(record.size), SETTINGS)]
    return [
        f"{labels['trainyard.dev/role']}-{labels['trainyard.dev/index']}"
        for labels in pods
        if selector <= labels.items()
    ]


class TestService:
    def test_headless_and_early(self) -> None:
        service = render_service(make_job(), SETTINGS)
        assert service["metadata"]["name"] == f"gpt-{SHORT}"
        assert service["spec"] == {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {"trainyard.dev/job-uid": UID, "trainyard.dev/named": "true"},
        }
        view = child_view(service)
        assert (view.owner_uid, view.attempt) == (UID, -1)

    def test_coordinators_of_torch_and_jax(self) -> None:
        assert named(make_job(role("a", 2), role("b", 2))) == ["a-0"]
        assert named(make_job(role("a", 2), role("b", 2, framework="jax"))) == ["a-0", "b-0"]

    def test_everyone_of_tensorflow_and_custom(self) -> None:
        assert named(make_job(role("a", 2), framework="tensorflow")) == ["a-0", "a-1"]
        assert named(make_job(role("a", 2), role("b", 2, framework="custom"))) == ["a-0", "b-0", "b-1"]

    def test_as_the_job_wants_it(self) -> None:
        assert named(make_job(role("a", 2), rendezvous={"names": "All"})) == ["a-0", "a-1"]
        assert named(make_job(role("a", 2), framework="custom", rendezvous={"names": "Coordinators"})) == ["a-0"]


class TestHosts:
    def test_ranges(self) -> None:
        job = make_job(role("worker", 1250), role("ps", 1))
        hosts = render_hosts(job, make_record(job), SETTINGS)
        assert hosts["metadata"]["name"] == f"gpt-{SHORT}-a2-hosts"
        assert hosts["data"] == {
            "hosts": f"gpt-{SHORT}-a2-worker-[0-1249].gpt-{SHORT}\ngpt-{SHORT}-a2-ps-0.gpt-{SHORT}\n"
        }
        assert "immutable" not in hosts
        view = child_view(hosts)
        assert (view.owner_uid, view.attempt) == (UID, 2)

    def test_the_full_list_has_the_custom_world_in_its_order(self) -> None:
        job = make_job(role("z", 1), role("t", 1, framework="torch"), role("a", 2), framework="custom")
        full = render_hosts(job, make_record(job), SETTINGS)["data"]["list"].splitlines()
        assert full == [f"gpt-{SHORT}-a2-{pod}.gpt-{SHORT}" for pod in ("z-0", "a-0", "a-1")]

    def test_a_list_too_long_for_a_config_map_becomes_ranges(self) -> None:
        job = make_job(role("r" * 5, 10_000), name="j" * 35, framework="custom")
        data = render_hosts(job, make_record(job), SETTINGS)["data"]
        assert data["list"] == data["hosts"]
        short = make_job(role("r", 10_000), framework="custom")
        full = render_hosts(short, make_record(short), SETTINGS)["data"]["list"]
        assert len(full) < LIST_LIMIT
        assert len(full.splitlines()) == 10_000


class TestRecord:
    def test_stored_once_and_for_all(self) -> None:
        job = make_job()
        record = make_record(job)
        stored = render_record(job, record, SETTINGS)
        assert stored["metadata"]["name"] == f"gpt-{SHORT}-a2" == record.name
        assert stored["immutable"] is True
        assert stored["metadata"]["annotations"] == {"trainyard.dev/build": "test"}
        assert b64decode(stored["binaryData"][RECORD_KEY]) == encode_record(record)
        view = child_view(stored)
        assert (view.owner_uid, view.attempt) == (UID, 2)

    def test_ten_thousand_ranks_fit(self) -> None:
        job = make_job(role("w", 10_000, gpus=8))
        assert len(str(render_record(job, make_record(job), SETTINGS))) < 1_000_000


class TestClaim:
    def test_retained(self) -> None:
        job = make_job(checkpoint={"volume": {"claimTemplate": TEMPLATE}})
        claim = render_claim(job, SETTINGS)
        assert claim["metadata"] == {
            "name": "gpt-ckpt",
            "namespace": "research",
            "labels": {"trainyard.dev/job": "gpt"},
        }
        assert claim["spec"] == {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Ti"}}}
        assert claim_view(claim).owner_uid == ""
        assert claim_name(job) == "gpt-ckpt"

    def test_gone_with_the_job(self) -> None:
        spec = {**TEMPLATE["spec"], "storageClassName": "fast", "volumeName": "pv", "accessModes": ["ReadWriteOnce"]}
        template = {"whenDeleted": "Delete", "spec": spec}
        job = make_job(checkpoint={"volume": {"claimTemplate": template}})
        claim = render_claim(job, SETTINGS)
        assert claim["metadata"]["name"] == f"gpt-{SHORT}-ckpt" == claim_name(job)
        assert claim["spec"] == spec
        assert claim_view(claim).owner_uid == UID

    def test_existing(self) -> None:
        job = make_job(checkpoint={"volume": {"claimName": "shared"}})
        assert (claim_name(job), claim_created(job)) == ("shared", False)
        with pytest.raises(ValueError, match="no claim template"):
            render_claim(job, SETTINGS)

    def test_none(self) -> None:
        job = make_job()
        assert (claim_name(job), claim_created(job), checkpoint_directory(job)) == ("", False, "")
        with pytest.raises(ValueError, match="no claim template"):
            render_claim(job, SETTINGS)

    def test_created_and_its_directory(self) -> None:
        volume = {"claimTemplate": TEMPLATE}
        assert claim_created(make_job(checkpoint={"volume": volume}))
        assert checkpoint_directory(make_job(checkpoint={"volume": volume})) == "gpt"
        assert checkpoint_directory(make_job(checkpoint={"volume": volume, "directory": "a/b"})) == "a/b"


def test_children_inherit_what_the_settings_name() -> None:
    settings = LaunchSettings(inherit_labels=("team",), inherit_annotations=("mail",))
    meta = {"labels": {"team": "a", "x": "y"}, "annotations": {"mail": "m"}}
    job = make_job(meta=meta, checkpoint={"volume": {"claimTemplate": TEMPLATE}})
    record = make_record(job)
    children = [
        render_service(job, settings),
        render_hosts(job, record, settings),
        render_record(job, record, settings),
        render_claim(job, settings),
    ]
    for child in children:
        assert child["metadata"]["labels"]["team"] == "a"
        assert "x" not in child["metadata"]["labels"]
        assert child["metadata"]["annotations"]["mail"] == "m"


def test_hosts_follow_the_record_and_not_todays_spec() -> None:
    job = make_job(role("worker", 2))
    record = make_record(job)
    changed = replace(job, spec=make_job(role("worker", 5)).spec)
    assert render_hosts(changed, record, SETTINGS) == render_hosts(job, record, SETTINGS)
