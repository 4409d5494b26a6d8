"""What crosses the pipe comes out as it went in, and a pipe that ends is the end."""

import io
from dataclasses import replace

import numpy as np

from builders.engine import NOW, member
from plimsoll.recommend.row_policy import RowPolicy
from plimsoll.usage.sample import Quantity
from plimsoll_operator.engine.frames import Reply, Request, Sync, encoded, read_frame, write_frame
from plimsoll_operator.engine.messages import empty_tick


def through(message):
    pipe = io.BytesIO()
    write_frame(pipe, message)
    pipe.seek(0)
    return read_frame(pipe)


def test_members_come_out_as_they_went_in():
    key = replace(member().key, node_class="big")
    members = (
        member(7, limit=None, policy=RowPolicy(3.5, "seasonal", 24, 0.1, 0.5, 12, ("CH",))),
        member(8, key=key, quantity=Quantity.USAGE),
    )
    request = through(Request(4, Sync(members, (("uid", "app"),))))
    assert request == Request(4, Sync(members, (("uid", "app"),)))
    assert request.ask.added[1].quantity is Quantity.USAGE


def test_ticks_come_out_as_they_went_in():
    tick = through(Reply(1, empty_tick(NOW, "a problem"))).value
    assert tick.problems == ("a problem",)
    assert tick.usage.rows.dtype == np.int32


def test_a_pipe_that_ends_within_a_frame_is_the_end():
    frame = encoded(Reply(1, "x"))
    for length in (0, 3, len(frame) - 1):
        assert read_frame(io.BytesIO(frame[:length])) is None
