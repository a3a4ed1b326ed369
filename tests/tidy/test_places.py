"""Nothing in the repository knows the machine it was written on."""

from __future__ import annotations

import re

import pytest

from tests.tidy.files import ROOT, project_files, shown, text_of

FORBIDDEN = {
    "a folder of one machine": re.compile(r"(?<![\w.~-])/(?:root|work|home/\w+|Users/\w+)/\w"),
    "a package index or registry": re.compile(
        r"pythonhosted\.|pypi\.org/simple|--(?:extra-)?index-url[ =]\S|--find-links[ =]\S"
        r"|--trusted-host[ =]\S|\brepo1?\.maven|\bartifactory\b"
    ),
    "a proxy": re.compile(r"(?i)\b(?:https?|all)_proxy\s*[=:]\s*\S"),
    "a secret": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_\w{30,}"),
}
# Paths inside a container image are the image's, not a machine's; the checks spell what they look for.
EXEMPT = (ROOT / "docker", ROOT / "tests" / "tidy")


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_no_file_names_a_place_that_only_one_machine_has(kind: str) -> None:
    """No machine's folders, registries, proxies or secrets stand in a file of the project."""
    found = [
        f"{shown(path, number)}: {line.strip()[:120]}"
        for path in project_files()
        if not any(path.is_relative_to(folder) for folder in EXEMPT)
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        if FORBIDDEN[kind].search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("a folder of one machine", 'DATA = "/home/ada/lockstep"'),
        ("a package index or registry", "--index-url https://packages.example/simple"),
        ("a proxy", "HTTPS_PROXY=10.0.0.1:3128"),
        ("a secret", "-----BEGIN RSA PRIVATE KEY-----"),
    ],
)
def test_each_kind_of_place_would_be_noticed(kind: str, line: str) -> None:
    """The check above fails for a planted line of each kind."""
    assert FORBIDDEN[kind].search(line)
