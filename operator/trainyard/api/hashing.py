"""The hash that tells whether a changed spec shapes its attempts differently. Pure and stable across builds.

Defaults are left out before hashing, so that a field added later with a default changes no old hash.
"""

import hashlib
import json

from trainyard.api.types import JobSpec

ATTEMPT_FIELDS = ("framework", "accelerator", "rdma", "roles", "scheduling", "rendezvous", "checkpoint")
"""Fields that shape an attempt. They change only while the job is suspended; all other fields touch no running pod."""


def attempt_fields_hash(spec: JobSpec) -> str:
    """Sixteen hex digits over the attempt fields; equal for equal attempts."""
    fields = spec.model_dump(mode="json", by_alias=True, include=set(ATTEMPT_FIELDS), exclude_defaults=True)
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
