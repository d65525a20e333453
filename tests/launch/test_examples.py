"""Are the examples valid, do they render, and does the script in the ConfigMap equal the file?"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from launch.builders import SETTINGS, make_record
from trainyard.launch import render_hosts, render_pods, render_service
from trainyard.model.translate import job_view
from trainyard.model.views import JobView

EXAMPLES = Path(__file__).parents[2] / "manifests" / "examples"
FILES = sorted(EXAMPLES.rglob("*.yaml"))


def documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text()))


def jobs(path: Path) -> list[JobView]:
    raw = [document for document in documents(path) if document["kind"] == "TrainingJob"]
    for job in raw:
        job["metadata"] |= {"namespace": "default", "uid": "u", "generation": 1}
    return [job_view(job) for job in raw]


JOBS = {str(path.relative_to(EXAMPLES)): job for path in FILES for job in jobs(path)}


def test_there_is_one_for_every_framework() -> None:
    frameworks = {job.spec.framework.value for job in JOBS.values() if job.spec}
    assert frameworks == {"torch", "tensorflow", "jax", "custom"}


@pytest.mark.parametrize("name", JOBS)
def test_valid(name: str) -> None:
    assert JOBS[name].problems == ()


@pytest.mark.parametrize("name", JOBS)
def test_renders(name: str) -> None:
    job = JOBS[name]
    record = make_record(job)
    pods = list(render_pods(job, record, range(record.size), SETTINGS))
    assert len(pods) == record.size
    assert render_service(job, SETTINGS)["spec"]["clusterIP"] == "None"
    assert render_hosts(job, record, SETTINGS)["data"]["hosts"]


def test_the_minimal_job_is_minimal() -> None:
    assert len((EXAMPLES / "minimal.yaml").read_text().splitlines()) < 15


def test_the_config_map_holds_the_script() -> None:
    # To mend: kubectl create configmap ddp-train --from-file=train.py --dry-run=client -o yaml
    (script,) = documents(EXAMPLES / "ddp" / "script.yaml")
    assert script["data"] == {"train.py": (EXAMPLES / "ddp" / "train.py").read_text()}
    (job,) = documents(EXAMPLES / "ddp" / "job.yaml")
    volumes = job["spec"]["roles"][0]["template"]["spec"]["volumes"]
    assert {"name": "script", "configMap": {"name": script["metadata"]["name"]}} in volumes


def test_the_volume_is_kept_for_the_claim_of_the_job() -> None:
    (volume,) = documents(EXAMPLES / "ddp" / "volume.yaml")
    job = JOBS["ddp/job.yaml"]
    assert volume["spec"]["claimRef"]["name"] == f"{job.name}-ckpt"
    assert volume["spec"]["accessModes"] == ["ReadWriteMany"]
