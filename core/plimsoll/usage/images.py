"""Which image each row runs, and since when another one than before: what a rollout leaves behind.

In: a code of the image that all of a row's live pods run (a hash of its full name; 0: not known, or pods of
two images live side by side). Out: when the row changed over, NaN where it never did as far as is known.
Kept beside the history, and part of a checkpoint: nobody else remembers what ran before a restart.
"""

import numpy as np
import numpy.typing as npt

from plimsoll.usage.grown import grown
from plimsoll.usage.sample import Float64Array

Rows = npt.NDArray[np.integer]
CodeArray = npt.NDArray[np.uint32]

UNKNOWN_IMAGE = 0


class ImageLog:
    """The image of up to `capacity` rows."""

    def __init__(self, capacity: int) -> None:
        self._code: CodeArray = np.zeros(capacity, dtype=np.uint32)
        self._since: Float64Array = np.full(capacity, np.nan)

    def grow(self, capacity: int) -> None:
        """Room for at least `capacity` rows."""
        self._code = grown(self._code, capacity, UNKNOWN_IMAGE)
        self._since = grown(self._since, capacity, np.nan)

    def reset(self, rows: Rows) -> None:
        """Forget these rows."""
        self._code[rows] = UNKNOWN_IMAGE
        self._since[rows] = np.nan

    def observe(self, rows: Rows, codes: CodeArray, now_seconds: float) -> None:
        """All pods of `rows` [n] run these images now. The first that is told was always there."""
        before = self._code[rows]
        known = codes != UNKNOWN_IMAGE
        changed = known & (before != UNKNOWN_IMAGE) & (before != codes)
        self._since[rows] = np.where(changed, now_seconds, self._since[rows])
        self._code[rows] = np.where(known, codes, before)

    def since_seconds(self, rows: Rows) -> Float64Array:
        """When the image of each row became another one, [n]; NaN: no change is known of."""
        return self._since[rows]

    def packed(self, row: int) -> Float64Array:
        """One row's code and time as [2] numbers, for a checkpoint."""
        return np.array([float(self._code[row]), self._since[row]])

    def merge(self, row: int, remembered: Float64Array, last_seen_seconds: float) -> None:
        """Take a remembered image in. If the row runs another one by now, it changed unseen.

        Then the earliest it can have changed is after the last sample that the checkpoint knew.
        """
        code, since = np.uint32(remembered[0]), float(remembered[1])
        if code == UNKNOWN_IMAGE:
            return
        own = self._code[row]
        if own == UNKNOWN_IMAGE:
            self._code[row] = code
        if own in (UNKNOWN_IMAGE, code):
            self._since[row] = np.fmax(self._since[row], since)
        elif np.isnan(self._since[row]):
            self._since[row] = last_seen_seconds
