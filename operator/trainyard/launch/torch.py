"""torch: `PET_*` for torchrun, `MASTER_ADDR` and friends for scripts that start without it.

The gang's size is fixed, so the rendezvous is static: ranks are told, not negotiated, and stay the same in every
attempt.
"""

from __future__ import annotations

from collections.abc import Mapping

from trainyard.launch.place import EnvValue, Place

DERIVED: Mapping[str, tuple[str, ...]] = {"PET_RDZV_ENDPOINT": ("PET_MASTER_ADDR", "PET_MASTER_PORT")}
"""Variable → those it is made of: it goes when the template sets one of them, since torchrun would prefer it."""


def variables(place: Place) -> dict[str, EnvValue]:
    seat, host, port = place.seat, place.coordinator, str(place.coordinator_port)
    values: dict[str, EnvValue] = {
        "PET_NNODES": str(seat.world_size),
        "PET_NPROC_PER_NODE": str(seat.processes),
        "PET_NODE_RANK": str(seat.world_rank),
        "PET_MASTER_ADDR": host,
        "PET_MASTER_PORT": port,
        "PET_RDZV_BACKEND": "static",
        "PET_RDZV_ENDPOINT": f"{host}:{port}",
        "PET_RDZV_ID": place.run_id,
        "MASTER_ADDR": host,
        "MASTER_PORT": port,
        "NNODES": str(seat.world_size),
        "NODE_RANK": str(seat.world_rank),
        "NPROC_PER_NODE": str(seat.processes),
    }
    if seat.plain:
        # With several processes a pod, only their launcher knows these.
        values |= {
            "RANK": str(seat.world_rank),
            "WORLD_SIZE": str(seat.world_size),
            "LOCAL_RANK": "0",
            "LOCAL_WORLD_SIZE": "1",
        }
    return values
