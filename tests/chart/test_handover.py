"""Do the ways that the documents show besides a plain install work: from kubectl to Helm, back after a removal, TLS?"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from chart.release import NAME, OPERATOR, Release
from chart.test_install import led_by_another, resident, uids
from chartlib import chart
from support.world import World

pytestmark = [pytest.mark.nodes, pytest.mark.slow, pytest.mark.timeout(900)]

Object = dict[str, Any]
TAKE_OVER = ("--take-ownership", "--force-conflicts")


async def test_an_installation_changes_hands_while_a_job_runs(world: World, release: Release) -> None:
    kubectl = release.cluster.kubectl
    kubectl("apply", "-f", str(chart.ROOT / "manifests/install.yaml"))
    kubectl("-n", release.home, "rollout", "status", f"deployment/{OPERATOR}", "--timeout=110s")
    await world.open()
    await world.apply(resident("trains"))
    await world.until_phase("trains", "Running")
    before, leader = uids(world, "trains"), release.leader()

    kubectl("-n", release.home, "delete", "deployment", OPERATOR)
    await release.install(chart.CHART, *TAKE_OVER)
    leader = await led_by_another(world, release, leader)
    assert uids(world, "trains") == before

    await release.uninstall()
    await release.install()
    leader = await led_by_another(world, release, leader)
    assert uids(world, "trains") == before

    await release.uninstall()
    command = ("install", "another", str(chart.CHART), "-n", release.home, "--wait", *TAKE_OVER)
    await release.helm(*command, values={"fullnameOverride": NAME})
    await led_by_another(world, release, leader)
    assert uids(world, "trains") == before
    await world.patch_job("trains", {"suspend": True})
    await world.until_phase("trains", "Suspended")
    await release.helm("uninstall", "another", "-n", release.home, "--wait")


async def certificate(folder: Path) -> tuple[str, str]:
    """A key, and a certificate that it signed itself."""
    key, cert = str(folder / "tls.key"), str(folder / "tls.crt")
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    name = ("-subj", "/CN=metrics", "-addext", "subjectAltName=DNS:trainyard-metrics")
    command = ("openssl", "req", "-x509", *kind, *name, "-keyout", key, "-out", cert)
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0
    return key, cert


async def test_metrics_are_read_over_tls_by_whoever_may(world: World, release: Release, tmp_path: Path) -> None:
    kubectl, home = release.cluster.kubectl, release.home
    key, cert = await certificate(tmp_path)
    kubectl("create", "namespace", home)
    kubectl("-n", home, "create", "secret", "tls", "metrics", f"--cert={cert}", f"--key={key}")
    await release.install(metrics={"auth": "kubernetes", "tls": {"secretName": "metrics"}})
    for name in ("reader", "stranger"):
        kubectl("-n", home, "create", "serviceaccount", name)
    reader = (f"--serviceaccount={home}:reader", "--clusterrole=trainyard-metrics-reader")
    kubectl("create", "clusterrolebinding", "trainyard-test-reader", *reader)
    (pod,) = release.operators()
    url = f"https://{pod['status']['podIP']}:8081/metrics"
    trust = ssl.create_default_context(cafile=cert)

    async def answer(account: str | None) -> tuple[int, str]:
        headers = {}
        if account:
            headers["Authorization"] = f"Bearer {kubectl('-n', home, 'create', 'token', account).stdout.strip()}"
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(url, ssl=trust, server_hostname="trainyard-metrics") as got,
        ):
            return got.status, await got.text()

    try:
        assert (await answer(None))[0] == 401
        assert (await answer("stranger"))[0] == 403
        status, text = await answer("reader")
        assert status == 200
        assert "trainyard_build_info{" in text
    finally:
        kubectl("delete", "clusterrolebinding", "trainyard-test-reader")
