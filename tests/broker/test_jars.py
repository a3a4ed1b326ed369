"""What runs is what was pinned, or nothing runs."""

from __future__ import annotations

import gc
import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
import stamina

from streams.broker.errors import JarDiffers, JarsUnavailable
from streams.broker.folder import free_port
from streams.broker.jars import PinnedJar, cache_folder, ensure_jars, pinned_kafka_version, read_lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# jgo leaves the answer to what a repository does not have unread, so its socket is closed by the collector, whenever
# that comes by: here, and not in the middle of another test.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

CONTENT = b"bytes of a jar"
JAR = PinnedJar("org.example", "thing", "1.0", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    yield
    gc.collect()


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without a line on stderr for each."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def repository_files(tmp_path: Path) -> Path:
    folder = tmp_path / "repository" / "org" / "example" / "thing" / "1.0"
    folder.mkdir(parents=True)
    (folder / "thing-1.0.jar").write_bytes(CONTENT)
    return folder


@pytest.fixture
def repository(tmp_path: Path, repository_files: Path) -> Iterator[str]:
    """A Maven repository on the loopback address."""
    assert repository_files.is_dir()
    handler = partial(QuietHandler, directory=str(tmp_path / "repository"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def nowhere() -> Iterator[str]:
    """A repository that cannot be reached, asked once."""
    with stamina.set_testing(True, attempts=1):
        yield f"http://127.0.0.1:{free_port()}"


def files_in(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "jars").iterdir() if path.name != ".lock")


def test_the_lock_pins_every_jar_by_version_sha256_and_size() -> None:
    jars = read_lock()
    assert len({jar.file_name for jar in jars}) == len(jars) > 40
    assert all(len(bytes.fromhex(jar.sha256)) == 32 and jar.size_bytes > 0 for jar in jars)
    assert {jar.version for jar in jars if jar.group == "org.apache.kafka"} == {pinned_kafka_version()}


def test_a_missing_jar_is_fetched_once_and_then_found_offline(
    tmp_path: Path, repository: str, nowhere: str
) -> None:
    steps: list[tuple[int, int]] = []
    fetched = ensure_jars(
        tmp_path, lock=[JAR], repository=repository, progress=lambda *step: steps.append(step)
    )
    assert [path.read_bytes() for path in fetched] == [CONTENT]
    assert steps == [(1, 1)]
    assert ensure_jars(tmp_path, lock=[JAR], repository=nowhere) == fetched


def test_offline_with_an_empty_cache_is_an_error_that_says_what_to_do(tmp_path: Path, nowhere: str) -> None:
    with pytest.raises(JarsUnavailable, match=r"org\.example:thing:1\.0.*LOCKSTEP_CACHE") as caught:
        ensure_jars(tmp_path, lock=[JAR], repository=nowhere)
    assert caught.value.code == "BROKER_JARS_UNAVAILABLE"
    assert files_in(tmp_path) == []


def test_a_jar_that_the_repository_does_not_have_is_an_error_that_names_it(
    tmp_path: Path, repository: str, repository_files: Path
) -> None:
    (repository_files / "thing-1.0.jar").unlink()
    with pytest.raises(JarsUnavailable, match=r"org\.example:thing:1\.0"):
        ensure_jars(tmp_path, lock=[JAR], repository=repository)


@pytest.mark.parametrize("other", [b"bytes of a JAR", b"bytes of a jar, and more", b""])
def test_a_fetched_jar_that_differs_is_refused_and_discarded(
    tmp_path: Path, repository: str, repository_files: Path, other: bytes
) -> None:
    (repository_files / "thing-1.0.jar").write_bytes(other)
    with pytest.raises(JarDiffers, match="discarded") as caught:
        ensure_jars(tmp_path, lock=[JAR], repository=repository)
    assert caught.value.code == "BROKER_JAR_DIFFERS"
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("other", [b"bytes of a JAR", b"bytes of a j"])
def test_a_cached_jar_that_differs_is_refused_by_name_at_every_start(
    tmp_path: Path, repository: str, other: bytes
) -> None:
    (path,) = ensure_jars(tmp_path, lock=[JAR], repository=repository)
    path.write_bytes(other)
    for _ in range(2):
        with pytest.raises(JarDiffers, match=r"thing-1\.0\.jar"):
            ensure_jars(tmp_path, lock=[JAR], repository=repository)
    path.unlink()
    assert ensure_jars(tmp_path, lock=[JAR], repository=repository) == (path,)


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("LOCKSTEP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "lockstep"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "lockstep"
