"""A wire that says things twice, out of order, cut short, too large or not at all, between two real sessions.

In: thousands of numbered messages as protobuf, a seeded wire between an agent and an operator. Out: each is
heard once and in order, and every fault is counted. gRPC is not in it: it would mend some of this itself, and
its framing and bounds (a text as long as it says, none larger than allowed) are what ends a stream here.
"""

from collections import Counter

import numpy as np
import pytest
from google.protobuf.message import DecodeError

from plimsoll.coordinate.attendance import Attendance
from plimsoll.coordinate.mailbox import Bounds
from plimsoll.coordinate.messages import ModelDelta
from plimsoll.coordinate.session import AgentSession
from plimsoll.coordinate.versions import ProtocolError
from plimsoll_proto import service, wire

MESSAGES = 2000
FAULTS = ("duplicated", "reordered", "truncated", "oversized", "dropped")
CHANCE = 0.01  # of each fault, a message
Framed = tuple[int, bytes]  # how long it says it is, and what is there of it


class Wire:
    """Carries an agent's messages to an operator; a stream that breaks is opened anew."""

    def __init__(self, seed: int) -> None:
        self.draw = np.random.default_rng(seed)
        self.spoiled = {fault: list[int | None]() for fault in FAULTS}  # which messages; None: of no number
        self.agent = AgentSession(7, Bounds(most_kept=MESSAGES + 1))
        self.attendance, self.heard, self.streams = Attendance(1), [], 0

    def carry(self) -> None:
        """All that is to be said, some of it badly."""
        while len(self.agent.outbox):
            self.agent.part()
            operator, welcome = self.attendance.greet("node-a", self.agent.greet(), 0.0)
            self.agent.welcome(welcome)
            self.streams += 1
            if all(self._arrives(operator, each) for each in self._spoiled(self._said())):
                answer = operator.next(settle=True) or operator.beat()
                text = service.response_bytes(wire.response(answer))
                self.agent.hear(wire.response_of(service.response_of(text)))

    def _said(self) -> list[bytes]:
        envelopes = iter(self.agent.next, None)
        return [service.request_bytes(wire.request(each)) for each in envelopes]

    def _spoiled(self, texts: list[bytes]) -> list[Framed]:
        found: list[Framed] = []
        for text in texts:
            drawn = int(self.draw.integers(round(1 / CHANCE)))
            fault = FAULTS[drawn] if drawn < len(FAULTS) else ""
            if fault:
                body = service.request_of(text)
                self.spoiled[fault].append(
                    body.model_delta.observation_count if body.sequence_number else None
                )
            if fault == "truncated":
                found.append((len(text), text[: int(self.draw.integers(len(text)))]))
            elif fault == "oversized":
                found.append((service.MOST_REQUEST_BYTES + 1, text))
            elif fault != "dropped":
                found += [(len(text), text)] * (2 if fault == "duplicated" else 1)
            if fault == "reordered":
                found[-2:] = reversed(found[-2:])
        return found

    def _arrives(self, operator, framed: Framed) -> bool:
        """False: the stream ends here."""
        length, text = framed
        if length > service.MOST_REQUEST_BYTES:
            return False
        try:
            message = service.request_of(text)
            if len(text) < length:
                return False
            body = operator.hear(wire.request_of(message))
        except (DecodeError, ProtocolError):
            return False
        if isinstance(body, ModelDelta):
            self.heard.append(body.observations)
        return True


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_message_is_heard_once_and_in_order_over_a_bad_wire(seed, counted):
    made = Wire(seed)
    for number in range(MESSAGES):
        made.agent.offer(ModelDelta(f"{number}", "pages", "web", 1, "", number, b"payload"))
    made.carry()
    times, lost = Counter(made.heard), MESSAGES - len(set(made.heard))
    for fault, numbers in made.spoiled.items():
        survived = sum(number is None or times[number] == 1 for number in numbers)
        counted(
            f"messages {fault}", injected=len(numbers), survived=survived, lost=lost, of=MESSAGES,
            what="messages",
        )  # fmt: skip
        assert survived == len(numbers) > 0
    assert made.heard == list(range(MESSAGES))
