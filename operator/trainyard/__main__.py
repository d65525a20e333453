"""`python -m trainyard [run]`: read the settings, set up logs, metrics and probes, and run the operator.

It wires the rooms together and knows nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

from trainyard.settings import LogFormat, Settings, settings_or_exit

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
    from trainyard.handlers.process import Exit, Process, run_process
    from trainyard.kube.client import Client
    from trainyard.kube.credentials import discover
    from trainyard.telemetry.metrics import Metrics
    from trainyard.telemetry.probes import Health, serve_probes

    metrics, health = Metrics(settings.build), Health()
    source = discover(settings.kubeconfig or None, settings.context or None)
    client = Client(source, limit=settings.api_in_flight, timeout=settings.api_timeout, observer=metrics)
    # Connections of its own: a renewal must not wait behind a thousand creates.
    lease_client = Client(source, limit=2, timeout=settings.renew_deadline, observer=metrics)
    process = Process(source, lambda: Engine(client, lease_client, settings.engine_settings(), metrics), health)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(client)
        await stack.enter_async_context(lease_client)
        probes = serve_probes(settings.http_address, settings.http_port, metrics.registry, health)
        try:
            await stack.enter_async_context(probes)
        except OSError as error:
            log.error("cannot serve probes: %s; choose another place with --http-address and --http-port", error)
            return Exit.BAD_SETTINGS
        return await run_process(process, settings.namespaces)


if __name__ == "__main__":
    sys.exit(main())
