"""A store worker without Kafka, made to be killed: `python -m tests.split_store.doomed FOLDER`.

Its queue is the same script at every start. It stores all of it in the two RocksDB databases of FOLDER,
from where they are, a handful of records at a time so that halves interleave; then it ends.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from streams import faults
from streams.adapters.memory_store import MemoryQueue
from streams.adapters.rocks_store import RocksBodyStore, RocksMetadataStore
from streams.split_store import SplitStore
from tests.split_store.scenes import CODEC, Script, delete, drained, edit, id_at, mark_read, post, until

if TYPE_CHECKING:
    from streams.ports import Record

RECORDS = 400
CHUNK = 9


def script() -> Script:
    """Posts, edits, deletes and bytes that nobody can read; the same every time."""
    choice = random.Random(6)
    written = Script()
    for position in range(1, RECORDS + 1):
        target = id_at(choice.randrange(1, position + 1))
        written.add(
            choice.choice(
                [post(f"text {position}"), post(), edit(target, "x"), delete(target), mark_read(target)]
            )
        )
        if position % 50 == 0:
            written.raw(b"thread", b"junk")
    return written


async def bury(_record: Record, _code: str, _detail: str) -> None:
    """Dead letters lie elsewhere; here they only pass."""


async def live(folder: Path) -> None:
    """Store everything, in small steps."""
    written = script()
    queue = MemoryQueue({0: written.records})
    metadata = RocksMetadataStore(folder / "metadata")
    bodies = RocksBodyStore(folder / "bodies")
    store = SplitStore(
        metadata=metadata, bodies=bodies, codec=CODEC, queue=queue, dead_letters=bury, shards=1
    )
    start = await store.open(0)
    records = [record for record in written.records if record.offset >= start]
    for first in range(0, len(records), CHUNK):
        store.take(0, records[first : first + CHUNK])
        end = min(first + CHUNK, len(records)) - 1
        await until(lambda: store.pointers()[0].metadata > records[end].offset, "metadata is stored")  # noqa: B023  # awaited at once
    await drained(store, written.end)
    await store.close_all()
    await metadata.close()
    await bodies.close()


if __name__ == "__main__":
    faults.arm_from_environment()
    asyncio.run(live(Path(sys.argv[1])))
