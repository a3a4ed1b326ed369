"""Avro on the wire: single-object encoding, registry framing, records split in a head and a tail.

A value is `C3 01`, the schema's 8-byte CRC-64-AVRO fingerprint, then the Avro body; with registry framing
it is `00`, a 4-byte schema id, then the body. Every version in schemas/history can be read; the newest is
written.

The cost of Avro grows with the number of fields, so the pipeline decodes a message once and from then on
carries what all recipients share as opaque bytes: a `Split` reads and writes only the first fields of a
record (the head) and leaves the rest (the tail) as it stands. Not promised: that a tail which was never
decoded can be. Tested in tests/codec/ and tests/schemas/.
"""

from streams.codec.catalogue import Codec
from streams.codec.formats import MAGIC, REGISTRY_MAGIC, Format, Split
from streams.codec.schema import NAMESPACE, RESOURCES, Schema, fingerprint_of

__all__ = [
    "MAGIC",
    "NAMESPACE",
    "REGISTRY_MAGIC",
    "RESOURCES",
    "Codec",
    "Format",
    "Schema",
    "Split",
    "fingerprint_of",
]
