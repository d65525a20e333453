"""Do the metrics of a running operator say what is true of the world, through a job's whole life, and to whom?"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from support.manifests import job, role
from support.operator import OperatorProcess
from support.series import Scrape
from support.shipped import NAME
from support.world import World
from telemetry.authority import Authority

GPU = "nvidia.com/gpu"
STEPS = ("record", "create", "bind", "start", "ready")


async def scrape(operator: OperatorProcess, **options: Any) -> Scrape:
    status, text = await answer(operator, **options)
    assert status == 200, text
    return Scrape(text)


async def answer(operator: OperatorProcess, *, token: str = "", authority: Authority | None = None) -> tuple[int, str]:
    scheme, context = ("https", authority.trusting()) if authority else ("http", True)
    url = f"{scheme}://127.0.0.1:{operator.metrics_port}/metrics"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers, ssl=context) as got:
        return got.status, await got.text()


async def until(operator: OperatorProcess, holds: Callable[[Scrape], bool], what: str, **options: Any) -> Scrape:
    """The first scrape of which this is true; the operator's answers are a second old at most."""
    got: Scrape | None = None
    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    got = await scrape(operator, **options)
                    if holds(got):
                        return got
                except aiohttp.ClientConnectorError:
                    pass  # it has just been started
                await asyncio.sleep(0.3)
    except TimeoutError:
        raise AssertionError(f"not within 30 s: {what}\n{operator.tail()}") from None


def phase(got: Scrape, name: str) -> str:
    return next((p for p, on in got.by("phase", "job_phase", job_name=name).items() if on), "")


async def end_is_told(world: World, operator: OperatorProcess, me: dict[str, str], node: str) -> None:
    """How the job ended, what its end settles; and then, once it is deleted, nothing of it."""
    await world.finish_all("gpt")
    await world.until_phase("gpt", "Succeeded")
    got = await until(operator, lambda got: phase(got, "gpt") == "Succeeded", "to tell of the end")
    assert got.total("jobs_finished_total", phase="Succeeded", reason="AllCompleted") == 1
    assert got.value("job_run_seconds_count", phase="Succeeded") == 1
    assert got.value("job_finished_timestamp_seconds", **me) is not None
    closed = {"cause": "ApplicationFailure", "reason": "ApplicationFailure", "namespace": world.namespace}
    assert got.value("attempts_closed_total", **closed) == 1, "an end settles what is open"
    assert got.value("node_failures_total", node=node, cause="ApplicationFailure") == 1
    assert got.total("accelerators_held") == 0
    assert got.all("job_ranks", **me) == []

    await world.delete_job("gpt")
    await until(operator, lambda got: got.names(["gpt"]) == set(), "its series to vanish")


async def test_a_whole_life_is_told_as_it_happens(world: World) -> None:
    await world.add_nodes(3)
    operator = await world.operator()
    await until(operator, lambda got: got.value("leader") == 1, "to lead")
    await world.apply(job("holder", role(replicas=1, gpus=8)))
    await world.until_phase("holder", "Running")

    # Waiting: no room for three.
    await world.apply(job("gpt", role(replicas=3, gpus=8), role("server", 1, completes=False)))
    got = await until(
        operator, lambda got: got.by("reason", "jobs_waiting") == {"InsufficientCapacity": 1}, "to tell of the wait"
    )
    me = {"namespace": world.namespace, "job_name": "gpt"}
    assert phase(got, "gpt") == "Pending"
    assert got.value("job_waiting_seconds", **me, reason="InsufficientCapacity") is not None
    assert got.value("job_accelerators_requested", **me, role="worker", resource=GPU) == 24
    assert got.value("job_accelerators_held", **me, role="worker", resource=GPU) == 0
    assert got.total("accelerators_held") == 8
    nodes = got.by("state", "cluster_accelerators", resource=GPU)
    assert nodes == {"used": 8, "promised": 0, "unavailable": 0, "free": 16}
    assert got.by("state", "nodes") == {"ready": 3, "cordoned": 0, "not_ready": 0, "unreachable": 0}
    assert got.by("state", "job_ranks", **me, role="worker")["missing"] == 3

    # Running, once there is room.
    await world.delete_job("holder")
    await world.until_phase("gpt", "Running")
    got = await until(operator, lambda got: got.total("job_ranks", **me, state="ready") == 4, "to tell of four ranks")
    assert phase(got, "gpt") == "Running"
    assert got.all("jobs_waiting") == []
    assert got.value("job_accelerators_held", **me, role="worker", resource=GPU) == 24
    assert got.total("accelerators_idle") == 0
    assert got.by("state", "cluster_accelerators", resource=GPU)["used"] == 24
    assert got.by("node", "job_pod_info", **me, role="worker") == {
        pod["spec"]["nodeName"]: 1
        for pod in world.pods("gpt")
        if pod["metadata"]["labels"]["trainyard.dev/role"] == "worker"
    }
    assert got.value("job_queue_wait_seconds_count", start="first", outcome="opened") == 2
    assert [got.value("job_start_step_seconds_count", step=step) for step in STEPS] == [2] * 5
    total = got.value("job_start_seconds_sum", start="first")
    told = sum(got.value("job_start_step_seconds_sum", step=step) or 0 for step in STEPS[:-1])
    assert total == pytest.approx(told, abs=0.1), "the steps are parts of the whole"
    assert got.total("job_recovery_seconds_count") == 0
    assert got.total("status_writes_total", outcome="written") > 0
    assert got.value("pods_created_total") == 5

    # A pod fails and the gang comes back.
    failed = world.pods("gpt")[0]
    await world.annotate(failed["metadata"]["name"], exit_code="1")
    await world.until(lambda: world.status("gpt").get("attempt") == 1, "the attempt to move")
    await world.until_phase("gpt", "Running")
    got = await until(
        operator,
        lambda got: got.value("job_recovery_seconds_count", cause="ApplicationFailure") == 1,
        "to tell of the recovery",
    )
    steps = got.by("step", "job_recovery_step_seconds_count")
    assert steps == dict.fromkeys(("delete", "place", "create", "bind", "start"), 1)
    whole = got.value("job_recovery_seconds_sum", cause="ApplicationFailure")
    assert whole == pytest.approx(got.total("job_recovery_step_seconds_sum"), abs=0.1)
    assert got.value("job_attempt", **me) == 1
    assert got.value("job_restarts_unsettled", **me) == 1, "blamed later"
    assert got.by("start", "attempts_opened_total", namespace=world.namespace) == {"first": 2, "restart": 1}
    assert {labels["attempt"] for labels, _ in got.all("job_pod_info", **me)} == {"1"}
    await end_is_told(world, operator, me, failed["spec"]["nodeName"])


async def test_only_the_leader_tells_of_jobs_and_a_fail_over_loses_none(world: World) -> None:
    await world.add_nodes(1)
    first = await world.operator("first")
    await until(first, lambda got: got.value("leader") == 1, "the first to lead")
    second = await world.operator("second")
    await world.apply(job("gpt", role(replicas=1, gpus=8)))
    await world.until_phase("gpt", "Running")
    got = await until(
        second,
        lambda got: (
            got.value("cache_objects", resource="jobs") == 1
            and set(got.by("resource", "watch_healthy").values()) == {1}
        ),
        "the standby to watch",
    )
    assert got.value("leader") == 0
    assert got.names(["gpt"]) == set()
    assert got.all("jobs") == [] and got.all("nodes") == []
    age = got.value("lease_age_seconds")
    assert age is not None and age < 10

    first.send(signal.SIGTERM)
    await first.wait()
    got = await until(second, lambda got: got.value("leader") == 1, "the second to lead")
    got = await until(second, lambda got: phase(got, "gpt") == "Running", "the second to tell of the job")
    assert got.value("job_info", job_name="gpt") == 1
    assert got.total("job_start_step_seconds_count") == 0, "it has not seen the start"


async def test_readers_must_be_allowed_to_by_the_cluster(world: World) -> None:
    authority = await asyncio.to_thread(Authority, world.folder)
    files = await asyncio.to_thread(authority.pair, "metrics")
    operator = await world.operator(
        metrics_tls_cert=files.certificate, metrics_tls_key=files.key, metrics_auth="kubernetes"
    )
    binding = f"{world.namespace}-reader"
    role_rules = [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": world.namespace}
    reviewer = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"}
    documents = [
        *({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": n}} for n in ("reader", "stranger")),
        _rbac("ClusterRole", binding, rules=role_rules),
        _rbac(
            "ClusterRoleBinding",
            binding,
            roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": binding},
            subjects=[subject],
        ),
        # The chart grants these rights too where it sets metrics.auth, and not otherwise.
        _rbac("ClusterRoleBinding", f"{binding}s-judge", roleRef=reviewer, subjects=[{**subject, "name": NAME}]),
    ]
    await asyncio.to_thread(world.kubectl, "apply", "-f", "-", documents=documents)
    try:
        tokens = {
            name: (await asyncio.to_thread(world.kubectl, "create", "token", name)).strip()
            for name in ("reader", "stranger")
        }
        got = await until(
            operator, lambda got: got.value("leader") == 1, "to lead", token=tokens["reader"], authority=authority
        )
        reviews = got.total("api_requests_total", resource="tokenreviews.authentication.k8s.io")
        assert reviews == 1, "one review serves many scrapes"
        status, words = await answer(operator, token=tokens["stranger"], authority=authority)
        assert status == 403
        assert f"system:serviceaccount:{world.namespace}:stranger may not" in words
        assert (await answer(operator, token="forged", authority=authority))[0] == 401
        assert (await answer(operator, authority=authority))[0] == 401
    finally:
        gone = [f"clusterrolebinding/{binding}", f"clusterrolebinding/{binding}s-judge", f"clusterrole/{binding}"]
        await asyncio.to_thread(world.kubectl, "delete", *gone, "--wait=false")
    log = await asyncio.to_thread(operator.log.read_text)
    assert not any(token in log for token in tokens.values())


def _rbac(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name}, **more}
