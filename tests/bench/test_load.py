"""A load is the same for a seed, has the share of repeats it should, and repeats exactly."""

from __future__ import annotations

from bench.load import Load, encoded, requests, set_up
from streams.codec import Codec
from streams.ids import shard_of

NOW_MS = 1_700_000_000_000


def test_a_seed_gives_the_same_load() -> None:
    """Two contenders of a sitting get the same requests."""
    load = Load(messages=500, seed=3)
    assert list(requests(load, NOW_MS)) == list(requests(load, NOW_MS))
    assert list(requests(load, NOW_MS)) != list(requests(Load(messages=500, seed=4), NOW_MS))


def test_the_share_of_repeats_is_what_was_asked() -> None:
    """Half of 10,000, within three per cent; none when none is asked for."""
    half = list(requests(Load(messages=10_000, duplicates=0.5), NOW_MS))
    assert abs(len({one.message_id for one in half}) - 5_000) < 300
    none = list(requests(Load(messages=1_000, duplicates=0.0), NOW_MS))
    assert len({one.message_id for one in none}) == 1_000


def test_tokens_of_a_client_never_run_back_but_in_repeats() -> None:
    """A request that was not sent before is at least as new as all of its client's."""
    newest: dict[str, int] = {}
    seen = set()
    for one in requests(Load(messages=5_000, accounts=50), NOW_MS):
        if one.message_id in seen:
            continue
        seen.add(one.message_id)
        assert one.token.timestamp_ms >= newest.get(one.account_id, 0)
        newest[one.account_id] = one.token.timestamp_ms


def test_a_hot_account_has_its_share() -> None:
    """30 % of the traffic from one account, within three per cent."""
    some = list(requests(Load(messages=10_000, duplicates=0.0, hot_share=0.3), NOW_MS))
    hot = sum(one.account_id == "account-00000" for one in some)
    assert abs(hot - 3_000) < 300


def test_a_record_lies_on_the_shard_of_its_sender_and_decodes_to_its_request() -> None:
    """What every contender reads is what the product's clients write."""
    codec = Codec()
    request = next(requests(Load(messages=1), NOW_MS))
    (record,) = encoded([request], codec, 4)
    assert record.partition == shard_of(request.account_id, 4)
    fields = codec.decode_as("SendRequest", record.value)
    assert len(fields["operation"][1]["body"]) == 120
    assert fields["recipients"] is not None
    assert record.message == request.message_id


def test_the_set_up_attaches_everybody_and_makes_every_thread() -> None:
    """Two commands and one request an account."""
    commands, first = set_up(10, Codec(), 4, NOW_MS)
    assert len(commands) == 20
    assert len({one.message for one in first}) == 10
