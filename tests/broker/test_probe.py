"""A port that accepts connections is not yet a broker that serves."""

from __future__ import annotations

import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from streams.broker.folder import free_port
from streams.broker.probe import is_serving

if TYPE_CHECKING:
    from tests.fixtures.kafka import KafkaForTests

ONE_BROKER, NO_BROKER = struct.pack(">ii", 7, 1), struct.pack(">ii", 7, 0)
WRONG_ANSWER = struct.pack(">ii", 8, 1)


@pytest.mark.parametrize(
    ("answer", "serves"),
    [
        (struct.pack(">i", 8) + ONE_BROKER, True),
        (struct.pack(">i", 8) + NO_BROKER, False),
        (struct.pack(">i", 8) + WRONG_ANSWER, False),
        (struct.pack(">i", 4) + b"abcd", False),
        (struct.pack(">i", 2**31 - 1) + ONE_BROKER, False),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
        (b"\0\0", False),
        (b"", False),
    ],
)
def test_only_an_answer_that_lists_a_broker_counts(answer: bytes, serves: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer_one() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(answer)

        thread = threading.Thread(target=answer_one)
        thread.start()
        assert is_serving("127.0.0.1", server.getsockname()[1]) is serves
        thread.join()


def test_nobody_there_is_not_serving() -> None:
    assert not is_serving("127.0.0.1", free_port())


def test_a_listener_that_says_nothing_is_not_serving() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_serving("127.0.0.1", server.getsockname()[1], timeout_seconds=0.05)


@pytest.mark.kafka
def test_a_real_broker_serves(kafka: KafkaForTests) -> None:
    host, port = kafka.bootstrap.split(":")
    assert is_serving(host, int(port))
