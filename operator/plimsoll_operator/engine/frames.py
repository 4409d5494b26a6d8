"""Frames on the pipe between the main process and the worker: a length, then one pickled object.

In: what the main process asks (`Request`). Out: `Reply`, matched by id, so that a caller that gave up
waiting does not shift the answers of those that follow. Pickle is safe here: both ends are our own code, on
an inherited pipe.
"""

import pickle
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO

from plimsoll.recommend.relatives import Steps
from plimsoll.usage.sample import Quantity
from plimsoll_operator.engine.messages import Event, Member, Needs, PodContainer

HEADER = struct.Struct(">Q")
START = 0  # number of the reply that says the worker is up, or why it is not
MAX_FRAME_BYTES = 2**31  # a longer one means that the pipe is out of step


@dataclass(frozen=True, slots=True)
class Sync:
    """Containers that came, and that went."""

    added: tuple[Member, ...]
    removed: tuple[PodContainer, ...]


@dataclass(frozen=True, slots=True)
class Forget:
    """Rows whose workloads are gone for good; their history may go."""

    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Observe:
    """Events in the order they were seen."""

    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class TickRequest:
    """Fetch, react, recommend. `everything`: all rows, not only those that are due; `loads`: placement's."""

    now_seconds: float
    everything: bool = False
    loads: bool = False


@dataclass(frozen=True, slots=True)
class Restore:
    """Checkpoints by row; `steered`: with where their fleet's price was."""

    checkpoints: Mapping[int, bytes]
    steered: bool = True


@dataclass(frozen=True, slots=True)
class Relate:
    """What relatives did that have no past here: steps by kind, of one quantity."""

    steps: Mapping[str, Steps]
    quantity: Quantity


@dataclass(frozen=True, slots=True)
class TellNeeds:
    """What agents say of containers whose limits are made for needed memory."""

    needs: Needs


@dataclass(frozen=True, slots=True)
class CheckpointRequest:
    """Rows whose checkpoints are wanted."""

    rows: tuple[int, ...]


Ask = Sync | Forget | Observe | TickRequest | Restore | Relate | TellNeeds | CheckpointRequest


@dataclass(frozen=True, slots=True)
class Request:
    """One question with its number."""

    number: int
    ask: Ask


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the question of that number; `error` "" where it went well."""

    number: int
    value: object = None
    error: str = ""


def encoded(message: object) -> bytes:
    """Return a frame: header and pickle."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return HEADER.pack(len(body)) + body


def decoded(body: bytes) -> object:
    """Return what a frame's body holds."""
    message: object = pickle.loads(body)  # noqa: S301 - written by our own process
    return message


def read_frame(pipe: IO[bytes]) -> object:
    """Return the next object of a blocking pipe; None where the other end is gone."""
    header = pipe.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    length = HEADER.unpack(header)[0]
    body = pipe.read(length)
    return decoded(body) if len(body) == length else None


def write_frame(pipe: IO[bytes], message: object) -> None:
    """Write one object to a blocking pipe."""
    pipe.write(encoded(message))
    pipe.flush()
