"""What a node hands in of a shared model, and what it is given: the bytes of both, and who may say what.

In: from an agent its table or net as a vector, with the samples behind it and a number that grows; the
operator knows from the stream's identity which kube node that is. Out: a contribution in the memory, or the
sentence why it is refused: a node cannot speak for another, of a kind that is not shared, of another length
than what ships, or in numbers that are none. The way back is the release's model for that node: the
candidate for a tenth of them, the current one for the others.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from plimsoll.pages.survival import prior_hazard
from plimsoll.store.content import ContentError, decode, encode
from plimsoll.store.contributions import FUTURE_SECONDS, KEPT_SECONDS, Contribution
from plimsoll.store.memory import Memory
from plimsoll.store.record import RecordError
from plimsoll.store.releasing import release_of

FloatArray = npt.NDArray[np.float64]

MOST_PAYLOAD_BYTES = 1 << 20
LEAST_HAZARD, MOST_HAZARD = 1e-7, 1.0  # returns a second, as int8 tables keep them


def delta(vector: FloatArray, samples: int, sequence: int, made_seconds: float) -> bytes:
    """An agent's side: what it has learned, as bytes (to be compressed by who sends them)."""
    return encode(
        {
            "vector": np.asarray(vector, dtype=np.float64),
            "samples": int(samples),
            "sequence": int(sequence),
            "made_seconds": float(made_seconds),
        }
    )


def take_in(
    memory: Memory, kube_node: str, kind: str, key: str, payload: bytes, now_seconds: float, length: int
) -> str:
    """Add a node's word to the others'; returns why it is refused, "" where it is not.

    `length` is that of what ships. The same payload again changes nothing. Raises `LevelError`.
    """
    try:
        said = _checked(kind, payload, length, now_seconds)
        memory.contribute(kind, key, kube_node, said, now_seconds)
    except (RecordError, ContentError) as error:
        return str(error)
    return ""


def model_for(
    memory: Memory, kube_node: str, kind: str, key: str, shipped: FloatArray, now_seconds: float
) -> FloatArray:
    """What a node is to use: what is released, or what ships."""
    return release_of(memory, kind, key, shipped, now_seconds).for_row(kube_node)


def page_vector(hazard: FloatArray) -> FloatArray:
    """A page table [bins] as what is merged: logs, since hazards differ by factors."""
    return np.asarray(np.log(np.clip(hazard, LEAST_HAZARD, MOST_HAZARD)))


def page_hazard(vector: FloatArray) -> FloatArray:
    """The table of a vector, returns a second."""
    return np.clip(np.exp(vector), LEAST_HAZARD, MOST_HAZARD)


def page_prior() -> FloatArray:
    """What ships of page tables."""
    return page_vector(prior_hazard())


SHARED: Mapping[str, str] = {
    "pages": "logs of the return hazards of idle pages, by class",
    "pressure": "weights of the pressure nets, by class",
    "ensemble-class": "logs of ensemble weights, by image and class",
}


def _checked(kind: str, payload: bytes, length: int, now_seconds: float) -> Contribution:
    """A contribution that may be listened to. Raises `ContentError` with what is wrong."""
    if kind not in SHARED:
        raise ContentError(f"{kind!r} is not shared by nodes; {', '.join(sorted(SHARED))} are")
    if len(payload) > MOST_PAYLOAD_BYTES:
        raise ContentError(f"{len(payload)} bytes, at most {MOST_PAYLOAD_BYTES} are taken")
    said = _read(decode(payload))
    if len(said.vector) != length:
        raise ContentError(f"{len(said.vector)} numbers, {length} ship")
    if not -FUTURE_SECONDS <= now_seconds - said.made_seconds <= KEPT_SECONDS:
        raise ContentError(f"made {now_seconds - said.made_seconds:.0f} s ago")
    return said


def _read(said: Mapping[str, object]) -> Contribution:
    try:
        vector = np.asarray(said["vector"], dtype=np.float64)
        made = Contribution(
            int(str(said["sequence"])), int(str(said["samples"])), float(str(said["made_seconds"])), vector
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ContentError(f"a delta cannot be read: {error}") from error
    if not made.sound():
        raise ContentError("a delta that is not sound: numbers that are none, or absurd")
    return made
