"""What a container needs while its agent is still finding that out.

In: what agents say, look by look: no more than so much is needed (what was not yet given back), and of that
so much may turn out not to be (file cache). Out: whether the search goes on, and what waits until it is over.
File cache that nobody reads looks needed until it was taken and stayed away, which takes an agent half an
hour of small steps. Until then a history is told what is needed in any case, and a limit neither follows the
rest up nor comes down after it step by step. A search ends where more is used again (what was given back is
asked for, or there is more to do), where use has come to rest, and after an hour. It goes by what is used:
how much of that is cold is an estimate that moves up and down with how the kernel ages memory.
"""

import numpy as np
import numpy.typing as npt

from plimsoll.guard.bounds import present_use_floor_bytes
from plimsoll.usage.grown import grown, rows_up_to
from plimsoll.usage.sample import BoolArray, Float64Array

Places = npt.NDArray[np.integer]

MIB = 1 << 20
# A first word may take so long from when it is asked for: policies and streams reach a node meanwhile.
FIRST_WORD_SECONDS = 300.0
REST_SECONDS = 600.0  # without a fall worth a word: no more will be found, or not soon
LONGEST_SECONDS = 3600.0
# Every limit has such a margin above present use; what fits into it is neither a rise nor a fall.
MARGIN_RATIO, MARGIN_BYTES = 0.02, 4.0 * MIB


def unsure_bytes(usage_bytes: int, needed_bytes: int, cache_bytes: int | None, *, suffers: bool) -> int:
    """What of a container's need may turn out not to be needed: page cache that was not given back yet.

    `cache_bytes`: of usage, pages of files; shared memory and tmpfs are none. None: not known, and nothing is
    unsure. A container that `suffers`, for it stalls or gets back more than its budget, needs all it has.
    """
    if suffers or cache_bytes is None:
        return 0
    return max(0, needed_bytes - max(0, usage_bytes - max(0, cache_bytes)))


def waits_for_need(limit_bytes: int, needed_bytes: float | None) -> bool:
    """Whether a limit that is to fall is bound by what seems needed now, while less will be in a minute.

    Each change is followed by a pause: a limit that followed the search would take hours to come down.
    `needed_bytes` None: not known, and then it waits.
    """
    return needed_bytes is None or limit_bytes <= present_use_floor_bytes(needed_bytes)


class Searches:
    """The searches of a table's places; a place without one has its need told as it is."""

    def __init__(self) -> None:
        self._columns: Float64Array = np.empty((0, 5))

    def begin(self, places: Places, now_seconds: float) -> None:
        """What these containers need is asked for from now on."""
        self._grow(places)
        self._columns[places] = np.nan
        self._columns[places, _BEGAN] = self._columns[places, _FELL] = now_seconds

    def end(self, places: Places) -> None:
        """Nobody searches there (any more), or others live there now."""
        self._grow(places)
        self._columns[places] = np.nan

    def going_on(self, places: Places) -> BoolArray:
        """Where [n] a search goes on."""
        self._grow(places)
        return np.asarray(np.isfinite(self._columns[places, _BEGAN]))

    def most_bytes(self, places: Places) -> Float64Array:
        """What [n] at most is needed as far as the search has come: what is used by the agent's words,
        without any by the usage source. NaN: nobody searches there, or nothing was seen.
        """
        self._grow(places)
        said = self._columns[places, _USED]
        return np.asarray(np.where(np.isnan(said), self._columns[places, _SAMPLE], said))

    def awaits(self, places: Places, now_seconds: float) -> BoolArray:
        """Where [n] a search has only just begun, and its agent's first word may still come."""
        self._grow(places)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.abs(now_seconds - self._columns[places, _BEGAN]) <= FIRST_WORD_SECONDS)

    def see(
        self, places: Places, used_bytes: Float64Array, sample_bytes: Float64Array, now_seconds: float
    ) -> BoolArray:
        """Take in [n] what is used by the agent's word (NaN: none) and by the usage source; return where the
        search goes on.
        """
        self._grow(places)
        now = self._columns[places]
        silent = np.isnan(used_bytes)
        with np.errstate(invalid="ignore"):
            rose = np.where(
                silent, sample_bytes > _above(now[:, _SAMPLE]), used_bytes > _above(now[:, _USED])
            )
            fell = silent | np.isnan(now[:, _MARK]) | (_above(used_bytes) < now[:, _MARK])
            rests = ~fell & (now_seconds - now[:, _FELL] >= REST_SECONDS)
            late = ~(np.abs(now_seconds - now[:, _BEGAN]) < LONGEST_SECONDS)
        np.fmin.at(self._columns[:, _USED], places, used_bytes)
        np.fmin.at(self._columns[:, _SAMPLE], places, sample_bytes)
        self._columns[places[fell], _FELL] = now_seconds
        marked = fell & ~silent
        self._columns[places[marked], _MARK] = used_bytes[marked]
        self.end(places[rose | rests | late])
        return self.going_on(places)

    def _grow(self, places: Places) -> None:
        self._columns = grown(self._columns, rows_up_to(places), np.nan)


# When it began, when use last fell (or was not told), and to what; the least use told, the least sample.
_BEGAN, _FELL, _MARK, _USED, _SAMPLE = range(5)


def _above(bytes_: Float64Array) -> Float64Array:
    """What is more than the same."""
    return bytes_ + np.fmax(MARGIN_RATIO * bytes_, MARGIN_BYTES)
