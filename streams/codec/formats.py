"""One record type on the wire: whole, or split in a head that is decoded and a tail carried as it stands.

Avro's body is the plain concatenation of its fields, which makes the split exact. A value of an older
version is first written anew in the newest one, so that head and tail are always the newest. Tested in
tests/codec/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

from fastavro import schemaless_reader, schemaless_writer

from streams.codec.schema import Schema, fingerprint_of, part_of
from streams.errors import Undecodable

MAGIC = b"\xc3\x01"
REGISTRY_MAGIC = b"\x00"

Renew = Callable[[str, bytes], bytes]
"""Record name and a value of any published version -> the same value in the newest."""


class Format:
    """One record type: its newest schema, how it is framed, and the fields it can be split at."""

    def __init__(self, name: str, schema: Schema, *, registry_id: int | None, renew: Renew) -> None:
        self.name = name
        self.schema = schema
        self.fingerprint = fingerprint_of(schema)
        self.frame = MAGIC + self.fingerprint
        if registry_id is not None:
            self.frame = REGISTRY_MAGIC + registry_id.to_bytes(4, "big")
        self.renew = renew
        self._splits: dict[str, Split] = {}

    def encode(self, fields: Mapping[str, Any]) -> bytes:
        """Return the framed bytes of a record; raise ValueError or TypeError when a field does not fit."""
        out = BytesIO()
        out.write(self.frame)
        _write(out, self.schema, fields)
        return out.getvalue()

    def split(self, first_of_tail: str) -> Split:
        """Return a reader and writer of the fields before `first_of_tail`; each is made once."""
        found = self._splits.get(first_of_tail)
        if found is None:
            found = self._splits[first_of_tail] = Split(self, first_of_tail)
        return found


class Split:
    """Reads and writes the head of a record and leaves its tail encoded."""

    def __init__(self, whole: Format, first_of_tail: str) -> None:
        fields = whole.schema["fields"]
        at = [field["name"] for field in fields].index(first_of_tail)
        first_type = fields[at]["type"]
        self.whole = whole
        self.frame = whole.frame
        self.head_schema = part_of(whole.schema, 0, at, "Head")
        self.tail_schema = part_of(whole.schema, at, len(fields), "Tail")
        self.branches = len(first_type) if isinstance(first_type, list) else 0
        """Branches of the union that the tail begins with; 0 when it begins with something else."""

    def read(self, value: bytes) -> tuple[dict[str, Any], bytes]:
        """Return (head, tail) of a value; raise Undecodable or UnknownSchema when it is no such record.

        The tail is not decoded: only a branch number at its very start is checked.
        """
        frame = self.frame
        if not value.startswith(frame):
            value = self.whole.renew(self.whole.name, value)
        source = BytesIO(value)
        source.seek(len(frame))
        head = read_record(source, self.head_schema, None, self.whole.name)
        tail = value[source.tell() :]
        self._check_branch(tail)
        return head, tail

    def write(self, head: Mapping[str, Any], tail: bytes) -> bytes:
        """Return the framed bytes of a record from its head and its encoded tail."""
        out = BytesIO()
        out.write(self.frame)
        _write(out, self.head_schema, head)
        out.write(tail)
        return out.getvalue()

    def encode_tail(self, fields: Mapping[str, Any]) -> bytes:
        """Return the encoded tail; raise ValueError or TypeError when a field does not fit."""
        out = BytesIO()
        _write(out, self.tail_schema, fields)
        return out.getvalue()

    def decode_tail(self, tail: bytes) -> dict[str, Any]:
        """Return the fields of an encoded tail; raise Undecodable when it is anything but exactly that."""
        self._check_branch(tail)
        source = BytesIO(tail)
        fields = read_record(source, self.tail_schema, None, self.whole.name)
        refuse_rest(source, tail, self.whole.name)
        return fields

    def _check_branch(self, tail: bytes) -> None:
        """Refuse a tail whose union has no such branch.

        The decoder takes -1 for the last branch, as Python's lists do. Carried into a record whose union is
        longer, the same byte would name another branch there; other languages' decoders fail on it.
        """
        if self.branches and (not tail or tail[0] & 1 or tail[0] >= 2 * self.branches):
            found = f"branch {tail[:1].hex()}" if tail else "nothing"
            raise Undecodable(f"{self.whole.name}: expected one of {self.branches} branches, found {found}")


def read_record(source: BytesIO, writer: Schema, reader: Schema | None, name: str) -> dict[str, Any]:
    """Return the fields of the record at the source's position; raise Undecodable when there is none.

    A union of several records gives (name, fields), a union of null and one record gives the fields or None.
    """
    try:
        fields: dict[str, Any] = schemaless_reader(  # type: ignore[assignment]  # a record schema decodes to a dictionary
            source, writer, reader, return_record_name=True, return_record_name_override=True
        )
    except Exception as error:  # the decoder raises whatever the bytes lead it into
        raise Undecodable(f"{name}: {type(error).__name__}: {error}") from error
    return fields


def refuse_rest(source: BytesIO, value: bytes, name: str) -> None:
    """Raise Undecodable when bytes follow what was read."""
    if (rest := len(value) - source.tell()) > 0:
        raise Undecodable(f"{name}: {rest} bytes follow the record")


def _write(out: BytesIO, schema: Schema, fields: Mapping[str, Any]) -> None:
    try:
        schemaless_writer(out, schema, fields)
    except OverflowError as error:
        raise ValueError(str(error)) from error
