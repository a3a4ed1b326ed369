"""What a thread refuses its sender and a queue its endpoint: said with a code, and nobody else notices."""

from __future__ import annotations

from typing import Any

import pytest

from streams.ids import Token, message_id
from tests.e2e.bad_input import NOW_MS, REGISTER, post, request
from tests.fixtures.instance import RunningInstance
from tests.fixtures.tap import Fields, Tap

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

# -- What the thread says ------------------------------------------------------------------------------------------


class Thread:
    """A thread of ann and bob, and what anyone asks of it; answers come by sender and nonce."""

    def __init__(self, tap: Tap, name: str) -> None:
        self.tap, self.name = tap, name
        self.ann, self.bob = f"{name}-ann", f"{name}-bob"
        self.nonce = 0

    async def ask(
        self, account: str, operation: tuple[str, Fields], answers: int = 1, **changes: Any
    ) -> tuple[bytes, list[tuple[str, str | None]]]:
        """Send; return the message id and the answers once there are so many."""
        self.nonce += 1
        fields = (
            request(account, self.nonce, thread_id=self.name, recipients=None, operation=operation) | changes
        )
        await self.tap.request(fields)
        return await self.answered(fields, answers)

    async def answered(self, fields: Fields, answers: int) -> tuple[bytes, list[tuple[str, str | None]]]:
        def mine(found: list[Fields]) -> list[Fields]:
            return [
                one
                for one in found
                if (one["account_id"], one["token"]) == (fields["account_id"], fields["token"])
            ]

        what = f"{answers} answers to {fields['account_id']}"
        found = await self.tap.until("ingest.results", lambda all_: len(mine(all_)) >= answers, what)
        wanted = message_id(fields["account_id"], "phone", Token(**fields["token"]))
        assert {one["message_id"] for one in mine(found)} == {wanted}
        return wanted, [(one["status"], one["code"]) for one in mine(found)]

    async def create(self) -> bytes:
        message, answers = await self.ask(self.ann, post(b"first"), recipients=[self.bob])
        assert answers == [("ACCEPTED", None)]
        return message

    async def updates_of(self, account: str, instance: RunningInstance) -> list[tuple[int, str, bytes]]:
        """Seq, kind and message of everything in an inbox, once all is done."""
        await instance.drained()
        inbox = [one for one in await self.tap.decoded("inbox.updates") if one["account_id"] == account]
        return [(one["seq"], one["kind"], one["message_id"]) for one in inbox]


async def test_an_edit_or_delete_of_a_message_that_nobody_has_harms_no_reader(
    tap: Tap, instance: RunningInstance
) -> None:
    """It is the author's own by its id, so it is taken; every inbox gets the same dense numbers."""
    thread = Thread(tap, "phantom")
    first = await thread.create()
    phantom = message_id(thread.ann, "phone", Token(NOW_MS, 999_999))
    edit, answers = await thread.ask(thread.ann, ("lockstep.Edit", {"message_id": phantom, "body": b"?"}))
    assert answers == [("ACCEPTED", None)]
    delete, answers = await thread.ask(thread.ann, ("lockstep.Delete", {"message_id": phantom}))
    assert answers == [("ACCEPTED", None)]
    last, _ = await thread.ask(thread.ann, post(b"last"))
    expected = [(1, "post", first), (2, "edit", edit), (3, "delete", delete), (4, "post", last)]
    assert await thread.updates_of(thread.ann, instance) == expected
    assert await thread.updates_of(thread.bob, instance) == expected
    await instance.verified()


@pytest.mark.parametrize("operation", ["Edit", "Delete"])
async def test_an_edit_or_delete_of_anothers_message_is_refused(
    tap: Tap, instance: RunningInstance, operation: str
) -> None:
    """Q21: REFUSED after ACCEPTED, REFUSED again at a retry, and no update for anybody."""
    thread = Thread(tap, f"another-{operation}")
    first = await thread.create()
    fields = {"message_id": first} | ({"body": b"mine now"} if operation == "Edit" else {})
    refused = [("ACCEPTED", None), ("REFUSED", "NOT_THE_AUTHOR")]
    _, answers = await thread.ask(thread.bob, (f"lockstep.{operation}", fields), answers=2)
    assert answers == refused
    again = request(
        thread.bob,
        thread.nonce,
        thread_id=thread.name,
        recipients=None,
        operation=(f"lockstep.{operation}", fields),
    )
    await tap.request(again)
    _, answers = await thread.answered(again, 3)
    assert answers == [*refused, ("REFUSED", "NOT_THE_AUTHOR")]
    assert await thread.updates_of(thread.bob, instance) == [(1, "post", first)]
    await instance.verified()


async def test_what_somebody_who_is_no_member_asks_is_refused(tap: Tap, instance: RunningInstance) -> None:
    """Q21: so is an operation on a thread that does not exist; members see nothing of it."""
    thread = Thread(tap, "members-only")
    first = await thread.create()
    _, answers = await thread.ask("members-only-eve", post(b"hi"), answers=2)
    assert answers == [("ACCEPTED", None), ("REFUSED", "NOT_A_MEMBER")]
    _, answers = await thread.ask(thread.ann, post(b"hi"), answers=2, thread_id="members-only-nowhere")
    assert answers == [("ACCEPTED", None), ("REFUSED", "THREAD_UNKNOWN")]
    assert await thread.updates_of(thread.ann, instance) == [(1, "post", first)]
    report = await instance.verified()
    assert (report.counters["refused"] or 0) >= 2


# -- What endpoints ask ----------------------------------------------------------------------------------------------


async def test_commands_that_ask_for_what_is_not_there_are_answered_with_a_code(
    tap: Tap, instance: RunningInstance
) -> None:
    """Each refused command changes nothing; the endpoint is served on, and nothing becomes a dead letter."""
    thread = Thread(tap, "commands")
    await thread.create()
    await thread.ask(thread.ann, post(b"second"))
    bob = thread.bob
    steps: list[tuple[str, str, str, Fields]] = [
        ("UNKNOWN_ENDPOINT", "ghost", "Attach", {"position": None}),
        ("UNKNOWN_ENDPOINT", "ghost", "Ack", {"epoch": 1, "seq": 1}),
        ("UNKNOWN_ENDPOINT", "ghost", "MissingUpdates", {"epoch": 1, "from_seq": 1, "limit": 10}),
        ("UNKNOWN_ENDPOINT", "ghost", "Unregister", {}),
        ("UNKNOWN_ROUTE", "tablet", "Register", {**REGISTER, "route": "pigeon"}),
        ("REJECTED", "tablet", "Register", {**REGISTER, "window": -1}),
        ("REJECTED", "tablet", "Register", {**REGISTER, "locale": "l" * 129}),
        ("OK", "tablet", "Register", REGISTER),
        ("NOT_ATTACHED", "tablet", "Detach", {}),
        ("BEYOND_HEAD", "tablet", "MissingUpdates", {"epoch": 1, "from_seq": 4, "limit": 10}),
        ("BEYOND_HEAD", "tablet", "MissingUpdates", {"epoch": 1, "from_seq": 2**62, "limit": 10}),
        ("REJECTED", "tablet", "MissingUpdates", {"epoch": 1, "from_seq": 0, "limit": 10}),
        ("REJECTED", "tablet", "MissingUpdates", {"epoch": 1, "from_seq": -1, "limit": 10}),
        ("REJECTED", "tablet", "MissingUpdates", {"epoch": 1, "from_seq": 1, "limit": 0}),
        ("EPOCH_CHANGED", "tablet", "MissingUpdates", {"epoch": 7, "from_seq": 1, "limit": 10}),
        ("BEYOND_HEAD", "tablet", "Ack", {"epoch": 1, "seq": 3}),
        ("REJECTED", "tablet", "Ack", {"epoch": 1, "seq": -1}),
        ("BEYOND_HEAD", "tablet", "Attach", {"position": {"epoch": 1, "seq": 3}}),
        ("EPOCH_CHANGED", "tablet", "Attach", {"position": {"epoch": 2, "seq": 1}}),
        ("UNSUPPORTED", "tablet", "Snapshot", {}),
        ("OK", "tablet", "MissingUpdates", {"epoch": 1, "from_seq": 3, "limit": 10}),
        ("OK", "tablet", "MissingUpdates", {"epoch": 1, "from_seq": 1, "limit": 2**62}),
    ]
    await instance.drained()
    for number, (_, endpoint, name, fields) in enumerate(steps):
        await tap.command(bob, endpoint, name, f"step-{number}", **fields)
    await tap.command(bob, "tablet", "Detach", "")
    await tap.command(bob, "tablet", "Detach", "c" * 129)
    await instance.drained()
    found = [one for one in await tap.decoded("replay.updates") if one["account_id"] == bob]
    answers = {one["command_id"]: one["code"] for one in found if one["record"].endswith("CommandResult")}
    assert answers == {
        **{f"step-{number}": code for number, (code, *_) in enumerate(steps)},
        "": "REJECTED",
        "c" * 128: "REJECTED",
    }
    batches = [one for one in found if one["record"].endswith("UpdateBatch")]
    assert [(one["command_id"], one["seq_first"], one["seq"]) for one in batches] == [("step-21", 1, 2)]
    assert await tap.decoded("dead.letters") == []
    await instance.verified()
