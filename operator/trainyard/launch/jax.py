"""jax: the coordinator's address, which jax reads itself, and the numbers that scripts hand to `initialize`."""

from __future__ import annotations

from trainyard.launch.place import EnvValue, Place


def variables(place: Place) -> dict[str, EnvValue]:
    seat = place.seat
    values: dict[str, EnvValue] = {
        "JAX_COORDINATOR_ADDRESS": f"{place.coordinator}:{place.coordinator_port}",
        "JAX_NUM_PROCESSES": str(seat.world_processes),
    }
    if seat.processes == 1:
        # Several processes of one pod cannot share one id: each adds its own number to TRAINYARD_FIRST_PROCESS.
        values["JAX_PROCESS_ID"] = str(seat.first_process)
    return values
