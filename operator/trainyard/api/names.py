"""Names of everything a job owns, as pure functions of (job, five characters of its UID, attempt, role, index).

Names are locks: creating a thing twice is creating it once. They are never reused, so a stale DNS answer or a late
request cannot lead into another attempt or another job of the same name.
"""

import hashlib
from base64 import b32encode

from trainyard.api.constants import ATTEMPT_DIGITS, UID_DIGITS


def uid5(uid: str) -> str:
    """Five characters [a-z2-7] that stand for a job's UID in every name."""
    return b32encode(hashlib.sha256(uid.encode()).digest()).decode()[:UID_DIGITS].lower()


def service_name(job: str, uid5: str) -> str:
    """Name of the headless Service, `gpt-x7k2p`: the pods' subdomain."""
    return f"{job}-{uid5}"


def record_name(job: str, uid5: str, attempt: int) -> str:
    """Name of an attempt's record, `gpt-x7k2p-a2`."""
    return f"{job}-{uid5}-a{attempt}"


def hosts_name(job: str, uid5: str, attempt: int) -> str:
    """Name of an attempt's hosts ConfigMap, `gpt-x7k2p-a2-hosts`."""
    return f"{record_name(job, uid5, attempt)}-hosts"


def pod_name(job: str, uid5: str, attempt: int, role: str, index: int) -> str:
    """Name and hostname of a replica's pod, `gpt-x7k2p-a2-worker-3`; `attempt` is the pod's incarnation."""
    return f"{record_name(job, uid5, attempt)}-{role}-{index}"


def owned_claim_name(job: str, uid5: str) -> str:
    """Name of a checkpoint claim that goes with its job, `gpt-x7k2p-ckpt`."""
    return f"{job}-{uid5}-ckpt"


def retained_claim_name(job: str) -> str:
    """Name of a checkpoint claim that outlives its job, `gpt-ckpt`: a job applied again finds it."""
    return f"{job}-ckpt"


def longest_pod_name(job: str, role: str, replicas: int) -> int:
    """Length of the longest pod name that a role can ever get: five digits are kept for the attempt."""
    fixed = len("-") + UID_DIGITS + len("-a") + ATTEMPT_DIGITS + len("--")
    return len(job) + len(role) + fixed + len(str(replicas - 1))
