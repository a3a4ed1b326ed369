"""Judges what happened to each request: one answer a request, one operation a token, one fate an operation.

Takes dead letters first, then requests, answers, operations and thread messages, in any order among those
four. Tokens are told apart by their message id, computed from account, endpoint and token. Memory: about 150
bytes a token. Tested in tests/verify/test_judge.py, each fault planted once.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from streams.errors import RecordError
from streams.ids import Token, message_id
from streams.verify.heads import Heads

if TYPE_CHECKING:
    from streams.codec import Codec
    from streams.ports import Record
    from streams.verify.report import Report

_COUNTER_OF_STATUS = {
    "ACCEPTED": "accepted",
    "DUPLICATE": "duplicates",
    "TOKEN_REUSED": "token_reused",
    "TOO_OLD": "too_old",
    "CLOCK_AHEAD": "clock_ahead",
    "REJECTED": "rejected",
}


class RequestAudit:
    """Counts by token, and judges when all is read."""

    def __init__(self, codec: Codec, requests_topic: str) -> None:
        self._codec = codec
        self._requests_topic = requests_topic
        self._request_heads = Heads(codec, "SendRequest", "thread_id")
        self._operation_heads = Heads(codec, "ThreadOperation", "server_at_ms")
        self._dead: set[tuple[int, int]] = set()
        self._number_of: dict[bytes, int] = {}
        self._requests, self._excused, self._answers = array("I"), array("I"), array("I")
        self._accepted, self._refused = array("I"), array("I")
        self._operations, self._messages = array("I"), array("I")
        self.statuses: Counter[str] = Counter()
        self.requests_total = 0
        self.dead_letters = 0
        self.admitted = 0

    def take_dead_letters(self, records: Iterable[Record]) -> None:
        """Requests among them are excused from being answered."""
        for record in records:
            self.dead_letters += 1
            fields = self._codec.decode_as("DeadLetter", record.value)
            if fields["topic"] == self._requests_topic:
                self._dead.add((fields["partition"], fields["offset"]))

    def take_requests(self, records: Iterable[Record]) -> None:
        """From the request topic."""
        for record in records:
            self.requests_total += 1
            try:
                fields = self._request_heads.read(record.value)
            except RecordError:
                continue  # a dead letter; nothing is known of its token
            number = self._number(_id_of(fields))
            is_dead = (record.partition, record.offset) in self._dead
            (self._excused if is_dead else self._requests)[number] += 1

    def take_answers(self, records: Iterable[Record]) -> None:
        """From the answer topic."""
        for record in records:
            fields = self._codec.decode_as("SendResult", record.value)
            status = fields["status"]
            self.statuses[status] += 1
            if fields["token"] is None:
                continue
            number = self._number(fields["message_id"] or _id_of(fields))
            self._answers[number] += 1
            if status == "ACCEPTED":
                self._accepted[number] += 1
            elif status == "REFUSED":
                self._refused[number] += 1

    def take_operations(self, records: Iterable[Record]) -> None:
        """From the operation topic."""
        for record in records:
            self._operations[self._number(self._operation_heads.read(record.value)["message_id"])] += 1

    def take_message(self, message: bytes) -> None:
        """An operation that its thread admitted."""
        self.admitted += 1
        self._messages[self._number(message)] += 1

    def judge(self, report: Report, trimmed: frozenset[str]) -> None:
        """Write counters and faults; `trimmed`: types of records whose oldest are gone (SendResult, ...)."""
        report.count("requests", self.requests_total)
        report.count("dead_letters", self.dead_letters)
        report.count("admitted", self.admitted)
        report.count("refused", sum(map(bool, self._refused)))
        for status, counter in _COUNTER_OF_STATUS.items():
            report.count(counter, self.statuses[status])
        asked = zip(self._requests, self._excused, strict=True)
        report.count("distinct_tokens", sum(requests + excused > 0 for requests, excused in asked))
        for message, number in self._number_of.items():
            self._judge_answers(report, trimmed, message.hex(), number)
            self._judge_operation(report, trimmed, message.hex(), number)

    def _judge_answers(self, report: Report, trimmed: frozenset[str], name: str, number: int) -> None:
        # A refusal follows its ACCEPTED as a second answer to the same request.
        second = 1 if self._accepted[number] and self._refused[number] else 0
        owed, got = self._requests[number], self._answers[number] - second
        if got < owed and "SendResult" not in trimmed:
            report.fault(
                "requests_unanswered", f"token of message {name}: {got} of {owed} answers", owed - got
            )
        if got > owed + self._excused[number] and "SendRequest" not in trimmed:
            report.fault(
                "answers_doubled", f"token of message {name}: {got} answers, {owed} requests", got - owed
            )

    def _judge_operation(self, report: Report, trimmed: frozenset[str], name: str, number: int) -> None:
        accepted, refused = self._accepted[number], self._refused[number]
        operations, messages = self._operations[number], self._messages[number]
        if accepted and not operations and "ThreadOperation" not in trimmed:
            report.fault("operations_lost", f"message {name}: accepted, but no operation of its thread")
        elif accepted and not messages and not refused and "ThreadMessage" not in trimmed:
            report.fault(
                "operations_lost", f"message {name}: accepted, but neither in its thread nor refused"
            )
        if max(accepted, operations, messages) > 1 or (messages and refused):
            times = f"{accepted} x accepted, {operations} x operation, {messages} x in its thread"
            report.fault("operations_doubled", f"message {name}: {times}, refused: {bool(refused)}")
        if (operations or messages) and not accepted and "SendResult" not in trimmed:
            report.fault("operations_unasked", f"message {name}: in its thread, but never answered ACCEPTED")

    def _number(self, message: bytes) -> int:
        number = self._number_of.get(message)
        if number is None:
            number = self._number_of[message] = len(self._number_of)
            for column in (
                self._requests, self._excused, self._answers, self._accepted, self._refused, self._operations,
                self._messages,
            ):  # fmt: skip
                column.append(0)
        return number


def _id_of(fields: dict[str, Any]) -> bytes:
    token = Token(fields["token"]["timestamp_ms"], fields["token"]["nonce"])
    return message_id(fields["account_id"], fields["endpoint_id"], token)
