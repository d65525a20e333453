"""The bare load generator: sends a file of requests, so many in flight, and does nothing else.

It runs as a process of its own, so that it is to the cluster what the operator is. It knows no retries: a refused
request is counted, and a measurement with one is void.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import aiohttp

from trainyard.kube.credentials import Credentials, from_kubeconfig

Prepared = tuple[str, str, bytes, str]


def main() -> int:
    """Prints one JSON object: when it began and ended on the monotonic clock, the processor time in between, and the
    answers by code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kubeconfig")
    parser.add_argument("requests", type=Path, help="one JSON object a line: method, path, body, type")
    parser.add_argument("--in-flight", type=int, default=64)
    arguments = parser.parse_args()
    lines = arguments.requests.read_text(encoding="utf-8").splitlines()
    prepared = [_prepare(line) for line in lines]
    print(json.dumps(asyncio.run(send_all(arguments.kubeconfig, prepared, arguments.in_flight))))
    return 0


async def send_all(kubeconfig: str, prepared: Iterable[Prepared], in_flight: int) -> dict[str, object]:
    """`in_flight` at a time, each as soon as another was answered."""
    credentials = await from_kubeconfig(kubeconfig, None).current()
    codes: Counter[str] = Counter()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        source = iter(prepared)
        began, used = time.monotonic(), time.process_time()
        await asyncio.gather(*(_lane(session, credentials, source, codes) for _ in range(in_flight)))
        ended = time.monotonic()
    return {"began": began, "ended": ended, "processor": time.process_time() - used, "codes": dict(codes)}


def _prepare(line: str) -> Prepared:
    told = json.loads(line)
    return told["method"], told["path"], json.dumps(told["body"], separators=(",", ":")).encode(), told["type"]


async def _lane(
    session: aiohttp.ClientSession, credentials: Credentials, source: Iterator[Prepared], codes: Counter[str]
) -> None:
    for method, path, body, content_type in source:
        async with session.request(
            method,
            credentials.server + path,
            data=body,
            headers={**credentials.headers, "Content-Type": content_type},
            ssl=credentials.tls,
        ) as answer:
            await answer.read()
            codes[str(answer.status)] += 1


if __name__ == "__main__":
    sys.exit(main())
