"""Nothing but our own flags reaches the JVM."""

from __future__ import annotations

import pytest

from streams.broker.java import java_environment


@pytest.mark.parametrize("name", ["JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH"])
def test_flags_of_the_surroundings_do_not_reach_the_jvm(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "-Xmx1m")
    monkeypatch.setenv("KEPT", "yes")
    assert name not in java_environment()
    assert java_environment()["KEPT"] == "yes"
