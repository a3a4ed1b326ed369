"""One broker a data folder, on a port that stays its own."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from streams.broker.errors import DataFolderInUse, PortTaken
from streams.broker.folder import BrokerState, DataFolder, claim_port, free_port, new_cluster_id

if TYPE_CHECKING:
    from pathlib import Path

STATE = BrokerState(port=20_001, controller_port=20_002, cluster_id="abc", kafka_version="4.0.0")


def test_a_folder_that_is_held_is_refused_with_the_address_of_its_broker(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.save(STATE)
    held = folder.take_lock(wait_seconds=0)
    with pytest.raises(DataFolderInUse, match=r"127\.0\.0\.1:20001") as caught:
        DataFolder(tmp_path).take_lock(wait_seconds=0)
    assert caught.value.code == "BROKER_DATA_FOLDER_IN_USE"
    os.close(held)
    os.close(DataFolder(tmp_path).take_lock(wait_seconds=0))


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    assert DataFolder(tmp_path).load() is None
    DataFolder(tmp_path).save(STATE)
    assert DataFolder(tmp_path).load() == STATE


def test_a_port_in_use_is_never_free_and_cannot_be_claimed() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)), pytest.raises(PortTaken, match=str(port)) as caught:
        claim_port(port, wait_seconds=0)
    assert caught.value.code == "BROKER_PORT_TAKEN"
    assert claim_port(port, wait_seconds=0) == port


def test_cluster_ids_are_what_kafka_takes() -> None:
    ids = {new_cluster_id() for _ in range(300)}
    assert len(ids) == 300
    assert all(len(name) == 22 and not name.startswith("-") for name in ids)
