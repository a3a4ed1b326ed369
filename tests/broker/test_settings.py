"""The broker's settings: ours, yours over them, and those that are not to be chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.broker.errors import SettingRefused
from streams.broker.settings import server_properties


def settings_with(**overrides: str) -> dict[str, str]:
    names = {name.replace("_", "."): value for name, value in overrides.items()}
    text = server_properties(port=1, controller_port=2, log_folder=Path("folder"), overrides=names)
    return dict(line.split("=", 1) for line in text.splitlines())


def test_only_the_loopback_address_is_listened_on() -> None:
    assert settings_with()["listeners"] == "BROKER://127.0.0.1:1,CONTROLLER://127.0.0.1:2"


def test_a_setting_of_the_caller_wins_over_the_default() -> None:
    assert settings_with()["auto.create.topics.enable"] == "false"
    settings = settings_with(auto_create_topics_enable="true", message_max_bytes="2000000")
    assert settings["auto.create.topics.enable"] == "true"
    assert settings["message.max.bytes"] == "2000000"


@pytest.mark.parametrize("name", ["listeners", "log_dirs", "node_id", "controller_quorum_voters"])
def test_a_setting_that_would_move_the_broker_is_refused_by_name(name: str) -> None:
    with pytest.raises(SettingRefused, match=name.replace("_", r"\.")) as caught:
        settings_with(**{name: "x"})
    assert caught.value.code == "BROKER_SETTING_REFUSED"


def test_a_data_folder_with_a_comma_is_refused_since_kafka_would_read_several() -> None:
    with pytest.raises(SettingRefused, match="comma"):
        server_properties(port=1, controller_port=2, log_folder=Path("a,b"), overrides={})


def test_a_line_end_in_a_value_cannot_smuggle_in_another_setting() -> None:
    assert settings_with(message_max_bytes="1\nnode.id=7")["node.id"] == "1"
