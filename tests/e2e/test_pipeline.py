"""What only the whole can show: real producers, real workers, the store, endpoints that come and go."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from streams.client import EndpointCommands, Request, Sender, post, post_form
from streams.ids import Position
from streams.limits import REPLAY_BATCH_UPDATES
from streams.records import Status
from streams.tables import TABLES
from tests.fixtures.instance import PIPELINE, STORE, RunningInstance
from tests.fixtures.tap import Fields, Tap

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

ASK_SECONDS_MAX = 120.0


@pytest.fixture
async def sender(instance: RunningInstance) -> Any:
    async with Sender(instance.arguments, instance.topology, retry_seconds=ASK_SECONDS_MAX) as opened:
        yield opened


@pytest.fixture
async def commands(instance: RunningInstance) -> Any:
    opening = EndpointCommands(instance.arguments, instance.topology, retry_seconds=ASK_SECONDS_MAX)
    async with opening as opened:
        yield opened


async def created(sender: Sender, thread: str, members: Iterable[str]) -> Request:
    """A thread with its first message, accepted."""
    first, *others = members
    request = Request(first, "phone", thread, post("first"), others)
    assert (await sender.ask(request)).status is Status.ACCEPTED
    return request


def of_token(found: Iterable[Fields], request: Request) -> list[Fields]:
    token = request.token._asdict()
    return [one for one in found if (one["account_id"], one["token"]) == (request.account_id, token)]


def of_message(found: Iterable[Fields], request: Request) -> list[Fields]:
    return [one for one in found if one["message_id"] == request.message_id]


# -- Once, whatever happens ------------------------------------------------------------------------------------------


async def test_one_token_through_two_producers_at_once_is_one_operation(instance: RunningInstance) -> None:
    """D1, D2: one ACCEPTED, every other answer DUPLICATE, all with one message id; every inbox has it once."""
    request = Request("twice-ann", "phone", "twice", post("once"), ["twice-bob"])
    async with Tap(instance) as one, Tap(instance) as other:
        await asyncio.gather(*(tap.request(request.fields()) for tap in (one, other) * 10))
        answers = await one.until(
            "ingest.results", lambda found: len(of_token(found, request)) >= 20, "20 answers"
        )
        await instance.drained()
        statuses = Counter(answer["status"] for answer in of_token(answers, request))
        assert statuses == {"ACCEPTED": 1, "DUPLICATE": 19}
        assert {answer["message_id"] for answer in of_token(answers, request)} == {request.message_id}
        assert len(of_message(await one.decoded("thread.operations"), request)) == 1
        updates = of_message(await one.decoded("inbox.updates"), request)
        assert sorted(update["account_id"] for update in updates) == ["twice-ann", "twice-bob"]


async def test_a_resend_after_a_kill_behind_the_commit_is_a_duplicate(
    instance: RunningInstance, tap: Tap
) -> None:
    """D12: the client never saw the answer; its retry names the same message, and there is one operation."""
    request = Request("killed-ann", "phone", "killed", post("once"), ["killed-bob"])
    await tap.request(request.fields())
    await tap.until("thread.operations", lambda found: bool(of_message(found, request)), "the commit")
    process = instance.worker().process
    assert process is not None
    process.kill()
    process.wait()
    await tap.request(request.fields())
    await instance.serving()
    answers = await tap.until(
        "ingest.results", lambda found: len(of_token(found, request)) == 2, "two answers"
    )
    assert [one["status"] for one in of_token(answers, request)] == ["ACCEPTED", "DUPLICATE"]
    assert {one["message_id"] for one in of_token(answers, request)} == {request.message_id}
    await instance.verified()
    assert len(of_message(await tap.decoded("thread.messages"), request)) == 1


async def test_tokens_are_known_after_all_local_state_was_lost(
    instance: RunningInstance, sender: Sender
) -> None:
    """D14: the window is rebuilt from the topics; a resend names the same message; threads go on too."""
    request = await created(sender, "wiped", ["wiped-ann", "wiped-bob"])
    instance.stop_worker()
    instance.wipe_shards()
    await instance.serving()
    again = await sender.ask(request)
    assert (again.status, again.message_id) == (Status.DUPLICATE, request.message_id)
    answer = await sender.ask(
        Request("wiped-bob", "phone", "wiped", post("I am still a member")), refusal_seconds=1
    )
    assert answer.status is Status.ACCEPTED
    await instance.verified()


# -- Each endpoint its own update ------------------------------------------------------------------------------------


async def test_two_languages_get_the_same_number_with_different_text(
    instance: RunningInstance, sender: Sender, commands: EndpointCommands, tap: Tap
) -> None:
    """Q2, Q3: one canonical entry in the log; what a person wrote stays as it was written."""
    thread, bob = "languages", "languages-bob"
    for endpoint, locale, route in (
        ("phone", "fr-CA", "mobile"),
        ("laptop", "en", "web"),
        ("old", "xx", "web"),
    ):
        answer = await commands.register(bob, endpoint, locale=locale, route=route, capabilities=["forms"])
        assert answer.is_ok
        assert (await commands.attach(bob, endpoint)).is_ok
    first = await created(sender, thread, ["languages-ann", bob])
    form = Request("languages-ann", "phone", thread, post_form("welcome", {"thread": "Tea", "name": "Bob"}))
    assert (await sender.ask(form)).status is Status.ACCEPTED
    await instance.drained()
    delivered = [
        one
        for topic in ("delivery.mobile", "delivery.web")
        for one in await tap.decoded(topic)
        if one["account_id"] == bob
    ]
    texts = {one["endpoint_id"]: text_of(one) for one in of_message(delivered, form)}
    assert texts == {
        "phone": "Bienvenue dans Tea, Bob.",
        "laptop": "Welcome to Tea, Bob.",
        "old": "Welcome to Tea, Bob.",
    }
    assert {one["seq"] for one in of_message(delivered, form)} == {2}
    assert {one["content"][1]["body"] for one in of_message(delivered, first)} == {b"first"}
    (canonical,) = [
        one for one in await tap.decoded("inbox.updates") if (one["account_id"], one["seq"]) == (bob, 2)
    ]
    assert canonical["content"] == ("lockstep.PostForm", form.operation[1])
    await instance.verified()


def text_of(update: Fields) -> str:
    (text,) = [value for value in update["content"][1].values() if isinstance(value, str) and " " in value]
    return text


# -- Endpoints that come and go --------------------------------------------------------------------------------------


async def test_an_endpoint_that_was_away_gets_exactly_what_it_missed(
    instance: RunningInstance, sender: Sender, commands: EndpointCommands, tap: Tap
) -> None:
    """Q6, Q8: others and the store moved on; it is sent acked + 1 to the head, in order, in bounded batches.

    Killing the worker after the sending and before the acknowledgement changes nothing about that.
    """
    thread, ann, bob = "away", "away-ann", "away-bob"
    for endpoint in ("phone", "tablet"):
        assert (await commands.register(bob, endpoint, route="mobile")).is_ok
        assert (await commands.attach(bob, endpoint)).is_ok
    await created(sender, thread, [ann, bob])
    await instance.drained()
    assert (await commands.ack(bob, "tablet", Position(1, 1))).is_ok
    assert (await commands.detach(bob, "tablet")).is_ok
    missed = 2 * REPLAY_BATCH_UPDATES + 30
    for number in range(missed):
        await tap.request(Request(ann, "phone", thread, post(str(number))).fields())
    await instance.drained()
    head = missed + 1
    assert routed(await tap.decoded("delivery.mobile"), bob, "phone") == list(range(1, head + 1))
    assert routed(await tap.decoded("delivery.mobile"), bob, "tablet") == [1]
    for attempt in range(2):
        answer = await commands.attach(bob, "tablet")
        assert (answer.code, answer.attached_from_seq, answer.head) == ("OK", 2, head)
        await instance.drained()
        batches = batches_of(await tap.decoded("replay.updates"), bob, "tablet")[attempt]
        assert [seq for batch in batches for seq in batch] == list(range(2, head + 1))
        assert max(map(len, batches)) <= REPLAY_BATCH_UPDATES
        if attempt == 0:
            process = instance.worker().process
            assert process is not None
            process.kill()
            process.wait()
            await instance.serving()
    assert routed(await tap.decoded("delivery.mobile"), bob, "tablet") == [1]
    assert (await commands.ack(bob, "tablet", Position(1, head))).is_ok
    again = await commands.attach(bob, "tablet")
    assert (again.attached_from_seq, again.head) == (head + 1, head)
    await instance.verified()


def routed(found: Iterable[Fields], account: str, endpoint: str) -> list[int]:
    return [one["seq"] for one in found if (one["account_id"], one["endpoint_id"]) == (account, endpoint)]


def batches_of(found: Iterable[Fields], account: str, endpoint: str) -> list[list[list[int]]]:
    """Numbers of each batch of each command, in order; an update may cover several."""
    mine = [
        one
        for one in found
        if one["record"].endswith("UpdateBatch")
        and (one["account_id"], one["endpoint_id"]) == (account, endpoint)
    ]
    return [
        [list(range(batch["seq_first"], batch["seq"] + 1)) for batch in batches]
        for _, batches in itertools.groupby(mine, key=lambda one: one["command_id"])
    ]


async def test_a_store_that_is_down_delays_no_delivery_and_the_reverse(
    instance: RunningInstance, sender: Sender, commands: EndpointCommands, tap: Tap
) -> None:
    """Q7: updates reach endpoints without the store's worker; the store catches up without the pipeline's."""
    thread, ann, bob = "stored", "stored-ann", "stored-bob"
    assert (await commands.register(bob, "phone", route="web")).is_ok
    assert (await commands.attach(bob, "phone")).is_ok
    instance.stop_worker(STORE)
    await created(sender, thread, [ann, bob])
    for number in range(20):
        assert (await sender.ask(Request(ann, "phone", thread, post(str(number))))).status is Status.ACCEPTED
    await instance.drained(has_store=False)
    assert routed(await tap.decoded("delivery.web"), bob, "phone") == list(range(1, 22))
    instance.stop_worker(PIPELINE)
    instance.start_worker(STORE)
    await instance.drained()
    await instance.serving()
    await instance.verified()


# -- Order -----------------------------------------------------------------------------------------------------------


async def test_all_members_get_the_operations_of_a_thread_in_one_order(
    instance: RunningInstance, sender: Sender, tap: Tap
) -> None:
    """Q1, Q14: several senders at once, members on every shard: one order for all, and dense numbers for each."""
    members = [instance.on_shard(shard, f"order-{shard}") for shard in range(instance.topology.shards)]
    threads = [instance.on_shard(shard, "order-thread") for shard in (0, 2)]
    for thread in threads:
        await created(sender, thread, members)
    requests = [
        Request(member, "phone", thread, post(f"{member} {number}")).fields()
        for number in range(15)
        for member in members
        for thread in threads
    ]
    await asyncio.gather(*map(tap.request, requests))
    await instance.drained()
    messages = await tap.decoded("thread.messages")
    updates = await tap.decoded("inbox.updates")
    for member in members:
        inbox = [one for one in updates if one["account_id"] == member]
        assert [one["seq"] for one in inbox] == list(range(1, len(inbox) + 1))
        for thread in threads:
            wanted = [one["message_id"] for one in messages if one["thread_id"] == thread]
            assert [one["message_id"] for one in inbox if one["thread_id"] == thread] == wanted
            assert len(wanted) == 1 + 15 * len(members)
    await instance.verified()


# -- The worker as people see it -------------------------------------------------------------------------------------


async def test_agents_and_tables_are_listed_and_a_key_is_found(
    instance: RunningInstance, sender: Sender
) -> None:
    await created(sender, "seen", ["seen-ann", "seen-bob"])
    await instance.drained()
    agents = (await instance.page("agents"))["agents"]
    assert {one["name"] for one in agents} == set(instance.topology.inputs_of("pipeline"))
    assert all(
        one["shards"] == list(range(instance.topology.shards)) and one["pending"] == 0 for one in agents
    )
    tables = {one["name"]: one for one in (await instance.page("tables?count=1"))["tables"]}
    assert set(tables) == {table.name for table in TABLES}
    assert tables["threads"]["rows"] > 0
    assert tables["threads"]["bytes"] > 0
    (row,) = (await instance.page("tables/threads/seen"))["rows"]
    assert (row["key"], row["shard"]) == ("seen", instance.shard_of("seen"))
    shards = (await instance.status())["shards"]
    assert {(one["state"], one["inputs"]["ingest.requests"]["lag"]) for one in shards} == {("open", 0)}


async def test_a_worker_stops_gracefully_and_gives_its_shards_away(
    instance: RunningInstance, sender: Sender
) -> None:
    """It ends by itself with exit code 0, within its own bound; what it did is known to its successor."""
    request = await created(sender, "stopped", ["stopped-ann", "stopped-bob"])
    begins_at = len(instance.log())
    seconds = instance.stop_worker()
    said = instance.log()[begins_at:]
    print(f"stopped after {seconds:.1f} s")
    assert "engine.stop_took_too_long" not in said
    released = [json.loads(line)["shard"] for line in said.splitlines() if "engine.shard_released" in line]
    assert sorted(released) == list(range(instance.topology.shards))
    await instance.serving()
    assert (await sender.ask(request)).status is Status.DUPLICATE
    await instance.verified()
