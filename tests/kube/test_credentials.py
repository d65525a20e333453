"""Do all the ways of being somebody lead to the right header, and stay fresh?"""

from __future__ import annotations

import json
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import certifi
import pytest
import yaml

from trainyard.kube import credentials as module
from trainyard.kube.credentials import Credentials, CredentialSource, discover, from_kubeconfig, in_cluster, static
from trainyard.kube.errors import BadCredentials


class Time:
    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    mine = Time()
    monkeypatch.setattr(module, "steady", mine)
    return mine


def write_kubeconfig(folder: Path, user: dict[str, Any], **cluster: Any) -> str:
    path = folder / "config"
    config = {
        "current-context": "one",
        "clusters": [
            {"name": "c", "cluster": {"server": "http://one:80/base/", **cluster}},
            {
                "name": "d",
                "cluster": {"server": "https://two", "tls-server-name": "kube", "insecure-skip-tls-verify": True},
            },
        ],
        "users": [{"name": "u", "user": user}],
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u"}},
            {"name": "two", "context": {"cluster": "d", "user": "u"}},
        ],
    }
    path.write_text(yaml.safe_dump(config))
    return str(path)


async def test_a_static_token(tmp_path: Path) -> None:
    got = await from_kubeconfig(write_kubeconfig(tmp_path, {"token": "secret"})).current()
    assert (got.server, got.headers, got.lifetime) == ("http://one:80/base", {"Authorization": "Bearer secret"}, None)
    assert "secret" not in repr(got)


async def test_a_context_by_name_and_tls_options(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path, {"username": "me", "password": "pw"})
    got = await from_kubeconfig(path, "two").current()
    assert (got.server, got.server_name) == ("https://two", "kube")
    assert isinstance(got.tls, ssl.SSLContext)
    assert got.tls.verify_mode is ssl.CERT_NONE
    assert not got.tls.verify_flags & ssl.VERIFY_X509_STRICT
    assert got.headers["Authorization"].startswith("Basic ")


async def test_a_proxy(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path, {"token": "t"}, **{"proxy-url": "http://proxy:3128"})
    assert (await from_kubeconfig(path).current()).proxy == "http://proxy:3128"


async def test_a_token_file_is_read_again(tmp_path: Path, time: Time) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    source = from_kubeconfig(write_kubeconfig(tmp_path, {"tokenFile": str(token)}))
    assert (await source.current()).headers == {"Authorization": "Bearer first"}
    token.write_text("second\n")
    assert (await source.current()).headers == {"Authorization": "Bearer first"}
    time.at += module.REREAD_AFTER
    assert (await source.current()).headers == {"Authorization": "Bearer second"}


def exec_plugin(folder: Path, **status: Any) -> dict[str, Any]:
    """A plugin that counts its calls in its token."""
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    script = folder / "plugin"
    script.write_text(f"#!/bin/sh\necho x >>{folder}/calls\ncat <<'END'\n{json.dumps(answer)}\nEND\n")
    script.chmod(0o755)
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(script)}}


def calls(folder: Path) -> int:
    return len((folder / "calls").read_text().splitlines())


async def test_an_exec_plugin_runs_again_before_its_token_expires(tmp_path: Path, time: Time) -> None:
    expiry = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    source = from_kubeconfig(
        write_kubeconfig(tmp_path, exec_plugin(tmp_path, token="from-plugin", expirationTimestamp=expiry))
    )
    got = await source.current()
    assert got.headers == {"Authorization": "Bearer from-plugin"}
    assert got.lifetime is not None
    assert 3200 <= got.lifetime <= 3250
    await source.current()
    assert calls(tmp_path) == 1


async def test_an_exec_plugin_runs_again_when_the_server_refuses(tmp_path: Path, time: Time) -> None:
    source = from_kubeconfig(write_kubeconfig(tmp_path, exec_plugin(tmp_path, token="t")))
    used = await source.current()
    assert not await source.refused(used)  # just loaded: no storm of plugins
    time.at += 10
    assert await source.refused(used)
    assert await source.refused(used)  # another request that failed with the old ones
    assert calls(tmp_path) == 2


async def test_a_plugin_that_fails_is_told(tmp_path: Path) -> None:
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/false"}}
    with pytest.raises(BadCredentials, match="exec plugin yielded no credentials"):
        await from_kubeconfig(write_kubeconfig(tmp_path, user)).current()


async def test_a_missing_kubeconfig_or_context_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadCredentials, match="nowhere"):
        await from_kubeconfig(str(tmp_path / "nowhere")).current()
    with pytest.raises(BadCredentials, match="three"):
        await from_kubeconfig(write_kubeconfig(tmp_path, {"token": "t"}), "three").current()


async def test_old_credentials_serve_while_new_ones_cannot_be_loaded(time: Time) -> None:
    loads: list[bool] = []

    async def load(forced: bool) -> Credentials:
        loads.append(forced)
        if len(loads) == 2:
            raise BadCredentials("the file is being replaced")
        return Credentials("http://x", headers={"n": str(len(loads))}, lifetime=60.0)

    source = CredentialSource(load)
    assert (await source.current()).headers == {"n": "1"}
    time.at += 61
    assert (await source.current()).headers == {"n": "1"}
    time.at += 61
    assert (await source.current()).headers == {"n": "3"}
    assert loads == [False, False, False]


async def test_outside_of_a_pod_there_is_no_service_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(BadCredentials, match="service account"):
        await in_cluster().current()


async def test_a_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, time: Time) -> None:
    from kubernetes.aio.config import incluster_config

    token = tmp_path / "token"
    token.write_text("one")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", certifi.where())
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    source = discover()
    got = await source.current()
    assert got.server == "https://[fd00::1]:443"
    assert got.headers["Authorization"].lower() == "bearer one"
    assert isinstance(got.tls, ssl.SSLContext)
    assert got.tls.verify_mode is ssl.CERT_REQUIRED
    token.write_text("two")
    time.at += module.REREAD_AFTER
    assert (await source.current()).headers["Authorization"].lower() == "bearer two"


async def test_static_ones_stay(time: Time) -> None:
    given = Credentials("http://x")
    source = static(given)
    assert await source.current() is given
    time.at += 1e6
    assert await source.current() is given
    assert not await source.refused(given)
