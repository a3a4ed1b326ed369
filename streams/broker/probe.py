"""Asks a broker, over its own protocol, whether it serves: more than that its port accepts connections.

One Metadata request (version 1, no topics), written by hand: a start needs no client, thread or event loop.
A broker lists itself there once it is registered and unfenced. Source of the layout: Kafka protocol guide.
Tested in tests/broker/test_probe.py.
"""

from __future__ import annotations

import socket
import struct

_METADATA, _VERSION, _CORRELATION = 3, 1, 7
_CLIENT = b"lockstep-probe"
_RESPONSE_BYTES_MAX = 1 << 20


def is_serving(host: str, port: int, timeout_seconds: float = 1.0) -> bool:
    """Whether a broker answers there and knows at least one live broker. Never raises for an absent one."""
    header = struct.pack(">hhih", _METADATA, _VERSION, _CORRELATION, len(_CLIENT)) + _CLIENT
    request = header + struct.pack(">i", 0)  # an empty array of topics: none
    try:
        with socket.create_connection((host, port), timeout_seconds) as connection:
            connection.settimeout(timeout_seconds)
            connection.sendall(struct.pack(">i", len(request)) + request)
            (size_bytes,) = struct.unpack(">i", _read(connection, 4))
            if not 8 <= size_bytes <= _RESPONSE_BYTES_MAX:
                return False
            correlation, brokers = struct.unpack(">ii", _read(connection, size_bytes)[:8])
            return bool(correlation == _CORRELATION and brokers > 0)
    except OSError:
        return False


def _read(connection: socket.socket, size_bytes: int) -> bytes:
    received = bytearray()
    while len(received) < size_bytes:
        chunk = connection.recv(size_bytes - len(received))
        if not chunk:
            raise ConnectionError("the peer closed the connection in mid-answer")
        received += chunk
    return bytes(received)
