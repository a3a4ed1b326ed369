"""Which records may be stored at all: decided once, before either half is written (W12).

A record is admitted when it parses and neither store would refuse what follows from it. The decision is
pure and the same for ever, so the body half, which reads the queue again after a restart, repeats it:
both halves of a refused record are absent. Tested in tests/split_store/test_refusals.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from streams.errors import RecordError
from streams.split_store.rules import NotStorable, Operation, parse
from streams.store_ports import Body

if TYPE_CHECKING:
    from streams.codec import Codec
    from streams.ports import Record
    from streams.store_ports import BodyStore, MetadataStore


class Refused(NamedTuple):
    """Why a record is stored in neither half."""

    code: str
    detail: str


class Entry(NamedTuple):
    """A record, looked at."""

    record: Record
    verdict: Operation | Refused

    @property
    def bytes(self) -> int:
        """What it weighs in memory, roughly."""
        return len(self.record.value or b"")


@dataclass(frozen=True, slots=True)
class Admission:
    """Looks at records with the two stores' own limits."""

    codec: Codec
    metadata: MetadataStore
    bodies: BodyStore

    def look_at(self, record: Record) -> Entry:
        """Return the record with what it asks for, or with why it is refused."""
        try:
            operation = parse(self.codec, record.key, record.value)
            self._check(operation)
        except RecordError as error:
            return Entry(record, Refused(error.code, str(error)))
        return Entry(record, operation)

    def _check(self, operation: Operation) -> None:
        row = operation.row
        body = operation.body
        if operation.text is not None:
            body = Body(row.thread_id, row.message_id, row.version, text=operation.text)
        problem = self.metadata.refusal(row) or (self.bodies.refusal(body) if body is not None else None)
        if problem is not None:
            raise NotStorable(problem)


def operations_of(entries: list[Entry]) -> list[Operation]:
    """The operations of the records that were admitted."""
    return [entry.verdict for entry in entries if isinstance(entry.verdict, Operation)]
