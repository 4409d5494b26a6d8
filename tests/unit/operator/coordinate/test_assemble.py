"""A service that ends: agents are told first, streams end, then what was heard is kept."""

import asyncio
from types import SimpleNamespace

from plimsoll_operator.coordinate import assemble
from plimsoll_operator.coordinate.assemble import Serving


class Ending:
    """A service, its server and its models, each of which says when it is asked."""

    def __init__(self):
        self.order, self.sharing = [], self

    def drain(self, why):
        assert why
        self.order.append("drain")

    async def stop(self, _):
        self.order.append("stop")

    async def flush(self):
        self.order.append("flush")


async def test_who_ends_keeps_what_was_heard_after_the_last_stream():
    ending = Ending()
    await Serving(ending, ending, (), 1, ending).close()
    assert ending.order == ["drain", "stop", "flush"]


async def test_a_memory_that_hangs_holds_nobody_up(monkeypatch, caplog):
    monkeypatch.setattr(assemble, "FLUSH_SECONDS", 0.01)
    ending = Ending()
    ending.sharing = SimpleNamespace(flush=lambda: asyncio.Event().wait())
    await Serving(ending, ending, (), 1, ending).close()
    assert "not kept within" in caplog.text
