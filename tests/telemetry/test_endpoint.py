"""Is what a reader gets in the format, the encoding and the freshness it asked for, over TLS where that is wanted?"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from builders.fleet import Crowd, crowd
from builders.job import NOW
from support.series import Scrape, families_of
from telemetry.authority import Authority, copy, remove
from trainyard.engine.fleet import freeze
from trainyard.engine.store import Store
from trainyard.kube.clock import steady
from trainyard.telemetry.certificates import ServedCertificate, TlsFiles
from trainyard.telemetry.endpoint import FORMS, READERS, Answer, Endpoint, Subject, _encoded, serve_metrics
from trainyard.telemetry.fleet import Fleet
from trainyard.telemetry.fleet_text import FleetText, Limits
from trainyard.telemetry.metrics import Metrics


class World:
    """An endpoint over a store; `leads` and `reports` say what the engine would."""

    def __init__(self) -> None:
        self.store: Store = crowd(Crowd(jobs=20, pods_each=2, nodes=10, namespaces=2))
        self.leads = True
        self.reports = 0
        self.metrics = Metrics()
        self.subject = Subject(report=self._report, fleet=self._fleet)

    def _report(self) -> None:
        self.reports += 1

    def _fleet(self) -> Fleet | None:
        return freeze(self.store, NOW, ()) if self.leads else None

    def endpoint(self, fresh_seconds: float = 0.0) -> Endpoint:
        return Endpoint(self.metrics, FleetText(Limits()), self.subject, fresh_seconds=fresh_seconds)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def address(world: World) -> AsyncIterator[str]:
    async with serve_metrics("127.0.0.1", 0, world.endpoint()) as port:
        yield f"http://127.0.0.1:{port}/metrics"


async def fetch(
    url: str, headers: dict[str, str] | None = None, context: ssl.SSLContext | None = None
) -> tuple[int, dict[str, str], bytes]:
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(url, headers={"Accept-Encoding": "identity", **(headers or {})}, ssl=context or True) as answer,
    ):
        return answer.status, {str(k): v for k, v in answer.headers.items()}, await answer.read()


async def test_plain_text_by_default(address: str) -> None:
    status, headers, body = await fetch(address)
    assert status == 200
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    got = Scrape(body.decode())
    assert got.value("build_info") == 1
    assert len(got.all("job_info")) == 20
    assert got.names() >= {"process_resident_memory_bytes"}


async def test_openmetrics_where_it_is_preferred(address: str) -> None:
    _, headers, body = await fetch(address, {"Accept": "application/openmetrics-text; version=1.0.0, text/plain;q=0.5"})
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    text = body.decode()
    assert text.endswith("# EOF\n")
    assert text.count("# EOF") == 1
    families = {family.name: family for family in families_of(text, openmetrics=True)}
    assert len(families["trainyard_job_info"].samples) == 20
    assert families["trainyard_job_restarts"].samples[0].name == "trainyard_job_restarts_total"


async def test_compressed_for_readers_that_accept_it(address: str) -> None:
    _, headers, body = await fetch(address, {"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip"
    assert len(Scrape(gzip.decompress(body).decode()).all("job_info")) == 20


async def test_a_standby_tells_of_itself_and_of_no_job(world: World, address: str) -> None:
    world.leads = False
    _, _, body = await fetch(address)
    text = body.decode()
    assert "trainyard_leader 0.0" in text
    assert "trainyard_job_info" not in text
    assert "trainyard_jobs{" not in text
    assert "trainyard_nodes{" not in text


async def test_each_answer_brings_the_gauges_up_to_date_and_counts_itself(world: World, address: str) -> None:
    await fetch(address)
    await fetch(address)
    assert world.reports == 2
    assert world.metrics.registry.get_sample_value("trainyard_scrapes_total", {"code": "200"}) == 2
    assert world.metrics.registry.get_sample_value("trainyard_scrape_duration_seconds_count") == 2


async def test_readers_that_come_together_share_an_answer(world: World) -> None:
    endpoint = world.endpoint(fresh_seconds=60.0)
    answers = await asyncio.gather(*(endpoint.answer("", compress=False) for _ in range(20)))
    assert world.reports == 1
    assert {id(answer) for answer in answers} == {id(answers[0])}
    packed = await endpoint.answer("", compress=True)
    assert gzip.decompress(packed.body).startswith(b"# HELP")
    assert world.reports == 2, "another form is another answer"


def test_a_text_that_cannot_be_written_costs_no_other() -> None:
    assert b"".join(_encoded(iter(["before ", "half a \ud800 pair", " after"]))) == b"before half a ? pair after"


async def test_many_forms_of_an_answer_are_not_all_kept(world: World) -> None:
    endpoint = world.endpoint(fresh_seconds=60.0)
    for minor in range(FORMS + 3):
        accept = f"application/openmetrics-text; version=1.0.{minor}"
        await endpoint.answer(accept, compress=False)
    await endpoint.answer(accept, compress=False)
    assert world.reports == FORMS + 3, "the latest is still there"
    assert len(endpoint._answers) == FORMS


async def test_the_event_loop_goes_on_while_a_large_answer_is_put_together() -> None:
    world = World()
    world.store = crowd(Crowd(jobs=600, pods_each=5, nodes=100))
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    started = steady()
    await world.endpoint().answer("", compress=True)
    took = steady() - started
    task.cancel()
    assert turns >= took / 0.02, f"{turns} turns in {took:.3f} s"


WHOLE = Answer(0.0, b"#" * (16 << 20), "text/plain")
"""More than the kernel keeps for a reader that does not read."""


@pytest.fixture
def large(world: World, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    endpoint = world.endpoint()

    async def answer(_accept: str, *, compress: bool) -> Answer:
        return WHOLE

    monkeypatch.setattr(endpoint, "answer", answer)
    return endpoint


def lazy_reader(port: int) -> socket.socket:
    """It asks and does not read. Of the kernel's own: asyncio's streams read ahead."""
    reader = socket.create_connection(("127.0.0.1", port))
    reader.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    return reader


async def until_served(endpoint: Endpoint, readers: int) -> None:
    while endpoint._readers != readers:  # noqa: ASYNC110 (the server is in this loop)
        await asyncio.sleep(0.01)


async def test_few_readers_are_served_at_once(large: Endpoint) -> None:
    async with serve_metrics("127.0.0.1", 0, large) as port, asyncio.timeout(30):
        url = f"http://127.0.0.1:{port}/metrics"
        with contextlib.ExitStack() as lazy:
            for _ in range(READERS):
                lazy.enter_context(lazy_reader(port))
            await until_served(large, READERS)
            assert (await fetch(url))[0] == 503
        await until_served(large, 0)
        status, _, body = await fetch(url)
        assert (status, len(body)) == (200, len(WHOLE.body))


async def test_a_reader_that_does_not_read_is_cut_off(large: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "_sent_within", 0.1)
    async with serve_metrics("127.0.0.1", 0, large) as port, asyncio.timeout(30):
        with lazy_reader(port):
            await until_served(large, 1)
            await until_served(large, 0)


async def test_a_reader_that_goes_away_is_no_error(large: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    async with serve_metrics("127.0.0.1", 0, large) as port, asyncio.timeout(30):
        reader = lazy_reader(port)
        await until_served(large, 1)
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # as a reader that was killed
        reader.close()
        await until_served(large, 0)
        assert (await fetch(f"http://127.0.0.1:{port}/metrics"))[0] == 200
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_taken_port_is_an_error(world: World, address: str) -> None:
    port = URL(address).port or 0
    with pytest.raises(OSError, match="in use"):
        async with serve_metrics("127.0.0.1", port, world.endpoint()):
            pass


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


async def test_https_with_a_certificate_that_is_renewed_while_it_serves(world: World, authority: Authority) -> None:
    files = authority.pair("server")
    certificate = ServedCertificate(files)
    async with serve_metrics("127.0.0.1", 0, world.endpoint(), certificate) as port:
        url = f"https://127.0.0.1:{port}/metrics"
        assert (await fetch(url, context=authority.trusting()))[0] == 200
        first = await authority.serial_served(port)
        authority.pair("server")
        assert certificate.refresh()
        assert not certificate.refresh(), "nothing is new"
        assert await authority.serial_served(port) != first
        assert (await fetch(url, context=authority.trusting()))[0] == 200


async def test_half_of_a_new_pair_changes_nothing(world: World, authority: Authority) -> None:
    files = authority.pair("server")
    certificate = ServedCertificate(files)
    async with serve_metrics("127.0.0.1", 0, world.endpoint(), certificate) as port:
        first = await authority.serial_served(port)
        other = authority.pair("other")
        copy(other.certificate, files.certificate)
        assert not certificate.refresh()
        assert await authority.serial_served(port) == first
        copy(other.key, files.key)
        assert certificate.refresh()
        assert await authority.serial_served(port) != first
        remove(files.key)
        assert not certificate.refresh(), "between two mounts there may be no file"


async def test_files_that_change_while_they_are_read_do_not_end_the_looking(
    world: World, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, other = authority.pair("server"), authority.pair("other")
    certificate = ServedCertificate(files)
    load = certificate._load

    def caught_between(context: ssl.SSLContext) -> None:
        load(context)
        copy(other.certificate, files.certificate)

    async with serve_metrics("127.0.0.1", 0, world.endpoint(), certificate) as port:
        first = await authority.serial_served(port)
        authority.pair("server")
        monkeypatch.setattr(certificate, "_load", caught_between)
        assert not certificate.refresh()
        monkeypatch.undo()
        copy(other.key, files.key)
        assert certificate.refresh()
        assert await authority.serial_served(port) != first


async def test_renewed_files_are_noticed_by_themselves(world: World, authority: Authority) -> None:
    certificate = ServedCertificate(authority.pair("server"))
    async with serve_metrics("127.0.0.1", 0, world.endpoint(), certificate) as port:
        first = await authority.serial_served(port)
        task = asyncio.create_task(certificate.follow(every=0.01))
        authority.pair("server")
        async with asyncio.timeout(10):
            while await authority.serial_served(port) == first:  # noqa: ASYNC110 (files change without an event)
                await asyncio.sleep(0.01)
        task.cancel()


async def test_a_client_needs_a_certificate_where_one_is_asked_for(world: World, authority: Authority) -> None:
    files = authority.pair("server")
    mutual = TlsFiles(files.certificate, files.key, authority.certificate)
    certificate = ServedCertificate(mutual)
    async with serve_metrics("127.0.0.1", 0, world.endpoint(), certificate) as port:
        url = f"https://127.0.0.1:{port}/metrics"
        assert (await fetch(url, context=authority.trusting(authority.pair("reader"))))[0] == 200
        authority.pair("server")
        assert certificate.refresh()
        assert (await fetch(url, context=authority.trusting(authority.pair("reader"))))[0] == 200
        with pytest.raises((aiohttp.ClientError, ssl.SSLError, ConnectionError)):
            await fetch(url, context=authority.trusting())


def test_files_that_cannot_be_used_are_an_error(authority: Authority, tmp_path: Path) -> None:
    files = authority.pair("server")
    with pytest.raises(OSError, match="No such file"):
        ServedCertificate(TlsFiles(str(tmp_path / "none"), files.key))
    Path(files.certificate).write_text("nonsense")
    with pytest.raises(OSError, match="PEM"):
        ServedCertificate(files)
