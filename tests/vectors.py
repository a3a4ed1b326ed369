"""What must never change, as docs/schemas-and-topics.md shows it: hashes, ids and shards of a few names."""

from __future__ import annotations

from streams.ids import Token

TOKEN = Token(1_700_000_000_000, 1_234_567_890_123_456_789)

HASHES = {
    (): "e4a6a0577479b2b4",
    ("",): "4e842f2f50cc089e",
    ("a", "bc"): "7c71a240a6aa6d33",
    ("ab", "c"): "88f5e1cfb74ccc43",
}
ACCOUNTS = {
    # account: (hash, shard of 12, shard of 5)
    "ann": ("77628dac86d3568b", 2, 4),
    "Zoë": ("684971aa24d8a2cf", 10, 4),
    "台北": ("9ff2ecbe73c86311", 10, 3),
}
MESSAGE_ID = ("ann", "phone", TOKEN, "77628dac86d3568ba7c236887cf5129b")

MURMUR2 = {
    # Kafka's own vectors (UtilsTest of kafka-clients), as signed 32-bit numbers.
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}
