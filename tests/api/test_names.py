"""Are names functions of identity, valid in DNS, and never shared?"""

from __future__ import annotations

import re
import uuid

from hypothesis import given
from hypothesis import strategies as st

from api.builders import role, spec
from trainyard.api.names import (
    hosts_name,
    longest_pod_name,
    owned_claim_name,
    pod_name,
    record_name,
    retained_claim_name,
    service_name,
    uid5,
)
from trainyard.api.validation import InvalidSpec, read_job

LABEL = st.from_regex(r"[a-z]([-a-z0-9]{0,45}[a-z0-9])?", fullmatch=True)


def test_the_documented_names() -> None:
    assert service_name("gpt", "x7k2p") == "gpt-x7k2p"
    assert record_name("gpt", "x7k2p", 2) == "gpt-x7k2p-a2"
    assert hosts_name("gpt", "x7k2p", 2) == "gpt-x7k2p-a2-hosts"
    assert pod_name("gpt", "x7k2p", 2, "worker", 3) == "gpt-x7k2p-a2-worker-3"
    assert owned_claim_name("gpt", "x7k2p") == "gpt-x7k2p-ckpt"
    assert retained_claim_name("gpt") == "gpt-ckpt"


def test_the_part_of_the_uid_never_changes() -> None:
    """Objects of running jobs are found by it: another function would lose them."""
    assert uid5("6f1f0f6e-0f5c-4a53-9d4a-1f2e3d4c5b6a") == "lrem3"


@given(st.uuids())
def test_the_part_of_the_uid_is_a_piece_of_a_dns_label(uid: uuid.UUID) -> None:
    assert re.fullmatch("[a-z0-9]{5}", uid5(str(uid)))


@given(LABEL, LABEL, st.integers(1, 10_000))
def test_the_longest_name_is_reckoned_exactly(job: str, name: str, replicas: int) -> None:
    assert longest_pod_name(job, name, replicas) == len(pod_name(job, "x7k2p", 99_999, name, replicas - 1))


@given(LABEL, LABEL, st.integers(1, 10_000))
def test_what_is_accepted_has_names_that_dns_takes(job: str, name: str, replicas: int) -> None:
    try:
        read_job(job, spec(role(name[:40].rstrip("-"), replicas=replicas)))
    except InvalidSpec as refusal:
        assert "too long for pods" in str(refusal)
        return
    longest = pod_name(job, uid5("u"), 99_999, name[:40].rstrip("-"), replicas - 1)
    assert re.fullmatch("[a-z]([-a-z0-9]{0,61}[a-z0-9])?", longest)


Identity = tuple[int, str, int]


@given(st.lists(st.tuples(st.integers(0, 99_999), LABEL, st.integers(0, 9_999)), unique=True, max_size=20))
def test_no_two_pods_of_a_job_share_a_name(pods: list[Identity]) -> None:
    names = {pod_name("gpt", "x7k2p", attempt, role_name, index) for attempt, role_name, index in pods}
    assert len(names) == len(pods)
