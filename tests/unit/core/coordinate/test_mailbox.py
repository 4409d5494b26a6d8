"""Numbers over a channel that loses, repeats and reorders: what is kept arrives once, in order."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plimsoll.coordinate.mailbox import Bounds, Heard, Inbox, Letter, Outbox
from plimsoll.coordinate.versions import ProtocolError

BOUNDS = Bounds(most_kept=5, most_levels=3)
# What happens next; a letter is carried, lost, repeated or swapped with another.
EVENTS = st.lists(
    st.sampled_from(
        [
            "keep",
            "level",
            "moment",
            "pass",
            "carry",
            "lose",
            "repeat",
            "swap",
            "break",
            "acknowledge",
            "unsayable",
        ]
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
        self.now = 0.0
        self.born: dict[int, float] = {}  # of moments, by body

    def say(self, kind: str) -> None:
        body = (kind, self.bodies)
        self.bodies += 1
        lasts = 2.0 if kind == "moment" else math.inf
        self.born[body[1]] = self.now if kind == "moment" else math.inf
        if self.outbox.offer(body, level=kind == "level", lasts_seconds=lasts, now_seconds=self.now):
            self.said.append(body)

    def carry(self) -> None:
        if (letter := self.outbox.next(self.now)) is not None:
            assert self.now - self.born[letter.body[1]] < 2.0, "said late"
            self.under_way.append(letter)
            self.carried.add(letter.number)

    def spoil(self) -> None:
        """The next letter cannot be put on the wire; one that could be once can be again."""
        if (letter := self.outbox.next(self.now)) is None:
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
        if event in ("keep", "level", "moment"):
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
        if event == "pass":
            channel.now += 1.0
        else:
            channel.happen(event)
    channel.reopen()  # a last good stream
    while (letter := channel.outbox.next(channel.now)) is not None:
        channel.deliver(letter)
    kept = [each for each in channel.said if each[0] == "keep"]
    assert [each for each in channel.arrived if each[0] == "keep"] == kept
    assert channel.arrived == sorted(set(channel.arrived), key=lambda each: each[1])
    passing = [each for each in channel.said if each[0] != "keep"]
    given_up = len(passing) - sum(each[0] != "keep" for each in channel.arrived)
    assert given_up <= channel.outbox.dropped_total  # none is missing that was not counted


def test_a_full_buffer_gives_the_oldest_level_up_and_counts_it():
    outbox: Outbox[str] = Outbox(BOUNDS)
    assert all(outbox.offer(f"sample {number}", level=True) for number in range(4))
    assert outbox.dropped_total == 1
    assert outbox.next() == Letter(2, 0, "sample 1")


def test_what_has_waited_longer_than_it_lasts_is_not_said_and_makes_room():
    outbox: Outbox[str] = Outbox(BOUNDS)
    outbox.offer("outcome", level=False)
    for number in range(4):
        assert outbox.offer(f"lease {number}", level=False, lasts_seconds=6.0, now_seconds=10.0 + number)
    assert not outbox.offer("more", level=False, now_seconds=15.9)
    assert [outbox.next(15.9).body, outbox.next(15.9).body] == ["outcome", "lease 0"]
    assert outbox.offer("more", level=False, now_seconds=17.0), "lease 1 is given up"
    outbox.resume(0)  # the stream broke, and nothing was taken
    assert [outbox.next(18.0), outbox.next(18.0)] == [Letter(1, 0, "outcome"), Letter(5, 1, "lease 3")]
    assert outbox.next(18.0) == Letter(6, 5, "more")
    assert outbox.dropped_total == 3


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
