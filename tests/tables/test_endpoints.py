"""The endpoints of an account in one row (streams/tables/endpoints.py)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.adapters.memory import MemoryState
from streams.tables.endpoints import Endpoint, EndpointsTable, Parameters, pack_row, parse_row

TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=12)
NUMBERS = st.integers(0, 2**62)
PARAMETERS = st.builds(
    Parameters,
    locale=TEXTS,
    app_version=TEXTS,
    capabilities=st.lists(TEXTS.filter(bool), max_size=3).map(tuple),
    media_width_max=st.integers(0, 2**31 - 1),
    encoding=TEXTS,
    route=TEXTS,
    window=st.integers(0, 2**31 - 1),
)
ENDPOINTS = st.builds(
    Endpoint,
    endpoint_id=TEXTS.filter(bool),
    parameters=PARAMETERS,
    epoch=NUMBERS,
    acked=NUMBERS,
    sent=NUMBERS,
    attached_from=NUMBERS,
    is_attached=st.booleans(),
    is_parked=st.booleans(),
)


@given(st.lists(ENDPOINTS, max_size=4))
def test_endpoints_survive_their_row(endpoints: list[Endpoint]) -> None:
    """What is packed is what is read."""
    assert parse_row(pack_row(endpoints)) == tuple(endpoints)


def test_an_endpoint_is_replaced_in_its_place() -> None:
    """Other endpoints of the account, and their order, stay; a new one comes last; none leaves no row."""
    state = MemoryState()
    table = EndpointsTable(state)
    for name in ("a", "b"):
        table.replace("ann", Endpoint(name, Parameters(), 1))
    table.replace("ann", Endpoint("a", Parameters(), 1, acked=5))
    assert [(one.endpoint_id, one.acked) for one in table.get("ann")] == [("a", 5), ("b", 0)]
    assert table.get("an") == ()
    table.put("ann", ())
    assert not state.rows


def test_a_window_lets_through_what_it_has_room_for() -> None:
    """Q16: at most window updates lie between the acknowledged one and the last one sent; 0 is no limit."""
    free = Endpoint("a", Parameters(), 1, acked=3)
    assert free.sendable_until(50) == 50
    bounded = free._replace(parameters=Parameters(window=4))
    assert bounded.sendable_until(50) == 7
    assert bounded.sendable_until(5) == 5
