"""Writes of a unit that may be taken back, while the unit before it commits (streams/engine/overlay.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.engine import overlay as overlays
from streams.engine.overlay import Overlay
from streams.engine.store import Memory, Store, wipe
from streams.tables import LEDGER, POSITIONS

KEYS = [table.byte + bytes((number,)) for table in (POSITIONS, LEDGER) for number in range(4)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store", Memory.of(8 << 20))
    yield opened
    opened.close()


def put(overlay: Overlay, key: bytes, value: bytes | None) -> None:
    if value is None:
        overlay.delete(key)
    else:
        overlay.put(key, value)


def test_a_unit_sees_the_one_in_front_of_it_and_takes_back_only_its_own(store: Store) -> None:
    """D13: what is being committed is read by the next unit, and a record of the next that fails leaves it alone."""
    overlay = Overlay(store)
    first, second = KEYS[0], KEYS[1]
    overlay.put(first, b"1")
    overlay.put(second, b"1")
    overlay.seal()
    assert overlay.get(first) == b"1"
    mark = overlay.mark()
    overlay.put(first, b"2")
    overlay.delete(second)
    assert (overlay.get(first), overlay.get(second)) == (b"2", None)
    assert not overlay.may_contain(second)
    overlay.roll_back(mark)
    assert (overlay.get(first), overlay.get(second)) == (b"1", b"1")
    assert store.get(first) is None, "nothing is in the store before the commit"
    overlay.put(first, b"3")
    overlay.committed({})
    assert store.get(first) == b"1", "only the sealed unit is written"
    assert overlay.get(first) == b"3"
    overlay.seal()
    overlay.committed({})
    assert store.get(first) == b"3"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "fail", "seal", "commit", "read"]),
        st.integers(0, 7),
        st.none() | st.binary(max_size=3),
    ),
    max_size=60,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_reads_give_what_a_plain_dictionary_would(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    steps: list[tuple[str, int, bytes | None]],
) -> None:
    """Whatever is written, taken back, sealed and committed, with a cache that forgets all the time."""
    monkeypatch.setattr(overlays, "_GENERATION_ROWS", 2)
    path = tmp_path_factory.mktemp("overlay")
    store = Store(path, Memory.of(8 << 20))
    try:
        overlay = Overlay(store)
        model: dict[bytes, bytes | None] = {}
        sealed: dict[bytes, bytes | None] = {}
        durable: dict[bytes, bytes | None] = {}
        is_sealed = False
        for step, number, value in steps:
            key = KEYS[number]
            mark = overlay.mark()
            if step == "put":
                put(overlay, key, value)
                model[key] = value
            elif step == "fail":
                put(overlay, key, value)
                overlay.roll_back(mark)
            elif step == "seal" and not is_sealed:
                overlay.seal()
                sealed, is_sealed = dict(model), True
            elif step == "commit" and is_sealed:
                overlay.committed({})
                durable, is_sealed = sealed, False
            assert overlay.get(key) == model.get(key)
            assert store.get(key) == durable.get(key)
    finally:
        store.close()
        wipe(path)
