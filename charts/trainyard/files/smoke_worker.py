"""A worker of the test's job: rank 0 waits to be called by all others, which shows that names and network work."""

import os
import socket
import time

rank, size = int(os.environ["TRAINYARD_RANK"]), int(os.environ["TRAINYARD_SIZE"])
place = (os.environ["TRAINYARD_COORDINATOR"], int(os.environ["TRAINYARD_COORDINATOR_PORT"]))


def call() -> None:
    """Names of a new Service take a moment to be known."""
    while True:
        try:
            with socket.create_connection(place, timeout=5) as line:
                line.recv(1)
            return
        except OSError as error:
            print(f"rank {rank}: {place[0]}: {error}", flush=True)
            time.sleep(1)


if rank == 0:
    with socket.create_server(("", place[1])) as server:
        lines = [server.accept()[0] for _ in range(size - 1)]
        for line in lines:
            line.sendall(b"!")
            line.close()
else:
    call()
print(f"rank {rank} of {size} met the others", flush=True)
