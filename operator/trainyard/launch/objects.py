"""The other children of a job: Service, hosts, record, claim. Pure: sees no client."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from trainyard.api.constants import ANNOTATION_BUILD, LABEL_ATTEMPT, LABEL_JOB, LABEL_JOB_UID, LABEL_NAMED
from trainyard.api.effective import effective_roles
from trainyard.api.names import hosts_name, record_name, service_name, uid5
from trainyard.api.types import Framework
from trainyard.launch.claims import claim_name, goes_with_job
from trainyard.launch.place import CLUSTER_KEY, HOSTS_KEY, LIST_KEY
from trainyard.launch.pods import inherited, owner_reference
from trainyard.launch.settings import LaunchSettings
from trainyard.launch.tensorflow import cluster
from trainyard.launch.worlds import address, members, port, spec_of
from trainyard.model.record import RECORD_KEY, RecordDraft, encode_record
from trainyard.model.views import JobView

Json = dict[str, Any]

LIST_LIMIT = 900_000
"""Bytes of the full list: a ConfigMap holds 1 MiB in all."""


def render_service(job: JobView, settings: LaunchSettings) -> Json:
    """Headless, without ports: it only answers names, and those before the pods are ready."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(job, service_name(job.name, uid5(job.uid)), settings),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {LABEL_JOB_UID: job.uid, LABEL_NAMED: "true"},
        },
    }


def render_hosts(job: JobView, record: RecordDraft, settings: LaunchSettings) -> Json:
    """The addresses of an attempt. Not immutable: a kubelet would go on serving a deleted one from its cache."""
    name = hosts_name(job.name, uid5(job.uid), record.attempt)
    data = {HOSTS_KEY: "".join(f"{line}\n" for line in _ranges(job, record))}
    frameworks = {role.framework for role in record.roles}
    if Framework.CUSTOM in frameworks:
        pods = members(record, Framework.CUSTOM)
        full = "".join(f"{address(job, record.attempt, role.name, index)}\n" for role, index in pods)
        # Only the longest names at the largest size exceed it; the ranges say the same.
        data[LIST_KEY] = full if len(full) <= LIST_LIMIT else data[HOSTS_KEY]
    if Framework.TENSORFLOW in frameworks:
        data[CLUSTER_KEY] = _tensorflow_cluster(job, record, settings)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(job, name, settings, {LABEL_ATTEMPT: str(record.attempt)}),
        "data": data,
    }


def render_record(job: JobView, draft: RecordDraft, settings: LaunchSettings) -> Json:
    """The account of an attempt that opens: written once."""
    meta = _metadata(
        job, record_name(job.name, uid5(job.uid), draft.attempt), settings, {LABEL_ATTEMPT: str(draft.attempt)}
    )
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {**meta, "annotations": {**meta.get("annotations", {}), ANNOTATION_BUILD: draft.build}},
        "immutable": True,
        "binaryData": {RECORD_KEY: b64encode(encode_record(draft)).decode()},
    }


def render_claim(job: JobView, settings: LaunchSettings) -> Json:
    """The claim from the job's template. One that outlives its job has no owner. Raises ValueError without one."""
    checkpoint = spec_of(job).checkpoint
    template = checkpoint.volume.claim_template if checkpoint else None
    if template is None:
        raise ValueError(f"{job.key}: there is no claim template")
    metadata = _metadata(job, claim_name(job), settings)
    if not goes_with_job(job):
        del metadata["ownerReferences"]
        del metadata["labels"][LABEL_JOB_UID]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": template.spec.model_dump(mode="json", by_alias=True, exclude_none=True),
    }


def _metadata(job: JobView, name: str, settings: LaunchSettings, labels: Mapping[str, str] | None = None) -> Json:
    meta: Json = {
        "name": name,
        "namespace": job.namespace,
        "labels": {
            **inherited(job.labels, settings.inherit_labels),
            LABEL_JOB: job.name,
            LABEL_JOB_UID: job.uid,
            **(labels or {}),
        },
        "ownerReferences": [owner_reference(job)],
    }
    if annotations := inherited(job.annotations, settings.inherit_annotations):
        meta["annotations"] = annotations
    return meta


def _ranges(job: JobView, record: RecordDraft) -> list[str]:
    """One line a role: `gpt-x7k2p-a2-worker-[0-15].gpt-x7k2p`, or the address itself for a single pod."""
    lines = []
    for role in record.roles:
        host, _, service = address(job, record.attempt, role.name, 0).partition(".")
        span = f"[0-{role.replicas - 1}]" if role.replicas > 1 else "0"
        lines.append(f"{host.removesuffix('0')}{span}.{service}")
    return lines


def _tensorflow_cluster(job: JobView, record: RecordDraft, settings: LaunchSettings) -> str:
    ports = {role.name: port(job, record, role.template, settings) for role in effective_roles(spec_of(job))}
    pods = members(record, Framework.TENSORFLOW)
    return cluster(
        (role.name, f"{address(job, record.attempt, role.name, index)}:{ports[role.name]}") for role, index in pods
    )
