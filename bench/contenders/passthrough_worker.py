"""The raw ceiling as a process: records from one topic to another, exactly once, nothing looked at.

passthrough_worker BOOTSTRAP INPUT OUTPUT RECORDS_MAX
"""

from __future__ import annotations

import sys

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

GROUP = "bench-passthrough"
BATCH_BYTES = 1 << 20


async def main(bootstrap: str, source: str, target: str, records_max: int) -> None:
    """Pass on until SIGTERM."""
    consumer = AIOKafkaConsumer(
        source,
        bootstrap_servers=bootstrap,
        group_id=GROUP,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        transactional_id=GROUP,
        max_batch_size=BATCH_BYTES,
        max_request_size=4 * BATCH_BYTES,
    )
    await consumer.start()
    await producer.start()
    while True:
        fetched = await consumer.getmany(timeout_ms=100, max_records=records_max)
        if not fetched:
            continue
        async with producer.transaction():
            for place, records in fetched.items():
                batch = producer.create_batch()
                for record in records:
                    if batch.append(key=record.key, value=record.value, timestamp=None) is None:
                        await producer.send_batch(batch, target, partition=place.partition)
                        batch = producer.create_batch()
                        batch.append(key=record.key, value=record.value, timestamp=None)
                await producer.send_batch(batch, target, partition=place.partition)
            offsets: dict[TopicPartition, int] = {at: some[-1].offset + 1 for at, some in fetched.items()}
            await producer.send_offsets_to_transaction(offsets, GROUP)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
