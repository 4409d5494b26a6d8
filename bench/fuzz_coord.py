"""Bytes of all kinds against the operator's side of a stream, in process: what they end in.

In: `--inputs` (a million by default), a seed. Out: how many were taken, refused as nonsense, refused by the
protocol, or were no protobuf at all, as rows of bench/results/fuzz.json; the first input that raises anything
else is printed, and the exit code is 1. Inputs are messages of every kind with bits flipped, cut short, parts
repeated, two spliced, or random. They go the way that the server takes: decoding, hello, session, and the
desk with its shrinks, leases and views on a small cluster; samples are left unread until somebody asks for a
container. gRPC's own framing, tokens, relays and shared models are not in it.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from google.protobuf.message import DecodeError

from builders.clusters import NOW
from builders.desks import Desks
from builders.loops import MINUTE, rig
from plimsoll.coordinate import messages as core
from plimsoll.coordinate.session import AgentSession, Envelope, HelloNumbers
from plimsoll.coordinate.versions import PROTOCOL, ProtocolError
from plimsoll_proto import service, wire
from report import Row, bench_options, write_results

COMMAND = ".venv/bin/python bench/fuzz_coord.py"
OUTCOMES = ("taken", "nonsense", "protocol", "not protobuf")
BREATHE_EVERY = 500  # inputs, so that leases that were asked for are answered
INDEXES = np.array([0, 3], dtype=np.int64)
ONES = np.array([4096.0, np.nan])


def seeds() -> list[bytes]:
    """A message of every kind."""
    bodies: list[core.AgentBody] = [
        core.Roster((core.RosterEntry(1, "uid-web-0", "web-0-0", "app"),), (4,)),
        core.SampleBatch(NOW, INDEXES, dict.fromkeys(core.SAMPLE_COLUMNS, ONES), 1 << 33, 1),
        core.ForecastBatch(NOW, 5.0, INDEXES, dict.fromkeys(core.FORECAST_COLUMNS, ONES), 0.5),
        core.OutcomeBatch(NOW, INDEXES, dict.fromkeys(core.OUTCOME_COLUMNS, ONES)),
        core.ModelDelta("c", "survival", "web", 1, "b", 9, b"\0" * 20),
        core.ShrinkReport(1, core.ShrinkStage.REACHED, 1 << 20, 1 << 30, "why", 1),
        core.LeaseRequest(7, 0, 1 << 20, 1 << 30, 1 << 20, 4.5, NOW),
    ]
    found = [service.request_bytes(wire.request(Envelope(1, 0, 0, body))) for body in bodies]
    capabilities = (core.Capability("reclaim", "full", ""), core.Capability("damon", "none", "no such file"))
    facts = core.NodeFacts(
        "n1", "1.0", "6.8", capabilities, core.Roster((core.RosterEntry(0, "uid-web-0", "c"),)), NOW
    )
    hello = wire.hello(HelloNumbers(PROTOCOL, 7, 1, 0, 0), facts)
    return [*found, service.request_bytes(hello)]


def mutated(draw: np.random.Generator, known: list[bytes]) -> bytes:
    """One input."""
    text = bytearray(known[int(draw.integers(len(known)))])
    kind = int(draw.integers(5))
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
    else:
        text = bytearray(draw.bytes(int(draw.integers(1, 300))))
    return bytes(text)


def heard(desks: Desks, text: bytes, now_seconds: float) -> str:
    """Let the operator hear an input; returns what came of it."""
    desks.session.inbox.taken = 0  # the inputs' numbers are those of first messages
    try:
        message = service.request_of(text)
        if message.WhichOneof("body") == "hello":
            _, facts = wire.hello_of(message)
            desks.desk.greeted("n1", facts, now_seconds)
            return "taken"
        body = desks.session.hear(wire.request_of(message, batches_unread=True))
        if isinstance(body, core.MessageError):
            return "nonsense"
        if body is not None:
            desks.desk.heard("n1", body, now_seconds)
    except DecodeError:
        return "not protobuf"
    except (ProtocolError, core.MessageError):  # both end a stream
        desks.agent = AgentSession(desks.agent.epoch_id + 1)
        desks.attend(now_seconds)  # as after a broken stream
        return "protocol"
    desks.desk.views.container("n1", "uid-web-0", "web-0-0")  # reads what came
    return "taken"


async def fuzz(inputs: int, seed: int) -> Counter[str]:
    """All inputs. Raises what should never be raised, with the input."""
    desks = Desks(rig(targets={"app": 700}))
    await desks.once(NOW)
    desks.attend(NOW)
    await desks.once(NOW + MINUTE)
    draw, known, counts = np.random.default_rng(seed), seeds(), Counter[str]()
    for number in range(inputs):
        text = mutated(draw, known)
        now = NOW + MINUTE + number * 0.01
        try:
            counts[heard(desks, text, now)] += 1
        except Exception:
            print(f"input {number}: {text.hex()}", file=sys.stderr)
            raise
        if number % BREATHE_EVERY == 0:
            await asyncio.sleep(0)
            await desks.once(now)
    return counts


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
