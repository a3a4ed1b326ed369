"""What Lockstep consists of: topology.yaml, read once, checked whole, then carried as one frozen value.

`load_topology()` gives a `Topology`, or raises TopologyError with every problem as `path: expected ..., got
...`. Nothing but topology.yaml decides on partitions, retention, sizes, keys or routes. What this does not
know: whether a cluster agrees (streams.adapters.cluster). Tested in tests/topology/.
"""

from streams.topology.loading import load_topology
from streams.topology.model import (
    DEAD_LETTER_TOPIC,
    DELIVERY,
    LEDGER_TOPIC,
    STATE_TOPIC,
    StageSpec,
    Timestamps,
    TopicSpec,
    Topology,
)

__all__ = [
    "DEAD_LETTER_TOPIC",
    "DELIVERY",
    "LEDGER_TOPIC",
    "STATE_TOPIC",
    "StageSpec",
    "Timestamps",
    "TopicSpec",
    "Topology",
    "load_topology",
]
