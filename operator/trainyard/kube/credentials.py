"""Who we are to the API server, and how that is kept fresh.

The `kubernetes` package reads kubeconfig files (merged, by context), runs exec plugins and finds the service account
in a pod; what it found is turned into one small frozen value per request. It must not hold secrets longer than needed
nor write them anywhere: they appear in no repr and no log line.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from trainyard.kube.clock import steady
from trainyard.kube.errors import BadCredentials

REREAD_AFTER = 60.0  # token files are rotated under us; the kubelet does it long before a token expires
RELOAD_NOT_BEFORE = 5.0  # a storm of 401s must not become a storm of exec plugins


@dataclass(frozen=True, slots=True)
class Credentials:
    """All that one request needs to know: where the server is, whom to trust, and what to say about ourselves."""

    server: str
    tls: ssl.SSLContext | bool = field(default=True, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    server_name: str | None = None
    proxy: str | None = None
    lifetime: float | None = None  # seconds after which they are to be loaded again; None: only when refused


Loader = Callable[[bool], Awaitable[Credentials]]


class CredentialSource:
    """Hands out current credentials and loads them again before they expire, or once the server refuses them."""

    def __init__(self, load: Loader) -> None:
        self._load = load
        self._current: Credentials | None = None
        self._loaded_at = 0.0
        self._lock = asyncio.Lock()

    async def current(self) -> Credentials:
        """Credentials that should be good now. Where a reload fails, the old ones serve as long as the server likes."""
        current = self._current
        if current is not None and not self._expired(current):
            return current
        async with self._lock:
            if self._current is None or self._expired(self._current):
                try:
                    await self._reload(forced=False)
                except BadCredentials:
                    if self._current is None:
                        raise
                    self._loaded_at = steady()  # try again a lifetime later
            assert self._current is not None
            return self._current

    async def refused(self, used: Credentials) -> bool:
        """The server answered 401 to `used`; True if other ones are at hand now and the request is worth repeating."""
        async with self._lock:
            if self._current is used and steady() - self._loaded_at >= RELOAD_NOT_BEFORE:
                with contextlib.suppress(BadCredentials):
                    await self._reload(forced=True)
            return self._current is not used

    def _expired(self, current: Credentials) -> bool:
        return current.lifetime is not None and steady() - self._loaded_at >= current.lifetime

    async def _reload(self, *, forced: bool) -> None:
        self._current = await self._load(forced)
        self._loaded_at = steady()


def static(credentials: Credentials) -> CredentialSource:
    """A source that always hands out the same."""

    async def load(_forced: bool) -> Credentials:
        return credentials

    return CredentialSource(load)


def in_cluster() -> CredentialSource:
    """The service account of the pod we run in."""

    async def load(_forced: bool) -> Credentials:
        config, configuration = _package()
        load_incluster: Any = config.load_incluster_config
        try:
            load_incluster(client_configuration=configuration, try_refresh_token=False)
        except Exception as error:
            raise BadCredentials(f"not usable as a pod's service account: {error}") from error
        return _from_configuration(configuration, REREAD_AFTER)

    return CredentialSource(load)


def from_kubeconfig(path: str | None = None, context: str | None = None) -> CredentialSource:
    """A context of a kubeconfig (default: $KUBECONFIG, ~/.kube/config, and its current context)."""
    return CredentialSource(_Kubeconfig(path, context).load)


def discover(kubeconfig: str | None = None, context: str | None = None) -> CredentialSource:
    """What was asked for; else the service account if we run in a pod, else the default kubeconfig."""
    if kubeconfig or context or "KUBERNETES_SERVICE_HOST" not in os.environ:
        return from_kubeconfig(kubeconfig, context)
    return in_cluster()


class _Kubeconfig:
    """Keeps the package's loader between loads: it caches what an exec plugin or OIDC refresh answered."""

    def __init__(self, path: str | None, context: str | None) -> None:
        self._path = path
        self._context = context
        self._loader: Any = None

    async def load(self, forced: bool) -> Credentials:
        config, configuration = _package()
        load_kube_config: Any = config.load_kube_config
        try:
            if self._loader is None or forced:
                self._loader = await load_kube_config(
                    self._path, context=self._context, client_configuration=configuration, persist_config=False
                )
            else:
                await self._loader.load_and_set(configuration)
        except Exception as error:
            raise BadCredentials(f"kubeconfig {self._path or '(default)'}: {error}") from error
        self._refuse_failed_plugin(configuration)
        return _from_configuration(configuration, self._lifetime())

    def _user(self) -> Mapping[str, Any]:
        user = self._loader._user
        return user.value if user is not None else {}

    def _refuse_failed_plugin(self, configuration: Any) -> None:
        # The package logs a plugin's failure and goes on without credentials; say it where it can be acted upon.
        if "exec" in self._user() and not (configuration.api_key or configuration.cert_file):
            raise BadCredentials(f"kubeconfig {self._path or '(default)'}: its exec plugin yielded no credentials")

    def _lifetime(self) -> float | None:
        expiry = getattr(self._loader, "exec_plugin_expiry", None)
        if expiry is not None:
            left: float = (expiry - datetime.now(UTC)).total_seconds()
            return max(RELOAD_NOT_BEFORE, left - min(360.0, left / 5))  # the package itself renews 5 min before expiry
        if self._user().keys() & {"tokenFile", "auth-provider"}:
            return REREAD_AFTER
        return None


def _package() -> tuple[Any, Any]:
    """The package's loaders and an empty configuration. Imported late: some 20 MiB, which not every process needs."""
    # It asks for the home directory when imported, and a container's UID may have no account to tell it.
    os.environ.setdefault("HOME", "/")
    from kubernetes.aio import config
    from kubernetes.aio.client import Configuration

    return config, Configuration()


def _from_configuration(configuration: Any, lifetime: float | None) -> Credentials:
    token = configuration.api_key.get("BearerToken")
    return Credentials(
        server=configuration.host.rstrip("/"),
        tls=_tls(configuration) if configuration.host.startswith("https") else True,
        headers={"Authorization": token.strip()} if token else {},
        server_name=configuration.tls_server_name or None,
        proxy=configuration.proxy or None,
        lifetime=lifetime,
    )


def _tls(configuration: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    # Python 3.13 demands RFC 5280 extensions that the CAs of many clusters lack; kubectl does not ask for them either.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context
