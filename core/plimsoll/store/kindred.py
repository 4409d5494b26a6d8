"""What the memory keeps of an image, so that a workload without a past starts from its relatives.

In: checkpoints of containers that run it (`kin` is the word that relatives share: image without its version,
kind of owner, container name). Out: a document of kind `relatives` with the steps that those took from hour
to hour (`recommend.relatives`), and back. Names of workloads are not in it. What comes back may be anybody's:
it has the form of steps, or it is none.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from plimsoll.recommend.relatives import MOST_STEPS, YOUNG_HOURS, Steps, steps_of
from plimsoll.store.content import ContentError, Document
from plimsoll.usage.checkpoint import CheckpointError
from plimsoll.usage.history import History
from plimsoll.usage.sample import HOUR_SECONDS, MAX_PLAUSIBLE_BYTES, Quantity

KIND = "relatives"
MOST_RELATIVES = 8  # that are looked at for one document
LEAST_STEPS = 24  # a day of hours; fewer say little of an image


def relatives_key(kin: str, quantity: Quantity) -> str:
    """What the record of a kind is called; measures are never mixed."""
    return f"{quantity.value} {kin}"


def relatives_document(
    checkpoints: Sequence[bytes], quantity: Quantity, now_seconds: float
) -> Document | None:
    """The steps of containers of one kind; None where none has lived for two days, or all say little.

    A checkpoint that cannot be read says nothing.
    """
    history = History(quantity, MOST_RELATIVES)
    rows = history.add_rows(min(len(checkpoints), MOST_RELATIVES))
    history.advance(now_seconds)
    for row, data in zip(rows.tolist(), checkpoints[:MOST_RELATIVES], strict=True):
        try:
            history.restore(row, data)
        except CheckpointError:
            continue
    with np.errstate(invalid="ignore"):
        old = now_seconds - history.first_seen_seconds(rows) > YOUNG_HOURS * HOUR_SECONDS
    steps = steps_of(history.hourly(rows[old])[:, :-1])  # the hour that runs is no peak yet
    return {"steps": steps, "quantity": quantity.value} if len(steps) >= LEAST_STEPS else None


def relatives_steps(document: Mapping[str, Any]) -> Steps:
    """The steps in a document, [m, 2] logs of bytes. Raises `ContentError`."""
    try:
        steps = np.asarray(document["steps"], dtype=np.float32)
    except (KeyError, TypeError, ValueError) as error:
        raise ContentError(f"a document of relatives cannot be read: {error}") from error
    if steps.shape[1:] != (2,) or not LEAST_STEPS <= len(steps) <= MOST_STEPS:
        raise ContentError(f"steps of relatives of the form {steps.shape}")
    most = math.log(MAX_PLAUSIBLE_BYTES)
    if not (np.isfinite(steps).all() and steps.min() >= 0.0 and steps.max() <= most):
        raise ContentError("steps of relatives that are no amounts of memory")
    return steps
