"""Numbers over a channel that loses, repeats and reorders: what is kept arrives once, in order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plimsoll.coordinate.mailbox import Bounds, Heard, Inbox, Letter, Outbox
from plimsoll.coordinate.versions import ProtocolError

BOUNDS = Bounds(most_kept=5, most_levels=3)
# What happens next; a letter is carried, lost, repeated or swapped with another.
EVENTS = st.lists(
    st.sampled_from(
        ["keep", "level", "carry", "lose", "repeat", "swap", "break", "acknowledge", "unsayable"]
    ),
    max_size=200,
)


class Channel:
    """A stream between two sides, with a receiver who resumes as the session does."""

    def __init__(self) -> None:
        self.outbox: Outbox[tuple[str, int]] = Outbox(BOUNDS)
        self.inbox = Inbox()
        self.under_way: list[Letter[tuple[str, int]]] = []
        self.arrived: list[tuple[str, int]] = []
        self.said: list[tuple[str, int]] = []
        self.carried: set[int] = set()
        self.bodies = 0

    def say(self, kind: str) -> None:
        body = (kind, self.bodies)
        self.bodies += 1
        if self.outbox.offer(body, level=kind == "level"):
            self.said.append(body)

    def carry(self) -> None:
        if (letter := self.outbox.next()) is not None:
            self.under_way.append(letter)
            self.carried.add(letter.number)

    def spoil(self) -> None:
        """The next letter cannot be put on the wire; one that could be once can be again."""
        if (letter := self.outbox.next()) is None:
            return
        if letter.number in self.carried:
            self.under_way.append(letter)
        else:
            self.outbox.give_up(letter)
            self.said.remove(letter.body)

    def deliver(self, letter: Letter[tuple[str, int]]) -> None:
        heard = self.inbox.take(letter.number, letter.follows)
        if heard is Heard.NEW:
            self.arrived.append(letter.body)
        elif heard is Heard.LOST:
            self.reopen()

    def reopen(self) -> None:
        self.under_way.clear()
        self.outbox.resume(self.inbox.taken)

    def happen(self, event: str) -> None:
        if event in ("keep", "level"):
            self.say(event)
        elif event == "break":
            self.reopen()
        elif event == "unsayable":
            self.spoil()
        elif event == "acknowledge":
            self.outbox.acknowledge(min(self.inbox.taken, self.outbox._previous))
        else:
            self.carry()
            if event == "swap":
                self.under_way.reverse()
            elif self.under_way and event == "lose":
                del self.under_way[0]
            elif self.under_way:
                for _ in range(2 if event == "repeat" else 1):
                    if self.under_way:
                        self.deliver(self.under_way[0])
                self.under_way = self.under_way[1:]


@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_what_is_kept_arrives_once_and_in_order_whatever_the_channel_does(events):
    channel = Channel()
    for event in events:
        channel.happen(event)
    channel.reopen()  # a last good stream
    while (letter := channel.outbox.next()) is not None:
        channel.deliver(letter)
    kept = [each for each in channel.said if each[0] == "keep"]
    assert [each for each in channel.arrived if each[0] == "keep"] == kept
    assert channel.arrived == sorted(set(channel.arrived), key=lambda each: each[1])
    levels = [each for each in channel.said if each[0] == "level"]
    given_up = len(levels) - sum(each[0] == "level" for each in channel.arrived)
    assert given_up <= channel.outbox.dropped_total  # none is missing that was not counted


def test_a_full_buffer_gives_the_oldest_level_up_and_counts_it():
    outbox: Outbox[str] = Outbox(BOUNDS)
    assert all(outbox.offer(f"sample {number}", level=True) for number in range(4))
    assert outbox.dropped_total == 1
    assert outbox.next() == Letter(2, 0, "sample 1")


def test_what_cannot_be_said_is_a_gap_and_makes_room():
    outbox: Outbox[str] = Outbox(BOUNDS)
    for number in range(5):
        outbox.offer(f"outcome {number}", level=False)
    outbox.next()
    outbox.give_up(outbox.next())
    assert outbox.next() == Letter(3, 1, "outcome 2")
    assert (outbox.dropped_total, len(outbox)) == (1, 4)
    assert outbox.offer("there is room", level=False)
    outbox.resume(1)
    assert outbox.next() == Letter(3, 1, "outcome 2")


def test_a_full_buffer_refuses_what_must_arrive_and_keeps_what_it_has():
    outbox: Outbox[str] = Outbox(BOUNDS)
    assert [outbox.offer("outcome", level=False) for _ in range(6)] == [True] * 5 + [False]
    assert (outbox.refused_total, len(outbox)) == (1, 5)
    assert outbox.offer("sample", level=True)


def test_what_is_acknowledged_is_not_said_again():
    outbox: Outbox[str] = Outbox(BOUNDS)
    for body in "abc":
        outbox.offer(body, level=False)
    assert [outbox.next().body, outbox.next().body] == ["a", "b"]
    outbox.acknowledge(1)
    outbox.resume(1)
    assert outbox.next() == Letter(2, 1, "b")


@pytest.mark.parametrize("number", [1, 7])
def test_an_acknowledgement_of_what_was_never_said_breaks_the_protocol(number):
    outbox: Outbox[str] = Outbox(BOUNDS)
    outbox.offer("waits", level=False)
    with pytest.raises(ProtocolError, match="0 was the last said"):
        outbox.acknowledge(number)
    with pytest.raises(ProtocolError, match="1 is the last there is"):
        outbox.resume(2)


def test_a_gap_that_was_not_declared_is_a_loss():
    inbox = Inbox()
    assert inbox.take(1, 0) is Heard.NEW
    assert inbox.take(3, 2) is Heard.LOST
    assert inbox.take(3, 1) is Heard.NEW  # 2 was given up
    assert inbox.take(2, 1) is Heard.DUPLICATE
    assert inbox.duplicates_total == 1
