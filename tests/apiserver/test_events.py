"""Do Kubernetes events tell a job's story: after the commit, once, about the job, where `kubectl describe` looks?"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from support.manifests import job, role
from support.operator import OperatorProcess
from support.world import World
from trainyard.api.constants import MANAGER
from trainyard.kube.resources import EVENTS

Object = dict[str, Any]


async def ours(world: World) -> list[Object]:
    """Events that the operator wrote into this namespace."""
    page = await world.client.list(EVENTS, world.namespace)
    return [e for e in page.items if e.get("reportingController") == MANAGER]


async def until_event(world: World, words: str, seen: int = 1) -> Object:
    """The one event whose note holds these words, once it was seen so often."""

    def found() -> list[Object]:
        listed = world.cluster.kubectl("get", "events.events.k8s.io", "-n", world.namespace, "-o", "json").stdout
        events = [e for e in json.loads(listed)["items"] if words in e.get("note", "")]
        return [e for e in events if count(e) >= seen]

    events = await world.poll(found, f"an event with {words!r}, {seen} times")
    assert len(events) == 1, events
    event: Object = events[0]
    return event


def count(event: Object) -> int:
    return int((event.get("series") or {}).get("count", 1))


async def test_a_failure_is_told_once_after_it_was_written_and_never_per_pod(world: World) -> None:
    await world.add_nodes(4)
    await world.operator()
    await world.apply(job("j", role(replicas=20)))
    await world.until_phase("j", "Running")
    await world.finish_all("j", code=3)
    await world.until(lambda: world.status("j")["attempt"] == 1, "the close")
    await world.until_phase("j", "Running")
    told = await until_event(world, "attempt 0 closed")
    commit = next(
        h.version
        for h in world.history.ordered()
        if h.kind == "TrainingJob" and (h.object.get("status") or {}).get("attempt") == 1
    )
    assert int(told["metadata"]["resourceVersion"]) > commit, "first the commit, then the word of it"
    assert (told["type"], told["reason"]) == ("Warning", "ApplicationFailure")
    assert "exited with 3" in told["note"]
    about = told["regarding"]
    assert (about["kind"], about["name"], about["uid"]) == ("TrainingJob", "j", world.job("j")["metadata"]["uid"])
    events = await ours(world)
    assert {e["regarding"]["kind"] for e in events} == {"TrainingJob"}
    assert len(events) < 10, [e["note"] for e in events]


async def test_the_same_words_are_one_event_with_a_count(world: World) -> None:
    await world.add_nodes(2)
    await world.operator()
    await world.apply(job("j", role(replicas=1), suspend=True))
    for turn in (1, 2):
        await world.until_phase("j", "Suspended")
        told = await until_event(world, "suspended: the job holds no pods", seen=turn)
        assert count(told) == turn
        await world.patch_job("j", {"suspend": False})
        await world.until_phase("j", "Running")
        await world.patch_job("j", {"suspend": True})
    await world.until_phase("j", "Suspended")


async def test_describe_shows_them(world: World) -> None:
    await world.add_nodes(2)
    await world.operator()
    await world.apply(job("j", role(replicas=1)))
    await world.until_phase("j", "Running")
    await world.finish_all("j")
    await world.until_phase("j", "Succeeded")
    await until_event(world, "all 1 completing replicas exited 0")
    text = await asyncio.to_thread(world.kubectl, "describe", "trainingjob", "j")
    _, _, events = text.partition("Events:")
    assert "AllRanksRunning" in events
    assert "AllCompleted" in events
    assert MANAGER in events


async def test_every_decision_is_a_line_of_the_log_with_its_job_and_attempt(world: World) -> None:
    await world.add_nodes(2)
    operator = await world.operator(settle_time="2s", log_format="json")
    await world.apply(job("j", role(replicas=2, gpus=8)))
    await world.until_phase("j", "Running")
    await world.apply(job("waits", role(replicas=1, gpus=8)))
    await world.until(lambda: world.condition("waits", "Placed").get("reason") == "InsufficientCapacity", "the wait")
    await world.annotate(world.pods("j")[1]["metadata"]["name"], exit_code="7")
    await world.until(lambda: world.status("j")["restarts"]["application"] == 1, "the charge")
    await world.poll(lambda: "episode of attempt 0 settled" in operator.tail(), "its line")  # comes after the write
    lines = logged(operator, f"{world.namespace}/j")
    assert {line["uid"] for line in lines} == {world.job("j")["metadata"]["uid"]}
    said = [(line["attempt"], line["message"].partition(":")[0].partition(" on ")[0]) for line in lines]
    story = [
        (0, "granted"),
        (0, "attempt recorded"),
        (0, "attempt 0 opened with 2 ranks"),
        (0, "pods created"),
        (0, "attempt 0 closed, ApplicationFailure"),
        (1, "pods deleted"),
        (1, "episode of attempt 0 settled"),
    ]
    assert [part for part in story if part not in said] == [], said
    (closed,) = [line for line in lines if line["message"].startswith("attempt 0 closed")]
    assert "rank 1" in closed["message"] and "exited with 7" in closed["message"]
    told, *_ = [line for line in logged(operator, f"{world.namespace}/waits") if line["message"] == "waits"]
    assert (told["attempt"], told["reason"]) == (0, "InsufficientCapacity") and "8" in told["why"]


def logged(operator: OperatorProcess, key: str) -> list[Object]:
    """The lines about one job."""
    lines: list[Object] = [json.loads(text) for text in operator.tail(10_000).splitlines()]
    return [line for line in lines if line.get("job") == key]
