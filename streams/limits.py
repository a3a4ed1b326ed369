"""Every limit of the product, with its unit, its reason, and its relation to the others.

None of them is a setting: with a lower one, a retry of an accepted token would be rejected. What an operator may
change stands in topology.yaml.
Relations are checked in tests/test_limits.py.
"""

from __future__ import annotations

from typing import Final

# -- What a client may send --------------------------------------------------------------------------------

ID_BYTES_MAX: Final = 128
"""Account, endpoint, thread, form and command ids, in UTF-8 bytes: they are keys in every topic and table."""

RECIPIENTS_MAX: Final = 1_000
"""Recipients named by one request, and members added or removed by one: bounds one request's decoding."""

BODY_BYTES_MAX: Final = 65_536
"""One body: a message, not a file. Sixteen of them fit a topic's record with room for ids and media."""

CONTENT_TYPE_BYTES_MAX: Final = 128
MEDIA_VARIANTS_MAX: Final = 16
MEDIA_ADDRESS_BYTES_MAX: Final = 2_048
FORM_ARGUMENTS_MAX: Final = 32
FORM_ARGUMENT_BYTES_MAX: Final = 1_024

THREAD_MEMBERS_MAX: Final = 200_000
"""Members of one thread; more is refused as THREAD_FULL. Twice what Q15 asks for."""

ENDPOINTS_MAX: Final = 64
"""Endpoints of one account: they share one state row."""

CAPABILITIES_MAX: Final = 64
WINDOW_MAX: Final = 1_000_000

MISSING_UPDATES_MAX: Final = 10_000
"""Updates that one MissingUpdates command may ask for; a larger wish is cut to it (has_more says so)."""

# -- How work is cut ---------------------------------------------------------------------------------------

RECORD_BYTES_MAX: Final = 1_048_576
"""One record of a pipeline topic, as Kafka counts it (key + value + overhead)."""

RECORD_OVERHEAD_BYTES: Final = 512
"""What Kafka's record and batch headers may add to key and value (61 + 21 bytes and headers, rounded up)."""

DEAD_LETTER_BYTES_MAX: Final = 2 * RECORD_BYTES_MAX
"""A dead letter holds a whole record of any other topic, so its topic takes more than every other."""

EXPANSION_STEP: Final = 1_000
"""Appends that one step of a fan-out writes before the cursor is saved (Q15)."""

EXPANSION_STEP_BYTES: Final = 4 * RECORD_BYTES_MAX
"""Bytes of what one step of a fan-out writes to members; a step has one append at least. A step is held in memory."""

REPLAY_BATCH_UPDATES: Final = 100
"""Updates in one UpdateBatch (Q6); cut earlier when the bytes would pass REPLAY_BATCH_BYTES."""

REPLAY_BATCH_BYTES: Final = 524_288
"""Bytes in one UpdateBatch: half a record, so that one more update of any size still fits the topic."""

MEMBERS_CHUNK: Final = 128
"""Members in one row of the members table: a change rewrites one row of a few KiB at most."""

# -- Split store, for each partition -----------------------------------------------------------------------

STORE_BATCH_RECORDS: Final = 500
"""Records in one commit of a store: a few milliseconds on the event loop."""

STORE_BATCH_BYTES: Final = RECORD_BYTES_MAX
"""Bytes of records in one commit; reached by one record of the largest size."""

STORE_WAITING_RECORDS: Final = 4 * STORE_BATCH_RECORDS
"""Records fetched and not yet in the metadata store; with more, fetching pauses."""

STORE_WAITING_BYTES: Final = 4 * STORE_BATCH_BYTES

STORE_BACKLOG_RECORDS: Final = 8 * STORE_BATCH_RECORDS
"""Records kept for a body store that is behind; above it they are dropped and read from the queue again."""

STORE_BACKLOG_BYTES: Final = 8 * STORE_BATCH_BYTES

STORE_READ_ROWS_MAX: Final = 1_000
"""Rows that one read of a thread returns."""

STORE_PAGE_ROWS_MAX: Final = 100
"""Messages on one page of a thread over HTTP: some 9 MiB of JSON when every body is as large as may be."""
