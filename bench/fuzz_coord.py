"""Bytes of all kinds against the operator's side of a stream, in process: what they end in.

In: `--inputs` (a million by default), a seed. Out: how many were taken, refused as nonsense, refused by the
protocol, refused for whom they speak of, or were no protobuf at all, as rows of bench/results/fuzz.json. The
first input that raises anything else, or lets a task of the operator's fail, is printed, and the exit code
is 1. Inputs are messages of every kind with bits flipped, cut short, parts repeated, two spliced, fields set
to what no agent says, or random. Streams are made of them that the operator's own service attends: the doors,
a token that is reviewed, hello, session, rosters, and the desk with shrinks, leases, views and shared models,
on a small cluster. Every fourth stream begins with an input, all others with a sound hello. How much a node
may say is not bounded here. gRPC's own framing, TLS and relays are not in it.
"""

import argparse
import asyncio
import logging
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from google.protobuf.message import DecodeError, Message

from builders.attending import AGENTS, Reviews
from builders.authority import AGENT_HOST, OPERATOR_HOST
from builders.clusters import NOW, raw_kube_node, raw_pod
from builders.desks import Desks
from builders.loops import MINUTE, rig
from plimsoll.coordinate import messages as core
from plimsoll.coordinate.admission import Admission, AdmissionRate, EachAdmission
from plimsoll.coordinate.session import AgentSession, Envelope
from plimsoll.pages.survival import prior_hazard
from plimsoll.store.contributions import Contribution
from plimsoll.store.letters import SCHEMA, Delta, Judged, delta_payload
from plimsoll.store.memory import Memory, open_memory
from plimsoll.store.shared_kinds import PAGES, page_vector
from plimsoll_operator.coordinate.server import Coordination
from plimsoll_operator.coordinate.sharing import Sharing
from plimsoll_operator.coordinate.tokens import Tokens
from plimsoll_proto import service, wire
from report import Row, bench_options, write_results

COMMAND = "make bench-fuzz"
OUTCOMES = ("taken", "nonsense", "protocol", "refused", "not protobuf")
SHARES_EVERY = 500  # inputs, between two rounds of shared models and two of the operator's loop
INPUT_SECONDS = 0.01  # of the operator's clock
HELLO_FUZZED = 0.25  # of all streams
CLEARED = 0.1  # of the fields that are altered
UNBOUNDED = AdmissionRate(per_second=1e12, burst=1e12)
INDEXES = np.array([0, 3], dtype=np.int64)
ONES = np.array([4096.0, np.nan])
IMAGE, KEY = "example.org/shop/web:1.2", "example.org/shop/web app"


def hello(epoch_id: int, uid: str = "uid-web-0") -> bytes:
    """What an agent's stream begins with."""
    capabilities = (core.Capability("reclaim", "full", ""), core.Capability("damon", "none", "no such file"))
    roster = core.Roster((core.RosterEntry(0, uid, "web-0-0"),))
    facts = core.NodeFacts("n1", "1.0", "6.8", capabilities, roster, NOW)
    return service.request_bytes(wire.hello(AgentSession(epoch_id).greet(), facts))


def seeds() -> list[bytes]:
    """A message of every kind."""
    learned = Contribution(1, 50, NOW, page_vector(prior_hazard() * 2.0))
    bodies: list[core.AgentBody] = [
        core.Roster((core.RosterEntry(1, "uid-web-0", "web-0-0"),), (4,)),
        core.Roster((core.RosterEntry(2, "uid-web-1", "web-1-0"),)),  # runs on another node
        core.SampleBatch(NOW, INDEXES, dict.fromkeys(core.SAMPLE_COLUMNS, ONES), 1 << 33, 1),
        core.ForecastBatch(NOW, 5.0, INDEXES, dict.fromkeys(core.FORECAST_COLUMNS, ONES), 0.5),
        core.OutcomeBatch(NOW, INDEXES, dict.fromkeys(core.OUTCOME_COLUMNS, ONES)),
        core.ModelDelta("", PAGES, KEY, SCHEMA, "", 9, delta_payload(Delta(learned, Judged(1, 1.0, 0.9, 1)))),
        core.ModelDelta("", PAGES, KEY, SCHEMA, "b", 0, b""),
        core.ShrinkReport(1, core.ShrinkStage.REACHED, 1 << 20, 1 << 30, "why", 1),
        core.LeaseRequest(7, 0, 1 << 20, 1 << 30, 1 << 20, 4.5, NOW),
    ]
    found = [service.request_bytes(wire.request(Envelope(1, 0, 0, body))) for body in bodies]
    return [*found, hello(7), hello(7, "uid-web-1")]


def mutated(draw: np.random.Generator, known: list[bytes]) -> bytes:
    """One input."""
    text = bytearray(known[int(draw.integers(len(known)))])
    kind = int(draw.integers(8))
    if kind == 0:
        for place in draw.integers(len(text), size=int(draw.integers(1, 9))):
            text[place] = int(draw.integers(256))
    elif kind == 1:
        del text[int(draw.integers(len(text))) :]
    elif kind == 2:
        at, length = int(draw.integers(len(text))), int(draw.integers(1, 40))
        text[at:at] = text[at : at + length] * int(draw.integers(1, 9))
    elif kind == 3:
        text += known[int(draw.integers(len(known)))]
    elif kind == 4:
        text = bytearray(draw.bytes(int(draw.integers(1, 300))))
    else:  # what can be decoded, and no agent says
        message = service.request_of(bytes(text))
        for _ in range(int(draw.integers(1, 4))):
            with suppress(ValueError):  # more than the field holds
                _altered(draw, message)
        return service.request_bytes(message)
    return bytes(text)


def _altered(draw: np.random.Generator, message: Message) -> None:
    """Set one field of a message, or of one within it, to another value of its kind."""
    fields = message.ListFields()
    if not fields:
        return
    field, value = fields[int(draw.integers(len(fields)))]
    if field.is_repeated:
        place = int(draw.integers(len(value)))
        if isinstance(value[place], Message):
            _altered(draw, value[place])
        elif draw.random() < 0.5:
            del value[place]
        else:
            value[place] = _other(draw, value[place])
    elif isinstance(value, Message):
        _altered(draw, value)
    elif draw.random() < CLEARED:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, _other(draw, value))


def _other(draw: np.random.Generator, value: object) -> object:
    if isinstance(value, bytes):
        text = bytearray(value or b"?")
        text[int(draw.integers(len(text)))] = int(draw.integers(256))
        return bytes(text)
    if isinstance(value, str):
        return str(draw.choice(["", "n2", "uid-web-1", "\0", value * 40]))
    if isinstance(value, float):
        return float(draw.choice([float("nan"), float("inf"), -1.0, 1e300, value * 2.0]))
    return int(draw.choice([0, 1, 2, 9, 1 << 31, 1 << 52, (1 << 63) - 1])) * (
        -1 if draw.random() < 0.2 else 1
    )


class Ended(Exception):  # noqa: N818 -- what gRPC raises when a call is aborted is no error of anybody's
    """The stream was ended in a way that is announced."""


class Call:
    """What gRPC hands over with a stream: who calls. What is written to it goes nowhere."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """The token."""
        return ((service.AUTHORIZATION, "Bearer token"),)

    def auth_context(self) -> dict[str, tuple[bytes, ...]]:
        """The agents' certificate."""
        return {"peer_dns": (AGENT_HOST.encode(),)}

    def peer(self) -> str:
        """An address."""
        return "ipv4:192.0.2.7:4567"

    async def write(self, message: object) -> None:
        """Take what the agent is told."""

    async def abort(self, code: object, why: str, trailer: object = ()) -> None:
        """End the stream."""
        raise Ended(f"{code}: {why} {trailer}")


class Fuzzed:
    """An operator that attends streams of inputs, and what became of each of them."""

    def __init__(self, inputs: int, seed: int, memory: Memory) -> None:
        self.left, self.number, self.last = inputs, 0, b""
        self.epoch, self.nonsense_before = 1 << 40, 0  # no input has such an epoch by chance
        self.draw, self.known = np.random.default_rng(seed), seeds()
        self.counts: Counter[str] = Counter()
        pods = (raw_pod("web-0", image=IMAGE), raw_pod("web-1", image=IMAGE, node="n2"))
        self.desks = Desks(rig(*pods, targets={"app": 700}))
        self.desks.rig.api.put("nodes", raw_kube_node("n2"))
        membership = self.desks.rig.membership
        self.service = Coordination(
            attendance=self.desks.attendance,
            tokens=Tokens(Reviews({"token": "n1"}), service.AUDIENCE, self.now),
            username=AGENTS,
            agents_name=AGENT_HOST,
            operators_name=OPERATOR_HOST,
            hearer=self.desks.desk,
            kube_node_of_pod=lambda uid: None if (pod := membership.pod(uid)) is None else pod.kube_node,
            leads=lambda: True,
            now=self.now,
            monotonic=self.now,
            admission=Admission(UNBOUNDED),
            addresses=EachAdmission(UNBOUNDED),
            messages=UNBOUNDED,
            leases=UNBOUNDED,
            streams=UNBOUNDED,
        )
        self.desks.offer = self.service.offer
        desk, metrics = self.desks.desk, self.desks.rig.metrics
        desk.sharing = Sharing(memory, metrics, self.service.offer, desk.classes_on, self.now, 1)

    def now(self) -> float:
        """The operator's clock: it goes on with each input."""
        return NOW + MINUTE + self.number * INPUT_SECONDS

    async def run(self) -> Counter[str]:
        """All inputs. Raises what should never be raised, after printing the input."""
        await self.desks.once(NOW)
        await self.desks.once(NOW + MINUTE)
        while self.left:
            try:
                await self._stream()
            except Exception:
                print(f"input {self.number}: {self.last.hex()}", file=sys.stderr)
                raise
        self._sound()
        return self.counts

    async def _stream(self) -> None:
        protocol, first = self.service.counts.refusals_total["protocol"], self.number
        self.epoch += 1
        with suppress(Ended):
            await self.service.attend(self._requests(), Call())
            if self.left:
                raise AssertionError("a stream ended, and nobody says why")
            return
        if self.counts.total() == self.number:  # it was ended by a sound hello, or between two inputs
            raise AssertionError(f"a stream ended that said nothing wrong in {self.number - first} inputs")
        self.counts[self._ended(protocol)] += 1

    async def _requests(self) -> AsyncIterator[bytes]:
        """What the agent says. An input was taken, or was nonsense, where another one is asked for."""
        if self.draw.random() < HELLO_FUZZED:
            yield self._next()
            self.counts["taken"] += 1
        else:
            yield hello(self.epoch)
        refusals = self.service.counts.refusals_total
        while self.left:
            session = self.desks.attendance.session("n1")
            session.inbox.taken = 0  # the inputs' numbers are those of first messages
            yield self._next()
            self.counts["nonsense" if refusals["nonsense"] > self.nonsense_before else "taken"] += 1
            self.desks.desk.views.container("n1", "uid-web-0", "web-0-0")  # reads what came
            await self._breathe()

    def _next(self) -> bytes:
        self.left, self.number = self.left - 1, self.number + 1
        self.last = mutated(self.draw, self.known)
        self.nonsense_before = self.service.counts.refusals_total["nonsense"]
        return self.last

    async def _breathe(self) -> None:
        await asyncio.sleep(0)  # leases are answered, and the stream is written to
        if self.number % SHARES_EVERY == 0:
            await self.desks.desk.sharing.round()
            await self.desks.once(self.now())
            self._sound()

    def _ended(self, protocol_before: int) -> str:
        """What the last input was, which ended its stream."""
        refusals = self.service.counts.refusals_total
        try:
            service.request_of(self.last)
        except DecodeError:
            return "not protobuf"
        if refusals["protocol"] > protocol_before:
            return "protocol"
        return "nonsense" if refusals["nonsense"] > self.nonsense_before else "refused"

    def _sound(self) -> None:
        """Nothing failed beside the streams, where the operator only logs it."""
        value = self.desks.rig.metrics.value
        for name, labels in (
            ("plimsoll_leases_total", {"outcome": "failed"}),
            ("plimsoll_models_total", {"outcome": "failed", "kind": ""}),
            ("plimsoll_models_total", {"outcome": "unkept", "kind": ""}),
        ):
            if value(name, **labels):
                raise AssertionError(f"{name} {labels}")
        if self.service.counts.refusals_total["unsaid"]:
            raise AssertionError("something could not be told")


async def fuzz(inputs: int, seed: int) -> Counter[str]:
    """All inputs. Raises what should never be raised, with the input."""
    log = logging.getLogger("plimsoll_operator")
    level, memory = log.level, open_memory()
    log.setLevel(logging.ERROR)  # liars are warned of one by one
    try:
        return await Fuzzed(inputs, seed, memory).run()
    finally:
        memory.close()
        log.setLevel(level)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=7)
    options = bench_options(parser)
    began = time.monotonic()
    counts = asyncio.run(fuzz(options.inputs, options.seed))
    rows = [
        Row(f"coord.fuzz.{each}", float(counts[each]), "inputs", options.inputs, COMMAND) for each in OUTCOMES
    ]
    rows.append(Row("coord.fuzz.survived", float(counts.total()), "inputs", options.inputs, COMMAND))
    for row in rows:
        print(f"{row.name:28} {row.value:.0f}")
    print(write_results("fuzz", rows, options.seed, time.monotonic() - began))


if __name__ == "__main__":
    main()
