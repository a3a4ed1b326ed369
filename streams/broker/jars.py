"""The pinned jars of Apache Kafka: which they are, where they lie, that they are what was pinned.

`jars.lock` names every jar by Maven coordinates, sha256 and size; `streams.broker.lock` writes it.
`ensure_jars` hands out paths only after it has hashed every file, at each start. Missing ones are fetched by
jgo, a Maven client that pip installs: one exact file each, nothing is resolved at run time, from the
client's own default repository or the one that LOCKSTEP_MAVEN_REPOSITORY names. It does not defend against
someone who can write to the cache between the check and the use. Tested in tests/broker/test_jars.py.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import stamina
from jgo.maven import MavenContext

from streams.broker.errors import JarDiffers, JarsUnavailable

LOCK_FILE = Path(__file__).with_name("jars.lock")
_KAFKA = "org.apache.kafka:kafka_2.13:"
_FETCHES_AT_ONCE = 8  # one file each; more gain nothing on a home line and annoy the repository
_FETCH_ATTEMPTS = 3

Progress = Callable[[int, int], None]
"""Called with (jars fetched, jars to fetch) after each one."""


@dataclass(frozen=True, slots=True)
class PinnedJar:
    """One line of jars.lock."""

    group: str
    artifact: str
    version: str
    sha256: str
    size_bytes: int

    @property
    def coordinates(self) -> str:
        """As Maven writes them: group:artifact:version."""
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def file_name(self) -> str:
        """Its name in the repository and in the cache."""
        return f"{self.artifact}-{self.version}.jar"

    def is_matched_by(self, path: Path) -> bool:
        """Whether the file has the pinned size and sha256."""
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != self.size_bytes:
                return False
            return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256


def read_lock(path: Path = LOCK_FILE) -> tuple[PinnedJar, ...]:
    """Every pinned jar, in the order of the file (which is the order of the class path)."""
    jars = []
    for line in path.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            coordinates, sha256, size_bytes = line.split()
            group, artifact, version = coordinates.split(":")
            jars.append(PinnedJar(group, artifact, version, sha256, int(size_bytes)))
    return tuple(jars)


def pinned_kafka_version(path: Path = LOCK_FILE) -> str:
    """The version of Apache Kafka that jars.lock pins, such as "4.4.0"."""
    return next(jar.version for jar in read_lock(path) if jar.coordinates.startswith(_KAFKA))


def cache_folder() -> Path:
    """Where fetched files are kept between runs: LOCKSTEP_CACHE, else `lockstep` in the user's XDG cache."""
    if chosen := os.environ.get("LOCKSTEP_CACHE"):
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "lockstep"


def ensure_jars(
    cache: Path | None = None,
    *,
    lock: Sequence[PinnedJar] | None = None,
    repository: str | None = None,
    progress: Progress | None = None,
) -> tuple[Path, ...]:
    """Paths of all pinned jars, each present and hashed just now.

    Raises JarsUnavailable when one is missing and cannot be fetched, JarDiffers when one is not what was
    pinned (in the cache or as fetched; a fetched one is discarded).
    """
    jars = read_lock() if lock is None else tuple(lock)
    folder = (cache_folder() if cache is None else cache) / "jars"
    paths = tuple(folder / jar.file_name for jar in jars)
    if not all(path.exists() for path in paths):
        repository = repository or os.environ.get("LOCKSTEP_MAVEN_REPOSITORY") or None
        with one_at_a_time(folder):
            missing = [jar for jar, path in zip(jars, paths, strict=True) if not path.exists()]
            _fetch_all(missing, folder, repository, progress)
    for jar, path in zip(jars, paths, strict=True):
        if not jar.is_matched_by(path):
            raise JarDiffers(
                f"{path} is not the pinned {jar.coordinates} (sha256 {jar.sha256}). Nothing was started. "
                "Delete the file to have it fetched again."
            )
    return paths


def _fetch_all(
    jars: Sequence[PinnedJar], folder: Path, repository: str | None, progress: Progress | None
) -> None:
    with ThreadPoolExecutor(_FETCHES_AT_ONCE) as pool:
        fetches = pool.map(partial(_fetch, folder=folder, repository=repository), jars)
        for number, _ in enumerate(fetches, start=1):
            if progress:
                progress(number, len(jars))


def _fetch(jar: PinnedJar, folder: Path, repository: str | None) -> None:
    """Put one jar into the folder, whole and checked, or not at all."""
    scratch = Path(tempfile.mkdtemp(prefix=".fetch-", dir=folder))
    try:
        try:
            fetched = _download(jar, scratch, repository)
        except (
            Exception
        ) as error:  # jgo raises RuntimeError for a 404, and whatever requests raises for the rest
            raise JarsUnavailable(
                f"{jar.coordinates} is not in {folder} and could not be fetched ({error}). Connect to the "
                "network for the first start, name a reachable Maven repository in "
                "LOCKSTEP_MAVEN_REPOSITORY, copy a filled cache and name it in LOCKSTEP_CACHE, or use a "
                "running cluster by LOCKSTEP_BOOTSTRAP."
            ) from error
        if not jar.is_matched_by(fetched):
            raise JarDiffers(
                f"The repository sent another {jar.coordinates} than the pinned one (sha256 {jar.sha256}); "
                "it was discarded and nothing was started. Try another network or repository "
                "(LOCKSTEP_MAVEN_REPOSITORY)."
            )
        fetched.replace(folder / jar.file_name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@stamina.retry(on=OSError, attempts=_FETCH_ATTEMPTS, wait_initial=0.2)  # what requests raises is an OSError
def _download(jar: PinnedJar, scratch: Path, repository: str | None) -> Path:
    context = MavenContext(
        repo_cache=Path(
            tempfile.mkdtemp(dir=scratch)
        ),  # a new one: the client does not clear a torn download
        remote_repos={"chosen": repository.rstrip("/")} if repository else None,
    )
    component = context.project(jar.group, jar.artifact).at_version(jar.version)
    return component.artifact().resolve()


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Several first starts at once: one fills the cache, the others wait and find it filled."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
