"""Where nodes stand and what they offer: three levels (block, rack, host) and two extended resources."""

from __future__ import annotations

from dataclasses import dataclass

LABEL_BLOCK = "topology.trainyard.dev/block"
LABEL_RACK = "topology.trainyard.dev/rack"
RESOURCE_GPU = "nvidia.com/gpu"
RESOURCE_RDMA = "rdma/hca_shared_devices_a"
GPUS_PER_NODE = 8
RDMA_PER_NODE = 8

FAKE_NODES_PER_RACK = 16
FAKE_RACKS_PER_BLOCK = 8
REAL_NODES_PER_RACK = 2


@dataclass(frozen=True, slots=True)
class Place:
    """The block and rack a node stands in; rack names are unique over all blocks."""

    block: str
    rack: str


def fake_place(index: int) -> Place:
    """Fake node `index`, counted from 0."""
    rack = index // FAKE_NODES_PER_RACK
    return Place(block=f"block-{rack // FAKE_RACKS_PER_BLOCK}", rack=f"rack-{rack}")


def real_place(index: int) -> Place:
    """Real node `index`, counted from 1: pairs share a rack, so that three nodes show both near and far."""
    return Place(block="block-local", rack=f"rack-local-{(index - 1) // REAL_NODES_PER_RACK}")
