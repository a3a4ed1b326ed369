"""The generated parts of docs/schemas-and-topics.md; `python -m tests.schemas.document` writes them anew.

A part stands between `<!-- generated: name -->` and `<!-- end -->`; the rest is written by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streams.codec import NAMESPACE, RESOURCES, Codec
from streams.ids import delivery_key
from streams.ingest.validation import RejectionCode
from streams.records import COMMAND_CODE_NUMBERS, RefusalCode
from streams.topology import TopicSpec, Topology, load_topology
from tests.vectors import ACCOUNTS, HASHES, MESSAGE_ID

DOCUMENT = Path(__file__).parents[2] / "docs" / "schemas-and-topics.md"
PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_DAY_MS = 86_400_000


def rendered(text: str) -> str:
    """The document with every generated part as it must be."""
    return PART.sub(lambda found: f"{found[1]}\n{PARTS[found[2]]()}\n\n{found[3]}", text)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def _topics() -> str:
    topology = load_topology()
    rows = [
        [f"`{name}`", topic.key, _linked(topic), _kept(topic), _for_whom(topology, topic)]
        for name, topic in topology.topics.items()
    ]
    return _table(["topic", "key", "records", "kept", "for"], rows)


def _linked(topic: TopicSpec) -> str:
    return ", ".join(f"[{name}](#{name.lower()})" for name in topic.schema) or "bytes of the engine"


def _kept(topic: TopicSpec) -> str:
    if topic.cleanup == "compact":
        return "compacted"
    if topic.trimmed:
        return "until processed"
    days, rest_ms = divmod(topic.kept_ms or topic.retention_ms, _DAY_MS)
    kept = f"{days} d" if rest_ms == 0 else f"{topic.retention_ms // 3_600_000} h"
    return f"{kept}, and until stored" if topic.kept_ms else kept


def _for_whom(topology: Topology, topic: TopicSpec) -> str:
    uses = {
        "ingest": "you produce",
        "answers": "you consume",
        "delivery": "you consume",
        "queue": "you may consume",
        "internal": "internal",
        "state": "internal",
        "dead_letters": "operators",
    }
    routes = [route for route, name in topology.routes.items() if name == topic.name]
    return uses[topic.role] + "".join(f", route `{route}`" for route in routes)


def _fingerprints() -> str:
    codec, topology = Codec(), load_topology()
    rows = []
    for name in sorted({record for topic in topology.topics.values() for record in topic.schema}):
        file = f"{NAMESPACE}.{name}.{codec[name].fingerprint.hex()}.avsc"
        rows.append([f"`{name}`", f"`{codec[name].frame.hex()}`", f"[{file}](../schemas/history/{file})"])
    return _table(["record", "first ten bytes", "schema, self-contained"], rows)


def _records() -> str:
    return "\n\n".join(_record(name) for name in _in_order())


def _in_order() -> list[str]:
    """The records on topics first, in the topics' order, each followed by what it is made of."""
    names: list[str] = []

    def visit(name: str) -> None:
        if name not in names:
            names.append(name)
            for field in _schema(name)["fields"]:
                for part in re.findall(rf"{NAMESPACE}\.(\w+)", json.dumps(field["type"])):
                    if part in records:
                        visit(part)

    records = set(Codec().formats)
    for topic in load_topology().topics.values():
        for record in topic.schema:
            visit(record)
    return names


def _schema(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((RESOURCES / "schemas" / f"{NAMESPACE}.{name}.avsc").read_text())
    return schema


def _record(name: str) -> str:
    schema = _schema(name)
    lines = [f"### {name}", "", schema["doc"]]
    if schema["fields"]:
        rows = [[f"`{one['name']}`", _type(one["type"]), _meaning(one)] for one in schema["fields"]]
        lines += ["", _table(["field", "type", "meaning"], rows)]
    return "\n".join(lines)


def _meaning(field: dict[str, Any]) -> str:
    default = f" Default: `{json.dumps(field['default'])}`." if "default" in field else ""
    return str(field["doc"]).replace("|", "\\|") + default


def _type(node: Any) -> str:
    if isinstance(node, list):
        return " or ".join(_type(one) for one in node)
    if isinstance(node, dict):
        return f"{node['type']} of {_type(node.get('items', node.get('values')))}"
    name = str(node).removeprefix(f"{NAMESPACE}.")
    if name == "MessageId":
        return "fixed of 16 bytes"
    if name in ("Status", "Kind"):
        return " ".join(f"`{symbol}`" for symbol in _schema(name)["symbols"])
    return name if name == node else f"[{name}](#{name.lower()})"


def _commands() -> str:
    rows = [[str(number), f"`{code}`"] for code, number in COMMAND_CODE_NUMBERS.items()]
    return _table(["number", "code"], rows)


def _refusals() -> str:
    return ", ".join(f"`{code}`" for code in RefusalCode)


def _rejections() -> str:
    return ", ".join(f"`{code}`" for code in RejectionCode)


def _vectors() -> str:
    quoted = [(", ".join(f'`"{part}"`' for part in parts), value) for parts, value in HASHES.items()]
    hashes = [[parts or "no part", f"`{value}`"] for parts, value in quoted]
    accounts = [
        [f"`{name}`", f"`{name.encode().hex()}`", f"`{digest}`", str(twelve), str(five)]
        for name, (digest, twelve, five) in ACCOUNTS.items()
    ]
    account_id, endpoint_id, token, message = MESSAGE_ID
    ids = [
        ["account, endpoint", f"`{account_id}`, `{endpoint_id}`"],
        ["token", f"`timestamp_ms` {token.timestamp_ms}, `nonce` {token.nonce}"],
        ["message id", f"`{message}`"],
        ["delivery key", f"`{delivery_key(account_id, endpoint_id).hex()}`"],
    ]
    return "\n\n".join(
        [
            _table(["parts", "hash"], hashes),
            _table(["account or thread", "UTF-8", "hash", "shard of 12", "shard of 5"], accounts),
            _table(["of", "is"], ids),
        ]
    )


PARTS: dict[str, Callable[[], str]] = {
    "topics": _topics,
    "fingerprints": _fingerprints,
    "records": _records,
    "commands": _commands,
    "refusals": _refusals,
    "rejections": _rejections,
    "vectors": _vectors,
}

if __name__ == "__main__":
    DOCUMENT.write_text(rendered(DOCUMENT.read_text()))
