"""What can go wrong with the embedded broker, each with its stable code.

The message given by the raiser says what to do next. Tested in tests/broker/.
"""

from __future__ import annotations

from streams.errors import ConfigurationError, LockstepError


class BrokerError(LockstepError):
    """The embedded Kafka broker could not do what was asked."""

    code = "BROKER"


class JarsUnavailable(BrokerError):
    """A pinned jar is not in the cache and could not be fetched."""

    code = "BROKER_JARS_UNAVAILABLE"


class JarDiffers(BrokerError):
    """A jar's sha256 or size is not the pinned one; nothing was started."""

    code = "BROKER_JAR_DIFFERS"


class RuntimeMissing(BrokerError):
    """The Java runtime that pip installs is not there."""

    code = "BROKER_RUNTIME_MISSING"


class DataFolderInUse(BrokerError):
    """Another embedded broker is running on the data folder."""

    code = "BROKER_DATA_FOLDER_IN_USE"


class PortTaken(BrokerError):
    """Another process listens on the broker's port."""

    code = "BROKER_PORT_TAKEN"


class StartFailed(BrokerError):
    """The broker ended before it was ready, or was not ready in time."""

    code = "BROKER_START_FAILED"


class NotRunning(BrokerError):
    """The broker is asked for something that only a running one has."""

    code = "BROKER_NOT_RUNNING"


class SettingRefused(ConfigurationError):
    """A setting was given that the embedded broker must choose by itself."""

    code = "BROKER_SETTING_REFUSED"
