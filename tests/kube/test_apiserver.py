"""Does a real API server agree with what the client, the informer and the electors take for granted?"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from kube import candidate
from kube.store import Store, View, translate
from support.yard import Cluster
from trainyard.kube.client import Client, Page
from trainyard.kube.credentials import from_kubeconfig
from trainyard.kube.errors import AlreadyExists, Conflict, Gone, Invalid, NotFound
from trainyard.kube.informer import Informer
from trainyard.kube.resources import CONFIG_MAPS, LEASES, NAMESPACES, PODS, Resource

pytestmark = pytest.mark.apiserver


def config_map(namespace: str, name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": name, "labels": labels}, "data": {"key": "value"}}


@asynccontextmanager
async def informing(client: Client, store: Store, **options: Any) -> AsyncIterator[Informer[View]]:
    informer = Informer(client, CONFIG_MAPS, translate=translate, sink=store, **options)
    task = asyncio.create_task(informer.run())
    try:
        await asyncio.wait_for(informer.wait_synced(), 30)
        yield informer
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


# the client


async def test_preconditions_and_refusals(live: Client, namespace: str) -> None:
    made = await live.create(CONFIG_MAPS, config_map(namespace, "a"))
    uid, version = made["metadata"]["uid"], made["metadata"]["resourceVersion"]
    assert "managedFields" not in made["metadata"]
    found = await live.get(CONFIG_MAPS, "a", namespace)
    assert found["metadata"]["managedFields"][0]["manager"] == "trainyard"
    with pytest.raises(AlreadyExists):
        await live.create(CONFIG_MAPS, config_map(namespace, "a"))
    newer = await live.patch(CONFIG_MAPS, "a", {"data": {"key": None}}, namespace, resource_version=version)
    assert "data" not in newer
    with pytest.raises(Conflict):
        await live.patch(CONFIG_MAPS, "a", {"data": {"x": "y"}}, namespace, resource_version=version)
    with pytest.raises(Conflict):
        await live.update(CONFIG_MAPS, made)
    with pytest.raises(Conflict):
        await live.delete(CONFIG_MAPS, "a", namespace, uid="another")
    with pytest.raises(Conflict):
        await live.delete(CONFIG_MAPS, "a", namespace, uid=uid, resource_version=version)
    await live.delete(CONFIG_MAPS, "a", namespace, uid=uid)
    with pytest.raises(NotFound) as caught:
        await live.delete(CONFIG_MAPS, "a", namespace, uid=uid)
    assert caught.value.is_object_missing("a")
    with pytest.raises(Invalid):
        await live.create(CONFIG_MAPS, config_map(namespace, "No Name"))


async def test_only_a_missing_object_counts_as_missing(live: Client, namespace: str) -> None:
    with pytest.raises(NotFound) as missing:
        await live.get(CONFIG_MAPS, "gpt", namespace)
    assert missing.value.is_object_missing("gpt")
    with pytest.raises(NotFound) as no_such_resource:
        await live.get(Resource("trainyard.dev", "v0", "nothings", "Nothing"), "gpt", namespace)
    assert not no_such_resource.value.is_object_missing("gpt")
    with pytest.raises(NotFound) as no_namespace:
        await live.create(CONFIG_MAPS, config_map("no-such-namespace", "gpt"))
    assert not no_namespace.value.is_object_missing("gpt")


async def test_a_dry_run_tells_and_leaves_nothing(live: Client, namespace: str) -> None:
    spec = {"containers": [{"name": "trainer", "image": "busybox"}]}
    told = await live.create(PODS, {"metadata": {"namespace": namespace, "name": "p"}, "spec": spec}, dry_run=True)
    assert told["spec"]["tolerations"]  # admission had its say
    assert (await live.list(PODS, namespace)).items == []


async def test_pods_have_their_status_and_their_grace(live: Client, namespace: str) -> None:
    spec = {"containers": [{"name": "trainer", "image": "busybox"}], "nodeName": "no-such-node"}
    made = await live.create(PODS, {"metadata": {"namespace": namespace, "name": "p"}, "spec": spec})
    version = made["metadata"]["resourceVersion"]
    ready = {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"}
    told = await live.patch_status(PODS, "p", ready, namespace, resource_version=version)
    assert told["status"]["phase"] == "Running"
    with pytest.raises(Conflict):
        await live.patch_status(PODS, "p", ready, namespace, resource_version=version)
    dying = await live.delete(PODS, "p", namespace, uid=made["metadata"]["uid"], grace_period_seconds=7)
    assert dying["metadata"]["deletionGracePeriodSeconds"] == 7
    await live.delete(PODS, "p", namespace, uid=made["metadata"]["uid"], grace_period_seconds=0)


async def test_pages_and_metadata(live: Client, namespace: str) -> None:
    await asyncio.gather(*(live.create(CONFIG_MAPS, config_map(namespace, f"c{i}", part="x")) for i in range(7)))
    pages = [
        page async for page in live.list_pages(CONFIG_MAPS, namespace, labels="part=x", page_size=3, metadata_only=True)
    ]
    assert [len(page.items) for page in pages] == [3, 3, 1]
    assert len({page.resource_version for page in pages}) == 1
    assert not any("data" in item for page in pages for item in page.items)
    one = await live.get(CONFIG_MAPS, "c0", namespace, metadata_only=True)
    assert (one["kind"], "data" in one) == ("PartialObjectMetadata", False)
    named = await live.list(CONFIG_MAPS, namespace, fields="metadata.name=c3")
    assert [item["metadata"]["name"] for item in named.items] == ["c3"]


async def test_fenced_writes_carry_a_limit_that_the_server_takes(live: Client, namespace: str) -> None:
    fenced = live.fenced(lambda: 4.321)
    made = await fenced.create(CONFIG_MAPS, config_map(namespace, "a"))
    meta = made["metadata"]
    await fenced.patch(CONFIG_MAPS, "a", {"data": {"a": "b"}}, namespace, resource_version=meta["resourceVersion"])
    await fenced.delete(CONFIG_MAPS, "a", namespace, uid=meta["uid"])
    assert (await live.list(CONFIG_MAPS, namespace, fields="metadata.name=a")).items == []


async def test_server_time_is_this_machine_s(live: Client) -> None:
    await live.get(NAMESPACES, "default")
    assert live.clock.now() == pytest.approx(time.time(), abs=1.1)  # the server runs here


# the informer


async def test_an_informer_follows(live: Client, namespace: str) -> None:
    first = await live.create(CONFIG_MAPS, config_map(namespace, "first", mine="yes"))
    await live.create(CONFIG_MAPS, config_map(namespace, "foreign"))
    store = Store()
    async with informing(live, store, labels="mine=yes", metadata_only=True) as informer:
        assert store.names == ["first"]
        second = await live.create(CONFIG_MAPS, config_map(namespace, "second", mine="yes"))
        await store.until(lambda: store.names == ["first", "second"])
        await live.delete(CONFIG_MAPS, "first", namespace, uid=first["metadata"]["uid"])
        await store.until(lambda: store.names == ["second"])
        changed = await live.patch(CONFIG_MAPS, "second", {"metadata": {"labels": {"mine": "no"}}}, namespace)
        await store.until(lambda: store.names == [])
        assert store.story[-1] == ("delete", ("second", changed["metadata"]["resourceVersion"]))
        assert second["metadata"]["uid"] == changed["metadata"]["uid"]
        assert informer.healthy()


class Forgetful(Client):
    """Its first list claims to be from an earlier moment, one that the server has forgotten."""

    claims = ""
    lists = 0

    async def list_pages(self, *args: Any, **options: Any) -> AsyncGenerator[Page, None]:
        self.lists += 1
        async for page in super().list_pages(*args, **options):
            yield Page(page.items, self.claims if self.lists == 1 else page.resource_version)


class Slow(Store):
    """While it takes in its first list, the object `gone` is deleted."""

    kubeconfig = ""

    def replace(self, *args: Any, **options: Any) -> None:
        super().replace(*args, **options)
        if len(self.story) == 1:
            assert self.names == ["gone"]
            delete_elsewhere(self.kubeconfig, "default", "gone")


async def test_what_vanished_while_nobody_watched_is_deleted(mortal: Cluster) -> None:
    """A restarted server knows no moment before its restart: it answers 410, and the list that follows lacks one."""
    path = mortal.kubeconfig
    async with Forgetful(from_kubeconfig(path)) as client:
        client.claims = (await client.get(NAMESPACES, "default"))["metadata"]["resourceVersion"]
        await client.create(CONFIG_MAPS, config_map("default", "gone", vanish="yes"))
        await asyncio.to_thread(mortal.yard, "apiserver-restart")
        with pytest.raises(Gone):
            async for _ in client.watch(CONFIG_MAPS, resource_version=client.claims):
                pass
        store = Slow()
        store.kubeconfig = path
        async with informing(client, store, labels="vanish=yes"):
            await store.until(lambda: len(store.story) >= 2)
        assert store.story == [("replace", (None, [])), ("replace", (None, ["gone"]))]
        assert client.lists == 2


def delete_elsewhere(kubeconfig: str, namespace: str, name: str) -> None:
    """From another process, because the event loop stands still meanwhile."""
    code = (
        "import asyncio, sys\n"
        "from trainyard.kube.client import Client\n"
        "from trainyard.kube.credentials import from_kubeconfig\n"
        "from trainyard.kube.resources import CONFIG_MAPS\n"
        "async def main(path, namespace, name):\n"
        "    async with Client(from_kubeconfig(path)) as client:\n"
        "        uid = (await client.get(CONFIG_MAPS, name, namespace))['metadata']['uid']\n"
        "        await client.delete(CONFIG_MAPS, name, namespace, uid=uid)\n"
        "asyncio.run(main(*sys.argv[1:]))\n"
    )
    subprocess.run([sys.executable, "-c", code, kubeconfig, namespace, name], check=True, env=environment())


async def test_a_killed_api_server_costs_no_events(mortal: Cluster) -> None:
    async with Client(from_kubeconfig(mortal.kubeconfig)) as client:
        before = await client.create(CONFIG_MAPS, config_map("default", "before", mine="yes"))
        store = Store()
        async with informing(client, store, labels="mine=yes") as informer:
            await asyncio.to_thread(mortal.yard, "apiserver-restart")
            await client.create(CONFIG_MAPS, config_map("default", "after", mine="yes"))
            await client.delete(CONFIG_MAPS, "before", "default", uid=before["metadata"]["uid"])
            await store.until(lambda: store.names == ["after"], seconds=60)
            assert informer.healthy()


# the electors


def environment() -> dict[str, str]:
    root = Path(__file__).parents[2]
    return {**os.environ, "PYTHONPATH": str(root / "operator")}


@asynccontextmanager
async def candidacy(kubeconfig: str, namespace: str, name: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        candidate.__file__,
        *(kubeconfig, namespace, name),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def says(process: asyncio.subprocess.Process, wanted: str) -> list[str]:
    """Read what the process says until a line begins with `wanted`."""
    assert process.stdout is not None
    heard: list[str] = []
    async with asyncio.timeout(30):
        while not heard or not heard[-1].startswith(wanted):
            line = await process.stdout.readline()
            assert line, f"it ended after {heard[-3:]}"
            heard.append(line.decode().strip())
    return heard


async def writes(live: Client, namespace: str) -> list[tuple[int, str]]:
    """Who wrote, in the server's order."""
    listed = await live.list(CONFIG_MAPS, namespace, labels="writer", metadata_only=True)
    return sorted(
        (int(item["metadata"]["resourceVersion"]), item["metadata"]["labels"]["writer"]) for item in listed.items
    )


async def test_a_leader_that_dies_is_replaced(live: Client, kubeconfig: str, namespace: str) -> None:
    async with candidacy(kubeconfig, namespace, "a") as a, candidacy(kubeconfig, namespace, "b") as b:
        lease = None
        async with asyncio.timeout(30):
            while lease is None:
                with suppress(NotFound):
                    lease = await live.get(LEASES, "leader", namespace)
        first, other = (a, b) if lease["spec"]["holderIdentity"] == "a" else (b, a)
        await says(first, "wrote")
        first.kill()
        await says(other, "wrote 3")
    order = [name for _, name in await writes(live, namespace)]
    assert order == sorted(order, key=order.index)  # one wrote, then the other, never in turns
    assert len(set(order)) == 2


async def test_a_paused_leader_writes_nothing_when_it_wakes(live: Client, kubeconfig: str, namespace: str) -> None:
    async with candidacy(kubeconfig, namespace, "a") as a:
        await says(a, "wrote 3")
        async with candidacy(kubeconfig, namespace, "b") as b:
            a.send_signal(signal.SIGUSR1)
            await says(b, "wrote 3")
            a.send_signal(signal.SIGCONT)
            heard = await says(a, "lost")
            await says(b, "wrote")
    assert any(line.startswith("fenced") for line in heard)
    order = [name for _, name in await writes(live, namespace)]
    assert order == sorted(order)
