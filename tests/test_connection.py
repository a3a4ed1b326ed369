from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaConsumer

from streams.connection import Connection
from streams.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

SASL = {
    "LOCKSTEP_BOOTSTRAP": "kafka.example:9093",
    "LOCKSTEP_SECURITY_PROTOCOL": "SASL_SSL",
    "LOCKSTEP_SASL_MECHANISM": "scram-sha-512",
    "LOCKSTEP_SASL_USERNAME": "lockstep",
    "LOCKSTEP_SASL_PASSWORD": "open sesame",
}


def test_an_address_alone_gives_a_plain_connection() -> None:
    connection = Connection.from_environment({"LOCKSTEP_BOOTSTRAP": "localhost:9092"})
    assert connection.client_arguments() == {
        "bootstrap_servers": "localhost:9092",
        "security_protocol": "PLAINTEXT",
    }


def test_the_environment_wins_over_the_default_address() -> None:
    assert Connection.from_environment({"LOCKSTEP_BOOTSTRAP": "a:1"}, bootstrap="b:2").bootstrap == "a:1"
    assert Connection.from_environment({"LOCKSTEP_BOOTSTRAP": ""}, bootstrap="b:2").bootstrap == "b:2"


def test_sasl_over_tls_reaches_the_client_as_its_keyword_arguments() -> None:
    arguments = Connection.from_environment(SASL).client_arguments()
    context = arguments.pop("ssl_context")
    assert isinstance(context, ssl.SSLContext)
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert arguments == {
        "bootstrap_servers": "kafka.example:9093",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "lockstep",
        "sasl_plain_password": "open sesame",
    }


async def test_aiokafka_takes_the_arguments() -> None:
    consumer = AIOKafkaConsumer(**Connection.from_environment(SASL).client_arguments())
    await consumer.stop()


def test_a_check_of_the_host_name_can_be_switched_off_while_the_certificate_is_still_checked() -> None:
    connection = Connection.from_environment(SASL | {"LOCKSTEP_SSL_CHECK_HOSTNAME": "false"})
    context = connection.client_arguments()["ssl_context"]
    assert not context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_no_secret_stands_in_the_repr() -> None:
    connection = Connection.from_environment(SASL | {"LOCKSTEP_SSL_KEY_PASSWORD": "barley"})
    assert "kafka.example" in repr(connection)
    assert "sesame" not in repr(connection) + str(connection)
    assert "barley" not in repr(connection) + str(connection)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"LOCKSTEP_BOOTSTRAP": " "}, "LOCKSTEP_BOOTSTRAP"),
        ({"LOCKSTEP_SECURITY_PROTOCOL": "TLS"}, "LOCKSTEP_SECURITY_PROTOCOL"),
        ({"LOCKSTEP_SECURITY_PROTOCOL": "SSL"}, "LOCKSTEP_SASL_"),
        ({"LOCKSTEP_SECURITY_PROTOCOL": ""}, "LOCKSTEP_SASL_"),
        ({"LOCKSTEP_SASL_MECHANISM": "GSSAPI"}, "LOCKSTEP_SASL_MECHANISM"),
        ({"LOCKSTEP_SASL_MECHANISM": ""}, "LOCKSTEP_SASL_MECHANISM"),
        ({"LOCKSTEP_SASL_PASSWORD": ""}, "LOCKSTEP_SASL_PASSWORD"),
        (
            {"LOCKSTEP_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "LOCKSTEP_SSL_CAFILE": "ca.pem"},
            "LOCKSTEP_SSL_",
        ),
        ({"LOCKSTEP_SSL_KEYFILE": "key.pem"}, "LOCKSTEP_SSL_CERTFILE"),
        ({"LOCKSTEP_SSL_CHECK_HOSTNAME": "perhaps"}, "LOCKSTEP_SSL_CHECK_HOSTNAME"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused_by_name(changes: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named) as caught:
        Connection.from_environment(SASL | changes)
    assert "sesame" not in str(caught.value)


def test_a_certificate_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "ca.pem")
    connection = Connection.from_environment(SASL | {"LOCKSTEP_SSL_CAFILE": missing})
    with pytest.raises(ConfigurationError, match=r"ca\.pem"):
        connection.client_arguments()
