"""What each node has handed in of one model: joined without loss, in any order, any number of times.

In: maps from a kube node's name to the newest vector it sent. Out: their join (per name the higher sequence),
which is commutative, associative and idempotent, so that copies of a record that went separate ways come
together again wherever they meet; and the successor of a model by all of them (`robust.step_of`). A node can
change its own entry only. Where more than `MOST_NODES` have spoken, those are kept whose name and key hash
lowest: a sample that nobody chooses, and the same one everywhere.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plimsoll.store.content import ContentError, Document
from plimsoll.store.robust import LEAST_NODES, few, step_of

FloatArray = npt.NDArray[np.float64]

MOST_NODES = 63
MOST_LENGTH = 65_536  # numbers of a vector
MOST_ABSOLUTE = 1e6  # no sound parameter is larger
KEPT_SECONDS = 30 * 86_400.0  # what a node said longer ago is no longer listened to
FUTURE_SECONDS = 900.0  # a clock may be ahead by so much


@dataclass(frozen=True, slots=True)
class Contribution:
    """One node's newest word. `vector` float64[d] in the model's own units."""

    sequence: int
    samples: int
    made_seconds: float
    vector: FloatArray

    def sound(self) -> bool:
        """True where it may be listened to at all."""
        counts = self.sequence >= 0 and self.samples >= 0 and math.isfinite(self.made_seconds)
        shaped = self.vector.ndim == 1 and 0 < len(self.vector) <= MOST_LENGTH
        return counts and shaped and bool((np.abs(self.vector) <= MOST_ABSOLUTE).all())

    @property
    def order(self) -> tuple[int, int, float, bytes]:
        """Of two of one node the greater stands; equal sequences can only differ where a node lies."""
        return self.sequence, self.samples, self.made_seconds, self.vector.tobytes()


Contributions = Mapping[str, Contribution]


def joined(mine: Contributions, other: Contributions, salt: str = "") -> dict[str, Contribution]:
    """Both together; of each node the newest."""
    both = dict(mine)
    for name, each in other.items():
        if name not in both or each.order > both[name].order:
            both[name] = each
    kept = sorted(both, key=lambda name: hashlib.sha256(f"{salt}\0{name}".encode()).digest())[:MOST_NODES]
    return {name: both[name] for name in sorted(kept)}


def successor(
    predecessor: FloatArray,
    contributions: Contributions,
    now_seconds: float,
    *,
    trim: bool = False,
    least_nodes: int = LEAST_NODES,
) -> FloatArray:
    """The model that follows by what nodes have said lately: float64[d].

    Nodes that said nothing sound, nothing of this length or nothing for `KEPT_SECONDS` are not heard. Fewer
    than `least_nodes` that are heard leave the predecessor as it is.
    """
    heard = [
        each
        for _, each in sorted(contributions.items())
        if each.sound()
        and len(each.vector) == len(predecessor)
        and -FUTURE_SECONDS <= now_seconds - each.made_seconds <= KEPT_SECONDS
    ]
    if not heard or len(heard) < least_nodes:
        return predecessor.copy()
    vectors = np.stack([each.vector for each in heard])
    if len(heard) < LEAST_NODES:
        return few(predecessor, vectors)
    weights = np.array([float(each.samples) for each in heard])
    return step_of(predecessor, vectors, weights, trim=trim)


def document(contributions: Contributions) -> Document:
    """What a record keeps of them. Raises `ContentError` for one that is not sound."""
    for name, each in contributions.items():
        if not each.sound():
            raise ContentError(f"the contribution of kube node {name} is not sound")
    return {
        "contributions": [
            {
                "kube_node": name,
                "sequence": each.sequence,
                "samples": each.samples,
                "made_seconds": float(each.made_seconds),
                "vector": _narrow(each.vector),
            }
            for name, each in sorted(contributions.items())
        ]
    }


def read(said: Mapping[str, Any]) -> dict[str, Contribution]:
    """The sound ones of a document; what is not sound is left out. Raises `ContentError`."""
    try:
        listed = said["contributions"]
        made = {str(each["kube_node"]): _one(each) for each in listed}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ContentError(f"contributions cannot be read: {error}") from error
    return {name: each for name, each in made.items() if each.sound()}


def _narrow(vector: FloatArray) -> npt.NDArray[np.floating]:
    """As float32 where that loses nothing: words of 63 nodes on reuse tables are 2.8 MB then, and not 5.6."""
    short = np.asarray(vector, dtype=np.float32)
    return short if bool((short.astype(np.float64) == vector).all()) else np.asarray(vector, np.float64)


def _one(said: Mapping[str, Any]) -> Contribution:
    vector = np.asarray(said["vector"], dtype=np.float64)
    return Contribution(int(said["sequence"]), int(said["samples"]), float(said["made_seconds"]), vector)
