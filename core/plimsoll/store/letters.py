"""The bytes in which an agent hands in what it has learned, and those in which it is given the fleet's.

In: vectors of a shared kind, counts, losses. Out: payloads of `ModelDelta` and `ModelVersion`: documents of
`content`, deflated. They come from other machines: what is too long, cut off, no document, or holds numbers
that nobody can believe raises `ContentError` with a sentence, before more than the bound was unpacked.
"""

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from plimsoll.pages.survival import FloatArray
from plimsoll.store.content import ContentError, decode, encode
from plimsoll.store.contributions import Contribution
from plimsoll.store.shared_kinds import KINDS_SHARED

MOST_PACKED_BYTES = 64 << 10  # reuse tables, the largest, take 12 KB
MOST_UNPACKED_BYTES = 512 << 10
SCHEMA = 2  # 1: hazards had learned reclaim as returns
LEVEL = 6
MOST_SEQUENCE = 2**62


@dataclass(frozen=True, slots=True)
class Judged:
    """What both models of a release would have lost on the same outcomes, since that was last told.

    `sequence` grows with each that a node says of a model, over restarts too: so one that is heard again is
    known. 0: from an agent that numbers none, whose word nobody can tell from its repetition.
    """

    generation: int
    candidate_loss: float
    current_loss: float
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Delta:
    """What a node says of one model; without a contribution it only asks for the newest."""

    contribution: Contribution | None = None
    judged: Judged | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """What a node is given: the model it is to use, and the other one where one is on trial."""

    generation: int
    use: FloatArray
    rival: FloatArray | None = None
    on_trial: bool = False  # what is to be used is the candidate

    @property
    def candidate(self) -> FloatArray | None:
        """The model on trial."""
        return self.use if self.on_trial else self.rival

    @property
    def current(self) -> FloatArray:
        """The model in use everywhere else."""
        return self.rival if self.on_trial and self.rival is not None else self.use


def delta_payload(delta: Delta) -> bytes:
    """An agent's side."""
    said, judged = delta.contribution, delta.judged
    document: dict[str, Any] = {}
    if said is not None:
        document["contribution"] = {
            "vector": np.asarray(said.vector, dtype=np.float32),
            "samples": int(said.samples),
            "sequence": int(said.sequence),
            "made_seconds": float(said.made_seconds),
        }
    if judged is not None:
        # What a newer agent says comes last: operators that do not know it pass over it.
        document["judged"] = [
            judged.generation, judged.candidate_loss, judged.current_loss, judged.sequence
        ]  # fmt: skip
    return packed(document)


def read_delta(kind: str, payload: bytes) -> Delta:
    """The operator's side. Raises `ContentError`."""
    shared = KINDS_SHARED.get(kind)
    if shared is None:
        raise ContentError(f"{kind!r} is not shared by nodes; {', '.join(sorted(KINDS_SHARED))} are")
    said = unpacked(payload)
    try:
        held, judged = said.get("contribution"), said.get("judged")
        contribution = None if held is None else _contribution(held)
        losses = None if judged is None else _judged(judged)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ContentError(f"a delta cannot be read: {error}") from error
    if contribution is not None:
        if why := shared.refusal(contribution.vector):
            raise ContentError(why)
        if not contribution.sound():
            raise ContentError("a delta that is not sound: numbers that are none, or absurd")
    if losses is not None and not (losses.candidate_loss >= 0.0 and losses.current_loss >= 0.0):
        raise ContentError("losses that are none")
    if losses is not None and not 0 <= losses.sequence <= MOST_SEQUENCE:
        raise ContentError("a number that no judgement has")
    return Delta(contribution, losses)


def given_payload(given: Given) -> bytes:
    """What an operator sends of a release."""
    document = {
        "generation": given.generation,
        "use": given.use.astype(np.float32),
        "rival": None if given.rival is None else given.rival.astype(np.float32),
        "on_trial": given.on_trial,
    }
    return packed(document)


def read_given(kind: str, payload: bytes) -> Given:
    """The agent's side: only what may be used at all. Raises `ContentError`."""
    shared = KINDS_SHARED.get(kind)
    if shared is None:
        raise ContentError(f"{kind!r} is a kind that this agent does not know")
    said = unpacked(payload)
    try:
        use, held = np.asarray(said["use"], dtype=np.float64), said.get("rival")
        rival = None if held is None else np.asarray(held, dtype=np.float64)
        given = Given(int(said["generation"]), use, rival, bool(said["on_trial"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ContentError(f"a model cannot be read: {error}") from error
    for each in (given.use, given.rival):
        if each is not None and (why := shared.refusal(each)):
            raise ContentError(why)
    return given


def checksum_of(payload: bytes) -> str:
    """By which both sides know whether an agent has a payload already; "" for none."""
    return hashlib.sha256(payload).hexdigest()[:32] if payload else ""


def packed(document: Mapping[str, Any]) -> bytes:
    """Deflated; equal documents are equal bytes."""
    return zlib.compress(encode(document), LEVEL)


def unpacked(data: bytes) -> dict[str, Any]:
    """The document. Raises `ContentError`."""
    if len(data) > MOST_PACKED_BYTES:
        raise ContentError(f"{len(data)} bytes, at most {MOST_PACKED_BYTES} are taken")
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(data, MOST_UNPACKED_BYTES)
    except zlib.error as error:
        raise ContentError(f"a model cannot be unpacked: {error}") from error
    if stream.unconsumed_tail or not stream.eof or stream.unused_data:
        raise ContentError("a model that is cut off, or larger than any is")
    return decode(content)


def _judged(said: Sequence[Any]) -> Judged:
    sequence = int(said[3]) if len(said) > 3 else 0
    return Judged(int(said[0]), float(said[1]), float(said[2]), sequence)


def _contribution(said: Mapping[str, Any]) -> Contribution:
    vector = np.asarray(said["vector"], dtype=np.float64)
    made = float(said["made_seconds"])
    return Contribution(int(said["sequence"]), int(said["samples"]), made, vector)
