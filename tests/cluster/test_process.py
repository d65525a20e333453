"""Is a program started only once it can listen where it is to? With sockets and processes of this test alone."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from yardlib import control_plane, process
from yardlib.control_plane import Cluster
from yardlib.errors import YardError
from yardlib.process import Program
from yardlib.slots import Addresses
from yardlib.spec import ClusterSpec

SERVER = "import socket, sys, time; held = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(60)"


@pytest.fixture
def holder() -> Iterator[socket.socket]:
    """Whoever listened there before."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def server(holder: socket.socket, folder: Path) -> Program:
    """A program that ends at once where it cannot listen."""
    host, port = holder.getsockname()
    return Program("server", [sys.executable, "-c", SERVER, str(port)], folder, listens=[(host, port)])


def answers(address: tuple[str, int]) -> bool:
    with socket.socket() as client:
        return client.connect_ex(address) == 0


def test_a_program_is_not_started_before_its_address_is_free(holder: socket.socket, tmp_path: Path) -> None:
    one = server(holder, tmp_path)
    leaves = threading.Timer(0.3, holder.close)
    leaves.start()
    try:
        assert process.ensure(one)
        assert holder.fileno() == -1, "it was waited for"
        process.wait_until_alive([one], lambda: answers(one.listens[0]), seconds=30, what="the program to listen")
    finally:
        leaves.join()
        process.stop(one.pid_file, kill=True)


def test_who_stays_on_the_address_is_told_of(
    holder: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "FREE_SECONDS", 0.2)
    one = server(holder, tmp_path)
    host, port = one.listens[0]
    with pytest.raises(YardError, match=f"for {host}:{port} to be free: .*in use") as caught:
        process.ensure(one)
    assert f"ss -ltnp 'sport = :{port}'" in caught.value.hint
    assert not one.pid_file.exists() and not one.log.exists()


def test_what_is_left_of_a_killed_servers_connections_holds_nobody_up(
    holder: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = holder.getsockname()
    client = socket.create_connection(address)
    accepted, _ = holder.accept()
    accepted.close()  # the side that closes first keeps the address for a while
    holder.close()
    monkeypatch.setattr(process, "FREE_SECONDS", 0.0)
    for _ in range(2):  # nor does the look itself
        process.wait_until_free(*address)
    client.close()


def test_the_parts_that_others_connect_to_say_where_they_listen(tmp_path: Path) -> None:
    for nodes in (0, 2):
        cluster = Cluster(ClusterSpec(name="t", nodes=nodes), Addresses(3), tmp_path)
        [(host, port)] = control_plane.listens(cluster, "kube-apiserver")
        flags = control_plane.api_server_args(cluster)
        assert f"--bind-address={host}" in flags and f"--secure-port={port}" in flags
        clients, peers = (f"http://{host}:{port}" for host, port in control_plane.listens(cluster, "etcd"))
        flags = control_plane.etcd_args(cluster)
        assert f"--listen-client-urls={clients}" in flags and f"--listen-peer-urls={peers}" in flags
