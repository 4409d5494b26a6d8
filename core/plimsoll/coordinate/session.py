"""One side of a stream, from its opening to its end and over to the next stream.

In: what was heard, what is to be said. Out: envelopes to send, bodies to act on. A session outlives its
streams: `greet` or `resume` starts one, `part` ends it, and nothing kept is lost in between. No clock and no
network: the shell carries envelopes and decides when to try again (`reconnect.py`).
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from plimsoll.coordinate.mailbox import Bounds, Heard, Inbox, Letter, Outbox
from plimsoll.coordinate.versions import PROTOCOL, ProtocolError, ProtocolVersion, spoken

Said = TypeVar("Said")
Told = TypeVar("Told")

ACKNOWLEDGE_EVERY = 16  # letters; with a letter of one's own the acknowledgement travels for nothing


class Phase(StrEnum):
    """Where a session stands."""

    APART = "apart"
    GREETING = "greeting"  # said hello, waits for the welcome
    ATTENDING = "attending"


@dataclass(frozen=True, slots=True)
class Envelope(Generic[Said]):
    """A message with its numbers; `number` 0 and no body: an acknowledgement alone."""

    number: int
    follows: int
    acknowledged: int
    body: Said | None


@dataclass(frozen=True, slots=True)
class HelloNumbers:
    """What a hello says of numbers."""

    version: ProtocolVersion
    agent_epoch_id: int
    operator_epoch_id: int
    acknowledged: int
    received: int


@dataclass(frozen=True, slots=True)
class WelcomeNumbers:
    """What a welcome says of numbers."""

    version: ProtocolVersion
    operator_epoch_id: int
    received: int


class Session(Generic[Said, Told]):
    """What both sides have in common: letters out, letters in, acknowledgements owed."""

    def __init__(self, bounds: Bounds, taken: int = 0) -> None:
        self.outbox: Outbox[Said] = Outbox(bounds)
        self.inbox = Inbox(taken)
        self.phase = Phase.APART
        self.version = PROTOCOL
        self._owed = 0

    def offer(
        self,
        body: Said,
        *,
        level: bool = False,
        lasts_seconds: float = math.inf,
        now_seconds: float = 0.0,
    ) -> bool:
        """Say something when there is a stream; False where the buffer of what must arrive is full.

        After `lasts_seconds`, by the clock of `now_seconds`, it is not said any more.
        """
        return self.outbox.offer(body, level=level, lasts_seconds=lasts_seconds, now_seconds=now_seconds)

    @property
    def owes(self) -> bool:
        """True where an acknowledgement should wait no longer."""
        return self._owed >= ACKNOWLEDGE_EVERY

    def next(self, *, settle: bool = False, now_seconds: float = 0.0) -> Envelope[Said] | None:
        """The next envelope to send; with `settle` also for an acknowledgement that could wait."""
        if self.phase is not Phase.ATTENDING:
            return None
        letter = self.outbox.next(now_seconds)
        if letter is None and not self._owed >= (1 if settle else ACKNOWLEDGE_EVERY):
            return None
        self._owed = 0
        if letter is None:
            return Envelope(0, 0, self.inbox.taken, None)
        return Envelope(letter.number, letter.follows, self.inbox.taken, letter.body)

    def give_up(self, envelope: Envelope[Said]) -> None:
        """What `next` gave cannot be put on the wire: it is said on no stream, and holds up nothing else."""
        if envelope.number and envelope.body is not None:
            self.outbox.give_up(Letter(envelope.number, envelope.follows, envelope.body))

    def beat(self) -> Envelope[Said] | None:
        """Something to send where nothing was said for a while, so that the other side knows who is there."""
        if self.phase is not Phase.ATTENDING:
            return None
        self._owed = 0
        return Envelope(0, 0, self.inbox.taken, None)

    def hear(self, envelope: Envelope[Told]) -> Told | None:
        """Take an envelope in; returns what is to be acted on.

        Raises ProtocolError where the stream has to be opened anew: a letter was lost, or makes no sense.
        """
        if self.phase is not Phase.ATTENDING:
            raise ProtocolError("a message came before the greeting was over")
        self.outbox.acknowledge(envelope.acknowledged)
        if envelope.number == 0:
            if envelope.body is not None:
                raise ProtocolError("a message without a number after the greeting")
            return None
        self._owed += 1
        heard = self.inbox.take(envelope.number, envelope.follows)
        if heard is Heard.LOST:
            raise ProtocolError(
                f"message {envelope.number} follows {envelope.follows}, and {self.inbox.taken} is known"
            )
        return envelope.body if heard is Heard.NEW else None

    def part(self) -> None:
        """The stream has ended, whoever ended it."""
        self.phase = Phase.APART


class AgentSession(Session[Said, Told]):
    """The agent's side: one for the whole life of its process."""

    def __init__(
        self, epoch_id: int, bounds: Bounds | None = None, version: ProtocolVersion = PROTOCOL
    ) -> None:
        super().__init__(bounds or Bounds())
        self.epoch_id, self._mine = epoch_id, version
        self.operator_epoch_id = 0

    def greet(self) -> HelloNumbers:
        """A stream was opened: what to say first."""
        self.phase = Phase.GREETING
        return HelloNumbers(
            self._mine, self.epoch_id, self.operator_epoch_id, self.outbox.acknowledged, self.inbox.taken
        )

    def welcome(self, numbers: WelcomeNumbers) -> None:
        """The operator has answered. Raises ProtocolError where it cannot be spoken with."""
        if self.phase is not Phase.GREETING:
            raise ProtocolError("a welcome that nobody waits for")
        self.version = spoken(self._mine, numbers.version)
        self.outbox.resume(numbers.received)
        if numbers.operator_epoch_id != self.operator_epoch_id:  # another process: it counts from one
            self.operator_epoch_id, self.inbox = numbers.operator_epoch_id, Inbox()
        self._owed = 0
        self.phase = Phase.ATTENDING


class OperatorSession(Session[Said, Told]):
    """The operator's side of one agent's epoch."""

    def __init__(self, kube_node: str, agent_epoch_id: int, taken: int, bounds: Bounds | None = None) -> None:
        super().__init__(bounds or Bounds(), taken)
        self.kube_node, self.agent_epoch_id = kube_node, agent_epoch_id
        self.streams = 0
        """Streams so far: who holds an older number has been replaced."""

    def resume(
        self, hello: HelloNumbers, operator_epoch_id: int, mine: ProtocolVersion = PROTOCOL
    ) -> WelcomeNumbers:
        """A stream of this agent was opened. Raises ProtocolError where its numbers make no sense."""
        self.version = spoken(mine, hello.version)
        self.outbox.resume(hello.received if hello.operator_epoch_id == operator_epoch_id else 0)
        self._owed = 0
        self.streams += 1
        self.phase = Phase.ATTENDING
        return WelcomeNumbers(self.version, operator_epoch_id, self.inbox.taken)
