"""A scripted API server for faults, and the real one for agreement."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from kube.fake_api import FakeApi
from support.yard import Cluster, ensure_cluster, own, run_yard, shared
from trainyard.kube.client import Client
from trainyard.kube.credentials import from_kubeconfig
from trainyard.kube.resources import NAMESPACES


@pytest.fixture
async def fake() -> AsyncIterator[FakeApi]:
    api = FakeApi()
    await api.start()
    yield api
    await api.stop()


@pytest.fixture
async def client(fake: FakeApi) -> AsyncIterator[Client]:
    async with fake.client() as client:
        yield client


@pytest.fixture(scope="session")
def kubeconfig() -> str:
    """A real control plane: the one named by TRAINYARD_TEST_KUBECONFIG, else one that the yard brings up."""
    given = os.environ.get("TRAINYARD_TEST_KUBECONFIG")
    if given:
        return given
    return ensure_cluster(shared("kube"), "--nodes", "0").kubeconfig


@pytest.fixture(scope="module")
def mortal() -> Iterator[Cluster]:
    """A control plane of these tests' own, whose API server it may kill."""
    name = own("kube-mortal")
    yield ensure_cluster(name, "--nodes", "0")
    run_yard("down", "--name", name)


@pytest.fixture
async def live(kubeconfig: str) -> AsyncIterator[Client]:
    async with Client(from_kubeconfig(kubeconfig)) as client:
        yield client


@pytest.fixture
async def namespace(live: Client) -> AsyncIterator[str]:
    """A namespace of the test's own on the real server."""
    made = await live.create(NAMESPACES, {"metadata": {"name": f"kube-{uuid.uuid4().hex[:8]}"}})
    yield made["metadata"]["name"]
    await live.delete(NAMESPACES, made["metadata"]["name"], uid=made["metadata"]["uid"])
