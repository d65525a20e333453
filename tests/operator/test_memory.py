"""Does the whole process stay within its memory when the cluster is full?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from operator_support.child import end, probe, start, write_kubeconfig
from operator_support.full_cluster import FullCluster
from support.ports import free_port

PODS, NODES = 10_000, 1_250
BUDGET_MIB = 150


@pytest.fixture
async def full() -> AsyncIterator[FullCluster]:
    cluster = FullCluster(PODS, NODES)
    await cluster.start()
    yield cluster
    await cluster.stop()


def peak_memory_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise AssertionError("the kernel does not tell")


async def test_a_standby_knows_ten_thousand_pods_within_its_budget(full: FullCluster, tmp_path: Path) -> None:
    port, metrics = free_port(), free_port()
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", full.url)
    ports = ("--http-address=127.0.0.1", f"--http-port={port}", f"--metrics-port={metrics}")
    child = await start("--kubeconfig", str(kubeconfig), *ports)
    full_store = f'trainyard_cache_objects{{resource="pods"}} {PODS}.0'
    try:
        async with asyncio.timeout(60):
            while full_store not in (await probe(metrics, "/metrics"))[1]:  # noqa: ASYNC110 (it is another process)
                await asyncio.sleep(0.2)
        assert (await probe(port, "/readyz"))[0] == 200
        assert peak_memory_mib(child.pid) <= BUDGET_MIB
    finally:
        child.terminate()
        ended = await end(child)
    assert ended.code == 0, ended.err
