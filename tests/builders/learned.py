"""What an operator's memory learns from, and what it has learned; memories that share a (fake) Redis."""

import fakeredis
import numpy as np

from builders.store import NOW
from plimsoll.store.levels.address import parse_redis_address
from plimsoll.store.levels.connect import Link
from plimsoll.store.levels.file import FileLevel
from plimsoll.store.levels.shared import SharedLevel
from plimsoll.store.memory import Memory
from plimsoll.store.outlook import history_document
from plimsoll.store.tiered import TieredStore
from plimsoll.usage.history import History
from plimsoll.usage.sample import Quantity

MIB = 2.0**20


def past(mib=100.0, end=NOW):
    history = History(Quantity.USAGE, 1)
    rows = history.add_rows(1)
    history.advance(end)
    seconds = end - 300 * np.arange(12 * 30)
    history.append(np.full(len(seconds), rows[0]), seconds, np.full(len(seconds), mib * MIB), end)
    return history_document(history.checkpoint(int(rows[0])), Quantity.USAGE)


def patterns(memory):
    return {record.address.key.split("/")[2]: said["text"] for record, said in memory.documents("pattern")}


def shared_memory(server):
    client = fakeredis.FakeRedis(server=server, protocol=2)
    link = Link(client, lambda _key: client, lambda: None, client.close)
    shared = SharedLevel(parse_redis_address("redis://nowhere"), lambda _: link)
    return Memory(TieredStore(FileLevel(":memory:"), shared=shared))
