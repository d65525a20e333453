"""The checkpoint volume of a job: which claim, where it is mounted, and the claim to create if it is the job's own."""

from __future__ import annotations

from trainyard.api.names import owned_claim_name, retained_claim_name, uid5
from trainyard.api.types import WhenDeleted
from trainyard.launch.worlds import spec_of
from trainyard.model.views import JobView


def claim_name(job: JobView) -> str:
    """Name of the claim; empty without a checkpoint volume."""
    checkpoint = spec_of(job).checkpoint
    if checkpoint is None:
        return ""
    if checkpoint.volume.claim_name:
        return checkpoint.volume.claim_name
    return owned_claim_name(job.name, uid5(job.uid)) if goes_with_job(job) else retained_claim_name(job.name)


def claim_created(job: JobView) -> bool:
    """Whether the claim is made for the job where it does not exist."""
    checkpoint = spec_of(job).checkpoint
    return checkpoint is not None and checkpoint.volume.claim_template is not None


def goes_with_job(job: JobView) -> bool:
    """Whether the created claim is deleted with its job."""
    checkpoint = spec_of(job).checkpoint
    template = checkpoint.volume.claim_template if checkpoint else None
    return template is not None and template.when_deleted is WhenDeleted.DELETE


def checkpoint_path(job: JobView) -> str:
    """Where the trainers find the volume; empty without one."""
    checkpoint = spec_of(job).checkpoint
    return checkpoint.mount_path if checkpoint else ""


def checkpoint_directory(job: JobView) -> str:
    """The job's folder on the volume; empty without one."""
    checkpoint = spec_of(job).checkpoint
    return (checkpoint.directory or job.name) if checkpoint else ""
