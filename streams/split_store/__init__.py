"""Split store: keeps each message as metadata and body in two stores, in step with the queue (spec 6)."""

from streams.split_store.reads import StoredMessage
from streams.split_store.stage import Pointers
from streams.split_store.store import PartitionStatus, SplitStore

__all__ = ["PartitionStatus", "Pointers", "SplitStore", "StoredMessage"]
