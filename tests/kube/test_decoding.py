"""Is an answer read as it is, whatever it holds, and only its managedFields left out?"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.kube.decoding import decode, decode_packed

Object = dict[str, Any]


def encoded(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def obj(name: str, *keys: str, after: bool = False, subresource: bool = False) -> Object:
    """With managedFields of these keys, last in its metadata as of typed kinds, or in the middle as of custom ones."""
    entry: Object = {"manager": "m", "fieldsV1": {"f:spec": {"f:x": {}, **{key: {".": {}} for key in keys}}}}
    if subresource:
        entry["subresource"] = "status"
    meta: Object = {"uid": "u", "managedFields": [entry, entry]}
    meta = {**meta, "name": name} if after else {"name": name, **meta}
    return {"kind": "Pod", "metadata": meta, "spec": {"list": [{"a": [{}]}], "text": ',"managedFields":[{}]'}}


def bare(full: Object) -> Object:
    return {**full, "metadata": {k: v for k, v in full["metadata"].items() if k != "managedFields"}}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("subresource", [False, True])
def test_managed_fields_are_left_out_and_nothing_else(after: bool, subresource: bool) -> None:
    full = obj("a", after=after, subresource=subresource)
    assert decode(encoded(full)) == bare(full)


def test_of_every_item_of_a_list_and_of_watch_events() -> None:
    items = [obj("a"), {"metadata": {"name": "b"}}, obj("c", after=True)]
    listed = {"kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": items}
    assert decode(encoded(listed)) == {**listed, "items": [bare(items[0]), items[1], bare(items[2])]}
    assert decode(encoded({"type": "ADDED", "object": items[0]})) == {"type": "ADDED", "object": bare(items[0])}


@pytest.mark.parametrize("key", ['k:{"name":"}]"}', "f:}]", "f:}],", 'v:"}]}"', "f:}]}", "."])
def test_a_name_that_looks_like_their_end_costs_time_only(key: str) -> None:
    full = obj("a", key)
    assert bare(decode(encoded(full))) == bare(full)


def test_an_answer_cut_short_is_an_error() -> None:
    whole = encoded(obj("a"))
    for length in (whole.index(b"managedFields") + 30, len(whole) - 1):
        with pytest.raises(ValueError, match="line 1"):
            decode(whole[:length])


@given(st.lists(st.text(alphabet='}]{[",:\\ax', max_size=12)), st.booleans(), st.text(alphabet='}]{[",:\\ax'))
def test_whatever_the_names_the_rest_is_read_as_it_is(keys: list[str], after: bool, text: str) -> None:
    full = obj("a", *(f"f:{key}" for key in keys), after=after)
    full["spec"]["more"] = {text: [text, {text: {}}]}
    assert bare(decode(encoded(full))) == bare(full)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("managedFields"), inner),
    )
)
def test_other_json_is_read_as_json(value: Any) -> None:
    """Whoever has a list of his own called managedFields loses it: the API server's is the only one anybody reads."""
    text = encoded({"value": value})
    if b',"managedFields":[' not in text:
        assert decode(text) == {"value": value}


# watch events whose spec stays packed


def pod_event(spec: Object, **more: Any) -> Object:
    meta = {
        "name": "p",
        "annotations": {"a": '},"spec":{},"status":{}'},
        "managedFields": [{"fieldsV1": {"f:spec": {}}}],
    }
    return {
        "type": "MODIFIED",
        "object": {"kind": "Pod", "metadata": {**meta, **more}, "spec": spec, "status": {"a": 1}},
    }


def test_a_spec_stays_packed_and_the_rest_is_read() -> None:
    spec = {"containers": [{"name": "trainer"}], "nodeName": "n1"}
    event = decode_packed(encoded(pod_event(spec)))
    assert event["object"].pop("spec") == encoded(spec)
    assert event == {
        "type": "MODIFIED",
        "object": bare({k: v for k, v in pod_event({})["object"].items() if k != "spec"}),
    }


@pytest.mark.parametrize(
    "event",
    [
        {"type": "ERROR", "object": {"kind": "Status", "metadata": {}, "status": "Failure", "code": 410}},
        {"type": "ADDED", "object": {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"spec": "x"}}},
        {"type": "ADDED", "object": {"kind": "Odd", "metadata": {"name": "o"}, "spec": 3, "status": {}}},
        {"type": "ADDED", "object": {"metadata": {"a": {"b": {}, "spec": {}, "status": {}}}, "spec": {}, "status": 1}},
    ],
)
def test_what_is_no_pod_is_read_whole(event: Object) -> None:
    assert decode_packed(encoded(event)) == event


@given(st.text(alphabet='}]{[",:\\ax'), st.booleans())
def test_nothing_that_somebody_wrote_is_taken_for_the_end_of_a_spec(text: str, inner: bool) -> None:
    spec: Object = {"env": [{"name": text, "value": f'}},"status":{{{text}'}], "x": {"y": {}}}
    if inner:
        spec["x"] |= {"status": {"z": 1}, "more": text}  # no pod has such a thing today
    full = pod_event(spec, labels={text: f'}},"spec":{text}'})
    event = decode_packed(encoded(full))
    found = event["object"]["spec"]
    event["object"]["spec"] = json.loads(found) if isinstance(found, bytes) else found
    assert {**event, "object": bare(event["object"])} == {**full, "object": bare(full["object"])}
