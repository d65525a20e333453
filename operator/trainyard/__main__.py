"""`python -m trainyard [run]`: read the settings, set up logs, metrics and probes, and run the operator.

It wires the rooms together and knows nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from trainyard.settings import LogFormat, MetricsAuth, Settings, settings_or_exit

if TYPE_CHECKING:
    from trainyard.kube.credentials import CredentialSource
    from trainyard.telemetry.endpoint import Subject
    from trainyard.telemetry.metrics import Metrics

log = logging.getLogger("trainyard")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code of a whole life of the process."""
    settings = settings_or_exit(sys.argv[1:] if arguments is None else arguments)
    # Deferred: `--help` and a wrong flag answer at once, without kopf and the API client.
    from trainyard.telemetry.logs import configure_logs

    configure_logs(as_json=settings.log_format is LogFormat.JSON, level=settings.log_level)
    return asyncio.run(run_operator(settings))


async def run_operator(settings: Settings) -> int:
    """Serve the probes, and the process behind them, until its end."""
    from trainyard.engine.operator import Engine
    from trainyard.handlers.garbage import short_pauses
    from trainyard.handlers.process import Exit, Process, run_process
    from trainyard.kube.client import Client
    from trainyard.kube.credentials import discover
    from trainyard.telemetry.endpoint import Subject
    from trainyard.telemetry.metrics import Metrics
    from trainyard.telemetry.probes import Health, serve_probes

    metrics, health, subject = Metrics(settings.build, in_flight_limit=settings.api_in_flight), Health(), Subject()
    source = discover(settings.kubeconfig or None, settings.context or None)
    client = Client(source, limit=settings.api_in_flight, timeout=settings.api_timeout, observer=metrics)
    # Connections of its own: a renewal must not wait behind a thousand creates.
    lease_client = Client(source, limit=2, timeout=settings.renew_deadline, observer=metrics)

    def build_engine() -> Engine:
        engine = Engine(client, lease_client, settings.engine_settings(), metrics)
        subject.report, subject.fleet = engine.report, engine.fleet
        return engine

    process = Process(source, build_engine, health)
    async with AsyncExitStack() as stack:
        stack.enter_context(short_pauses())
        await stack.enter_async_context(client)
        await stack.enter_async_context(lease_client)
        try:
            await stack.enter_async_context(serve_probes(settings.http_address, settings.http_port, health))
        except OSError as error:
            log.error("cannot serve probes: %s; choose another place with --http-address and --http-port", error)
            return Exit.BAD_SETTINGS
        try:
            await _serve_metrics(stack, settings, metrics, subject, source)
        except OSError as error:
            log.error("cannot serve metrics: %s; see --metrics-address, --metrics-port, --metrics-tls-cert", error)
            return Exit.BAD_SETTINGS
        return await run_process(process, settings.namespaces)


async def _serve_metrics(
    stack: AsyncExitStack, settings: Settings, metrics: Metrics, subject: Subject, source: CredentialSource
) -> None:
    """By a client of its own where readers are judged: a scrape must not wait behind a thousand creates either."""
    from trainyard.kube.client import Client
    from trainyard.telemetry.access import Access
    from trainyard.telemetry.certificates import ServedCertificate, TlsFiles
    from trainyard.telemetry.endpoint import Endpoint, serve_metrics
    from trainyard.telemetry.fleet_text import FleetText, Limits

    access = None
    if settings.metrics_auth is MetricsAuth.KUBERNETES:
        access = Access(await stack.enter_async_context(Client(source, limit=4, timeout=5.0, observer=metrics)))
    certificate = None
    if settings.metrics_tls_cert:
        files = TlsFiles(settings.metrics_tls_cert, settings.metrics_tls_key, settings.metrics_client_ca)
        certificate = ServedCertificate(files)
    text = FleetText(Limits(settings.metrics_jobs, settings.metrics_pods))
    endpoint = Endpoint(metrics, text, subject, access)
    await stack.enter_async_context(
        serve_metrics(settings.metrics_address, settings.metrics_port, endpoint, certificate)
    )


if __name__ == "__main__":
    sys.exit(main())
