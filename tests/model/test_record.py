"""Does a record come back as it was written, and is an unreadable one refused rather than guessed?"""

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.api.constants import MAX_PODS, MAX_ROLES
from trainyard.model.record import Record, RecordDraft, RecordRole, decode_record, encode_record

WORDS = st.text("abcdefghij-", min_size=1, max_size=12)
ROLES = st.lists(
    st.builds(
        RecordRole,
        name=WORDS,
        replicas=st.integers(1, 20),
        completes=st.booleans(),
        trainer=WORDS,
        framework=st.sampled_from(["torch", "tensorflow", "jax", "custom"]),
        gpus=st.integers(0, 8),
        processes=st.integers(1, 8),
        resources=st.dictionaries(WORDS, st.integers(0, 2**50)).map(lambda d: tuple(sorted(d.items()))),
        host_ports=st.lists(st.integers(1, 65_535), max_size=3, unique=True).map(tuple),
        coordinator_ports=st.lists(st.integers(1, 65_535), max_size=1).map(tuple),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda role: role.name,
).map(tuple)


@st.composite
def drafts(draw: st.DrawFn) -> RecordDraft:
    roles = draw(ROLES)
    size = sum(role.replicas for role in roles)
    claim, directory = draw(st.sampled_from([("", ""), ("ckpt", "runs/7")]))
    return RecordDraft(
        job_uid=draw(WORDS),
        attempt=draw(st.integers(0, 99_999)),
        roles=roles,
        nodes=tuple(draw(st.lists(WORDS, min_size=size, max_size=size))),
        spec_hash=draw(WORDS),
        build=draw(WORDS),
        restarts=draw(st.integers(0, 1000)),
        dead=tuple(draw(st.lists(WORDS, max_size=3))),
        host_ports=draw(st.sampled_from([None, (20000, 28999)])),
        claim=claim,
        directory=directory,
    )


@given(drafts())
def test_what_is_written_is_read(draft: RecordDraft) -> None:
    data = encode_record(draft)
    record = decode_record(data, name="n", uid="u", created=3.0)
    assert encode_record(record) == data == encode_record(draft)
    for name in RecordDraft.__dataclass_fields__:
        assert getattr(record, name) == getattr(draft, name)
    assert (record.name, record.uid, record.created, record.deleting) == ("n", "u", 3.0, False)


@given(drafts())
def test_ranks_and_seats_are_a_bijection(draft: RecordDraft) -> None:
    seats = [draft.locate(rank) for rank in range(draft.size)]
    assert len({(role.name, index) for role, index in seats}) == draft.size
    assert all(draft.first_rank(role.name) + index == rank for rank, (role, index) in enumerate(seats))


def test_nobody_sits_outside() -> None:
    record = Record("u", 4, (RecordRole("worker", 2, True, "trainer", "torch", 0, 1),), ("", ""), "h", "b")
    assert record.incarnation(1) == 4
    for rank in (2, -1):
        with pytest.raises(IndexError):
            record.incarnation(rank)
    with pytest.raises(IndexError):
        record.locate(2)
    with pytest.raises(IndexError):
        record.locate(-1)
    with pytest.raises(KeyError):
        record.first_rank("ps")


def test_ten_thousand_long_node_names_fit_into_a_config_map() -> None:
    nodes = tuple(f"ip-10-{i // 256}-{i % 256}-17.us-west-2.compute.internal" for i in range(10_000))
    role = RecordRole("worker", 10_000, True, "trainer", "torch", 8, 8)
    assert len(encode_record(RecordDraft("u", 0, (role,), nodes, "h", "b"))) < 300_000


def packed(value: Any) -> bytes:
    return gzip.compress(json.dumps(value).encode(), mtime=0)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not gzip",
        gzip.compress(b"{", mtime=0),
        gzip.compress(b"{}", mtime=0)[:-4],
        packed({}),
        packed([]),
        packed({"jobUid": 1}),
    ],
)
def test_an_unreadable_record_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode_record(data, name="gpt-x7k2p-a2", uid="u", created=0.0)


FORGERIES: list[dict[str, Any]] = [
    {"jobUid": 7},
    {"attempt": "0"},
    {"attempt": -1},
    {"attempt": True},
    {"nodes": [["n"], "n"]},
    {"nodes": [None, "n"]},
    {"dead": [{}]},
    {"build": None},
    {"hostPorts": ["a", "b"]},
    {"hostPorts": [1]},
    {"claim": ["ckpt"]},
    {"directory": None},
    {"roles": [{"replicas": 2.0}]},
    {"roles": [{"replicas": "2"}]},
    {"roles": [{"completes": "yes"}]},
    {"roles": [{"resources": {"cpu": "1"}}]},
    {"roles": [{"hostPorts": [[]]}]},
    {"roles": [{"trainer": []}]},
]


@pytest.mark.parametrize("forged", FORGERIES, ids=json.dumps)
def test_a_record_with_a_value_of_another_kind_is_refused(forged: dict[str, Any]) -> None:
    """Whoever reads it later would stumble, and not over this one alone."""
    role = RecordRole("worker", 2, True, "trainer", "torch", 0, 1, (("cpu", 1),))
    draft = RecordDraft("u", 0, (role,), ("n", "n"), "h", "b", host_ports=(20000, 20001))
    good = json.loads(gzip.decompress(encode_record(draft)))
    assert decode_record(packed(good), name="n", uid="u", created=0.0).size == 2
    roles = [{**good["roles"][0], **forged["roles"][0]}] if "roles" in forged else good["roles"]
    with pytest.raises(ValueError, match="is not readable"):
        decode_record(packed({**good, **forged, "roles": roles}), name="n", uid="u", created=0.0)


def test_a_record_that_is_only_large_is_refused() -> None:
    with pytest.raises(ValueError, match="unpacks to more"):
        decode_record(gzip.compress(b" " * 40_000_000, mtime=0), name="n", uid="u", created=0.0)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[" + "{}," * 15_000 + "{}]", id="objects"),
        pytest.param("[" + "[]," * 15_000 + "[]]", id="lists"),
        pytest.param("[" + "0," * 200_000 + "0]", id="numbers"),
        pytest.param("[" * 900 + "]" * 900, id="deep"),
    ],
)
def test_a_record_of_more_parts_than_any_is_refused_unparsed(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As objects of Python it is many times as large."""

    def never(_: bytes) -> None:
        raise AssertionError("it was parsed")

    monkeypatch.setattr("trainyard.model.record.json.loads", never)
    with pytest.raises(ValueError, match="more parts than any record"):
        decode_record(gzip.compress(text.encode(), mtime=0), name="n", uid="u", created=0.0)


def test_what_is_said_of_an_unreadable_record_is_short() -> None:
    data = gzip.compress(b'{"jobUid":"' + b"\xff" * 100_000 + b'"}', mtime=0)
    with pytest.raises(ValueError, match="record n is not readable") as caught:
        decode_record(data, name="n", uid="u", created=0.0)
    assert len(f"{caught.value!r}") < 1000
    assert caught.value.__cause__ is None, "a log would show it in full"


@pytest.mark.parametrize("word", ["\ud800", "\u00e9"], ids=ascii)
def test_a_record_with_a_text_that_no_name_has_is_refused(word: str) -> None:
    """No name in Kubernetes has such letters, and half of a pair cannot even be written to a log."""
    role = RecordRole(word, 1, True, "trainer", "torch", 0, 1)
    other = RecordRole("worker", 1, True, "trainer", "torch", 0, 1)
    for draft in (RecordDraft("u", 0, (role,), ("n",), "h", "b"), RecordDraft("u", 0, (other,), (word,), "h", "b")):
        with pytest.raises(ValueError, match="a text is none"):
            decode_record(encode_record(draft), name="n", uid="u", created=0.0)


def test_the_largest_record_is_read() -> None:
    needs = tuple(sorted((f"example.com/device-{number}", 2**50) for number in range(20)))
    ports, first = (20_000, 20_001, 20_002), (20_003,)
    roles = tuple(
        RecordRole(f"role-{number:058}", MAX_PODS // MAX_ROLES, True, "t" * 63, "torch", 8, 8, needs, ports, first)
        for number in range(MAX_ROLES)
    )
    nodes = tuple(f"{rank:0253}" for rank in range(MAX_PODS))
    draft = RecordDraft(
        "u" * 36, 99_999, roles, nodes, "h" * 64, "b", 1000, nodes, (20_000, 28_999), "c" * 253, "d" * 256
    )
    record = decode_record(encode_record(draft), name="n", uid="u", created=0.0)
    assert (record.size, record.nodes, record.dead) == (MAX_PODS, nodes, nodes)


def test_a_flipped_bit_is_refused() -> None:
    role = RecordRole("worker", 1, True, "trainer", "torch", 0, 1)
    data = bytearray(encode_record(RecordDraft("u", 0, (role,), ("node",), "h", "b")))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(ValueError):
        decode_record(bytes(data), name="n", uid="u", created=0.0)


def test_a_record_without_a_node_for_every_rank_is_refused() -> None:
    role = RecordRole("worker", 2, True, "trainer", "torch", 0, 1)
    with pytest.raises(ValueError, match="1 nodes for 2 ranks"):
        decode_record(encode_record(RecordDraft("u", 0, (role,), ("a",), "h", "b")), name="n", uid="u", created=0.0)


@pytest.mark.parametrize(("roles", "replicas"), [(1, MAX_PODS + 1), (MAX_ROLES + 1, 1)])
def test_a_record_larger_than_any_job_is_refused(roles: int, replicas: int) -> None:
    """Small while it is packed, it would fill our memory."""
    role = RecordRole("worker", replicas, True, "trainer", "torch", 0, 1)
    draft = RecordDraft("u", 0, (role,) * roles, ("",) * (roles * replicas), "h", "b")
    with pytest.raises(ValueError, match="no job has"):
        decode_record(encode_record(draft), name="n", uid="u", created=0.0)
