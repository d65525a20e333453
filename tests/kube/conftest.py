"""A scripted API server for faults, and the real one for agreement."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kube.fake_api import FakeApi
from trainyard.kube.client import Client
from trainyard.kube.credentials import from_kubeconfig

YARD = Path(__file__).parents[2] / "hack" / "yard"


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
    subprocess.run([YARD, "up", "--name", "api", "--nodes", "0"], check=True)
    told = subprocess.run([YARD, "kubeconfig", "--name", "api"], check=True, capture_output=True, text=True)
    return told.stdout.strip()


@pytest.fixture
async def live(kubeconfig: str) -> AsyncIterator[Client]:
    async with Client(from_kubeconfig(kubeconfig)) as client:
        yield client
