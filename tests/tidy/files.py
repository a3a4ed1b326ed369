"""The files of this project as a reader of the repository finds them: what git tracks, or would track."""

from __future__ import annotations

import io
import subprocess
import tokenize
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def project_files(*suffixes: str) -> tuple[Path, ...]:
    """All files that are tracked or new and not ignored, with one of these suffixes (none: every file)."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = (ROOT / name for name in sorted(set(listed.split("\0"))) if name)
    return tuple(path for path in paths if path.is_file() and (not suffixes or path.suffix in suffixes))


def text_of(path: Path) -> str:
    """The file as text; nothing when it holds bytes that are no text."""
    data = path.read_bytes()
    return "" if b"\0" in data else data.decode("utf-8", errors="replace")


def comments_of(path: Path) -> list[tuple[int, str]]:
    """The comments of a Python file with their line numbers: what stands in strings is none."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    return [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]


def shown(path: Path, line: int | None = None) -> str:
    """The place as an editor opens it, from the project's root."""
    name = str(path.relative_to(ROOT))
    return name if line is None else f"{name}:{line}"
