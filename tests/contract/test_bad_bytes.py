"""Messages that are cut short or larger than allowed, over real gRPC, TLS and TCP, both ways, counted.

Cut short is a connection that ends in the middle of a message; no message is shorter than gRPC says it is.
Too large is one that gRPC refuses: what it carries is as long as any, with more behind it that nobody reads.
What was said is said again on the next stream: heard once, and in order. A stream keeps the order of its
messages, so what is reordered and what comes twice is in `test_bad_wire`. What is too large each time it is
said is given up by who would say it: no stream ends for it.
"""

from collections import Counter

import pytest

from builders.attending import Attended, attending, until
from builders.authority import Authority
from builders.partition import line_to
from builders.unknown_fields import unknown_field
from plimsoll.coordinate.mailbox import Bounds
from plimsoll.coordinate.messages import ModelDelta, ModelVersion, ShrinkCancel
from plimsoll.coordinate.session import AgentSession, Envelope
from plimsoll_proto import service, wire

MESSAGES = 60
LONG = 30_000  # bytes of each: more than a record of TLS, so that what is cut lies within one
LENGTHS = range(80_000, 1_200_000, 140_000)
EVERY = 7  # one of so many messages is too large when it is first said


@pytest.fixture
def operator(tmp_path):
    return Attended(tmp_path, Authority())


class Both:
    """Everything that both sides say, and what of it is heard."""

    def __init__(self, operator: Attended, port: int) -> None:
        self.operator, session = operator, AgentSession(7, Bounds(most_kept=MESSAGES + 1))
        self.link, self.down = operator.agent(session=session, address=f"127.0.0.1:{port}")

    def speak(self) -> None:
        for number in range(MESSAGES):
            assert self.link.offer(ModelDelta(f"{number}", "pages", "web", 1, "", number, b"x" * LONG))
            assert self.operator.service.offer("node-a", ShrinkCancel(number + 1, "counted"))

    def up(self) -> list[int]:
        return [body.observations for _, body in self.operator.heard.bodies]

    def whole(self) -> bool:
        return len(set(self.up())) == len({each.shrink_id for each in self.down}) == MESSAGES

    def lost_and_again(self) -> tuple[int, int]:
        """Of both ways together; that each came in its order is asserted."""
        up, down = self.up(), [each.shrink_id for each in self.down]
        assert up == sorted(up)
        assert down == sorted(down)
        heard = len(set(up)) + len(set(down))
        return 2 * MESSAGES - heard, len(up) + len(down) - heard


async def test_messages_that_are_cut_short_are_said_again(operator, counted):
    async with operator.serving():
        with line_to(operator.port, [*LENGTHS]) as line:
            both = Both(operator, line.port)
            link = both.link
            async with attending(link):
                await until(lambda: link.state.attending)
                both.speak()
                await until(both.whole)
                await until(lambda: len(link._session.outbox) == 0)
            cuts = line.cut_total
    assert cuts >= 3, "else nothing was cut short"
    lost, again = both.lost_and_again()
    assert (lost, again) == (0, 0)
    survived = min(cuts, link.state.streams_total - 1)  # each cut was followed by another stream
    assert survived == cuts
    counted(
        "connections cut in the middle of a message, over gRPC", injected=cuts, survived=survived,
        lost=lost + again, of=2 * MESSAGES, what="messages",
    )  # fmt: skip


@pytest.mark.parametrize("side", ["agent", "operator"])
async def test_messages_that_are_too_large_are_said_again(operator, counted, monkeypatch, side):
    enlarged = dict[int, int]()  # the numbers of messages, and what was said in each
    name = {"agent": "request_bytes", "operator": "_written"}[side]
    most = {"agent": service.MOST_REQUEST_BYTES, "operator": service.MOST_RESPONSE_BYTES}[side]
    write, written = getattr(service, name), Counter[int]()

    def too_large(message) -> bytes:
        text = write(message)
        number = message.sequence_number
        written[number] += 1
        if number and number % EVERY == 0 and number not in enlarged:
            said = (
                message.model_delta.observation_count if side == "agent" else message.shrink_cancel.shrink_id
            )
            enlarged[number] = said
            text += unknown_field(bytes(most))
        return text

    monkeypatch.setattr(service, name, too_large)
    async with operator.serving():
        both = Both(operator, operator.port)
        link = both.link
        async with attending(link):
            await until(lambda: link.state.attending)
            both.speak()
            await until(both.whole)
            await until(lambda: len(link._session.outbox) == 0)
            other, _ = operator.agent("node-b")
            async with attending(other):
                await until(lambda: other.state.attending)
    assert len(enlarged) == MESSAGES // EVERY
    lost, again = both.lost_and_again()
    assert (lost, again) == (0, 0)
    failures = link.state.failures_total
    # A write that fails as the call ends puts "internal" in the place of what was told (grpc/grpc#36066)
    assert failures["resource_exhausted"] + failures["internal"] >= 1, "gRPC refuses it, on either side"
    assert all(written[number] >= 2 for number in enlarged), "and it is written once more"
    assert link.state.streams_total == 1 + sum(failures.values()), "and each time another stream goes on"
    heard = set(both.up()) if side == "agent" else {each.shrink_id for each in both.down}
    survived = len(heard & set(enlarged.values()))
    assert survived == len(enlarged)
    counted(
        "messages that are too large, over gRPC", injected=len(enlarged), survived=survived,
        lost=lost + again, of=2 * MESSAGES, what="messages",
    )  # fmt: skip


MOST = {"agent": service.MOST_REQUEST_BYTES, "operator": service.MOST_RESPONSE_BYTES}


def of_size(side: str, number: int, size_bytes: int) -> ModelDelta | ModelVersion:
    """A letter whose message has exactly so many bytes; the numbers around it cost as much."""

    def letter(payload_bytes: int) -> ModelDelta | ModelVersion:
        payload = bytes(payload_bytes)
        if side == "agent":
            return ModelDelta(f"{number}", "pages", "web", 1, "", number, payload)
        return ModelVersion("pages", "web", number, 1, "", payload)

    write = wire.request if side == "agent" else wire.response
    without = size_bytes - 100
    found = write(Envelope(number, number - 1, 0, letter(without))).ByteSize()
    return letter(without + size_bytes - found)


@pytest.mark.parametrize("side", ["agent", "operator"])
async def test_what_is_too_large_each_time_is_given_up_and_everything_else_is_heard_once(
    operator, counted, side
):
    too_large = [number for number in range(1, MESSAGES + 1) if number % EVERY == 0]
    just_not = too_large[3] + 1  # the largest that there is room for
    async with operator.serving():
        link, down = operator.agent(session=AgentSession(7, Bounds(most_kept=MESSAGES + 1)))

        def say(number: int) -> bool:
            size_bytes = MOST[side] + 1 if number in too_large else MOST[side] if number == just_not else 200
            letter = of_size(side, number, size_bytes)
            return link.offer(letter) if side == "agent" else operator.service.offer("node-a", letter)

        def heard() -> list[int]:
            if side == "agent":
                return [body.observations for _, body in operator.heard.bodies]
            return [body.version for body in down]

        async with attending(link):
            await until(lambda: link.state.attending)
            assert all(say(number) for number in range(1, MESSAGES + 1))
            await until(lambda: MESSAGES in heard())
            outbox = link._session.outbox if side == "agent" else operator.service.attendance.session(
                "node-a"
            ).outbox  # fmt: skip
            await until(lambda: len(outbox) == 0)
    rest = [number for number in range(1, MESSAGES + 1) if number not in too_large]
    assert heard() == rest, "each once, in order, and nothing of what is too large"
    assert link.state.streams_total == 1
    assert not link.state.failures_total
    assert outbox.dropped_total == len(too_large)
    if side == "agent":
        assert link.state.too_large_total == {"model_delta": len(too_large)}
    else:
        assert operator.service.counts.refusals_total == {"too_large": len(too_large)}
    counted(
        "messages that are too large each time they are said, over gRPC", injected=len(too_large),
        survived=len(too_large), lost=len(set(rest) - set(heard())), of=len(rest), what="other messages",
    )  # fmt: skip
