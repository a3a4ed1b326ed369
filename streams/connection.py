"""How to reach a Kafka cluster: address, encryption, credentials; any cluster, ours or yours.

Read from LOCKSTEP_BOOTSTRAP, LOCKSTEP_SECURITY_PROTOCOL, LOCKSTEP_SASL_* and LOCKSTEP_SSL_*, and handed to
every Kafka client as keyword arguments. Guarantees: settings that contradict each other are refused before
anything connects (credentials are never sent over a protocol that nobody asked for), and no secret stands in
a repr. It opens no connection. Tested in tests/test_connection.py.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from streams.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where a cluster is and how to be let in. Raises ConfigurationError when the parts contradict."""

    bootstrap: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_key_password: str | None = field(default=None, repr=False)
    ssl_check_hostname: bool = True

    def __post_init__(self) -> None:
        if not self.bootstrap.strip():
            raise ConfigurationError(
                "No cluster is named. Set LOCKSTEP_BOOTSTRAP to host:port[,host:port...]."
            )
        _one_of("LOCKSTEP_SECURITY_PROTOCOL", self.security_protocol, PROTOCOLS)
        self._check_sasl()
        self._check_tls()

    @property
    def is_encrypted(self) -> bool:
        """Whether the connection uses TLS."""
        return self.security_protocol.endswith("SSL")

    @property
    def is_authenticated(self) -> bool:
        """Whether the client logs in by SASL."""
        return self.security_protocol.startswith("SASL_")

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] | None = None, *, bootstrap: str | None = None
    ) -> Self:
        """The connection that the environment describes.

        `bootstrap` stands in for LOCKSTEP_BOOTSTRAP; an empty variable counts as not set.
        Raises ConfigurationError.
        """
        variables = os.environ if environment is None else environment

        def read(name: str) -> str | None:
            return variables.get(f"LOCKSTEP_{name}") or None

        return cls(
            bootstrap=read("BOOTSTRAP") or bootstrap or "",
            security_protocol=(read("SECURITY_PROTOCOL") or "PLAINTEXT").upper(),
            sasl_mechanism=(read("SASL_MECHANISM") or "").upper() or None,
            sasl_username=read("SASL_USERNAME"),
            sasl_password=read("SASL_PASSWORD"),
            ssl_cafile=read("SSL_CAFILE"),
            ssl_certfile=read("SSL_CERTFILE"),
            ssl_keyfile=read("SSL_KEYFILE"),
            ssl_key_password=read("SSL_KEY_PASSWORD"),
            ssl_check_hostname=_flag("LOCKSTEP_SSL_CHECK_HOSTNAME", read("SSL_CHECK_HOSTNAME") or "true"),
        )

    def client_arguments(self) -> dict[str, Any]:
        """Keyword arguments for aiokafka's producer, consumer and admin client.

        Reads the certificate files. Raises ConfigurationError when one cannot be used.
        """
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap,
            "security_protocol": self.security_protocol,
        }
        if self.is_authenticated:
            arguments["sasl_mechanism"] = self.sasl_mechanism
            arguments["sasl_plain_username"] = self.sasl_username
            arguments["sasl_plain_password"] = self.sasl_password
        if self.is_encrypted:
            arguments["ssl_context"] = self._ssl_context()
        return arguments

    def _ssl_context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ssl_cafile)
            context.check_hostname = self.ssl_check_hostname
            if self.ssl_certfile:
                context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile, self.ssl_key_password)
        except (OSError, ssl.SSLError) as error:
            names = [name for name in (self.ssl_cafile, self.ssl_certfile, self.ssl_keyfile) if name]
            raise ConfigurationError(
                f"The TLS files {', '.join(names)} cannot be used ({error}). Check LOCKSTEP_SSL_CAFILE, "
                "LOCKSTEP_SSL_CERTFILE, LOCKSTEP_SSL_KEYFILE and LOCKSTEP_SSL_KEY_PASSWORD: PEM files, "
                "readable here."
            ) from error
        return context

    def _check_sasl(self) -> None:
        given = self.sasl_mechanism or self.sasl_username or self.sasl_password
        if not self.is_authenticated:
            if given:
                raise ConfigurationError(
                    f"LOCKSTEP_SASL_* is set, but LOCKSTEP_SECURITY_PROTOCOL is {self.security_protocol}: "
                    "nobody would log in. Set it to SASL_SSL (or SASL_PLAINTEXT), or unset LOCKSTEP_SASL_*."
                )
            return
        _one_of("LOCKSTEP_SASL_MECHANISM", self.sasl_mechanism, MECHANISMS)
        if not (self.sasl_username and self.sasl_password):
            raise ConfigurationError(
                f"{self.security_protocol} needs LOCKSTEP_SASL_USERNAME and LOCKSTEP_SASL_PASSWORD; set both."
            )

    def _check_tls(self) -> None:
        given = self.ssl_cafile or self.ssl_certfile or self.ssl_keyfile or self.ssl_key_password
        if given and not self.is_encrypted:
            raise ConfigurationError(
                f"LOCKSTEP_SSL_* is set, but LOCKSTEP_SECURITY_PROTOCOL is {self.security_protocol}: nothing "
                "would be encrypted. Set it to SSL or SASL_SSL, or unset LOCKSTEP_SSL_*."
            )
        if self.ssl_keyfile and not self.ssl_certfile:
            raise ConfigurationError(
                "LOCKSTEP_SSL_KEYFILE is set without LOCKSTEP_SSL_CERTFILE; set both or none."
            )


def _one_of(variable: str, got: str | None, expected: tuple[str, ...]) -> None:
    if got not in expected:
        raise ConfigurationError(f"{variable} is {got or 'not set'}; set it to one of {', '.join(expected)}.")


def _flag(variable: str, got: str) -> bool:
    try:
        return _FLAGS[got.lower()]
    except KeyError:
        raise ConfigurationError(f"{variable} is {got}; set it to true or false.") from None
