"""A real Apache Kafka as a child process, for people and tests that have no cluster at hand.

One KRaft node on the loopback address, from jars that are pinned by coordinates and sha256 (`jars.lock`), on
a Java runtime that pip installs. It guarantees: nothing runs that differs from the pins, one broker a data
folder, nothing left running when its owner dies, everything kept over a restart on the same folder.
It does not replicate and is not tuned to outlive a power cut: for that, use a cluster (`streams.connection`).
Importing this package starts nothing and fetches nothing. Tested in tests/broker/ against the real thing.
"""

from streams.broker.jars import cache_folder, ensure_jars, pinned_kafka_version
from streams.broker.kafka import EmbeddedKafka

__all__ = ["EmbeddedKafka", "cache_folder", "ensure_jars", "pinned_kafka_version"]
