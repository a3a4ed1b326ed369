"""The files that the broker reads: server.properties and its log configuration, as text.

Pure: numbers and paths in, text out. Each setting that differs from Kafka's default has its reason beside it.
Tested in tests/broker/test_settings.py, and by every test that starts a broker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.broker.errors import SettingRefused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HOST = "127.0.0.1"

_OWN = frozenset(
    {
        "process.roles",
        "node.id",
        "listeners",
        "advertised.listeners",
        "listener.security.protocol.map",
        "inter.broker.listener.name",
        "controller.listener.names",
        "controller.quorum.voters",
        "log.dirs",
    }
)

_DEFAULTS: Mapping[str, str] = {
    # Topics are declared in topology.yaml; one made by a typing error would be lost data.
    "auto.create.topics.enable": "false",
    # One node: no internal topic can have a second copy.
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Few groups and producers: fewer logs to open at a start.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    # A group of one machine is complete at once; Kafka's default waits 3 s for more members.
    "group.initial.rebalance.delay.ms": "0",
    # Members choose: tests want a dead one noticed soon.
    "group.min.session.timeout.ms": "1000",
    # A dead worker's open transaction holds readers back until this sweep finds it (default 10 s).
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # The default takes 128 MiB of the heap at once; 32 MiB hold 1.2 million keys a pass.
    "log.cleaner.dedupe.buffer.size": str(32 * 1024 * 1024),
    # One node: nobody could take over, and a broker that is declared dead while it lives (a machine that was busy or
    # asleep) drops the markers of the transactions that are just ending. After a SIGKILL this is not waited for.
    "broker.session.timeout.ms": "30000",
    "broker.heartbeat.interval.ms": "250",
    # Two cores are shared with the workers.
    "num.network.threads": "2",
    "num.io.threads": "4",
}


def server_properties(
    *, port: int, controller_port: int, log_folder: Path, overrides: Mapping[str, str]
) -> str:
    """The whole server.properties. Raises SettingRefused for an override of its place or role."""
    if "," in str(log_folder):
        raise SettingRefused(f"Kafka reads {log_folder} as several folders; choose one without a comma.")
    if taken := sorted(_OWN & overrides.keys()):
        raise SettingRefused(
            f"The embedded broker chooses {', '.join(taken)} itself; leave them out, or run a cluster of "
            "your own and name it in LOCKSTEP_BOOTSTRAP."
        )
    own = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"BROKER://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"BROKER://{HOST}:{port}",
        "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "BROKER",
        "controller.listener.names": "CONTROLLER",
        # Static voters are not stored in the data folder, so the controller may move to another port.
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "log.dirs": str(log_folder),
    }
    return _text({**_DEFAULTS, **overrides, **own})


def controller_properties(*, controller_port: int, log_folder: Path) -> str:
    """The settings of the same node as a controller alone, which declares a killed broker dead.

    There is no broker that could be declared dead by mistake, so its session may be as short as it gets.
    """
    return _text(
        {
            **_DEFAULTS,
            "process.roles": "controller",
            "node.id": "1",
            "listeners": f"CONTROLLER://{HOST}:{controller_port}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": f"1@{HOST}:{controller_port}",
            "log.dirs": str(log_folder),
            "broker.session.timeout.ms": "200",
            "broker.heartbeat.interval.ms": "100",
        }
    )


def _text(settings: Mapping[str, str]) -> str:
    return "".join(f"{key}={_escaped(value)}\n" for key, value in settings.items())


def log_properties(folder: Path) -> str:
    """A log4j2 configuration: one rolling server.log, at most 40 MiB in all."""
    return f"""status = error
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {_escaped(str(folder / "server.log"))}
appender.file.filePattern = {_escaped(str(folder / "server.log.%i"))}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{ISO8601}} %p %c{{1}} - %m%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
rootLogger.level = INFO
rootLogger.appenderRef.file.ref = file
logger.config.name = org.apache.kafka.common.config
logger.config.level = WARN
"""


def _escaped(value: str) -> str:
    """A value of a Java properties file: only the backslash and line ends have a meaning there."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
