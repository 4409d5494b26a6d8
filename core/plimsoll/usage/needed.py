"""What a history is told where a policy's limits are made for needed memory (`limits.basis: needed`).

In: samples of a usage source, and what agents said last of the same containers (`Told`). Out: what of each
sample is needed, and why so (`Basis`). An agent tells hot memory and what reclaim could not take; one whose
container stalls or refaults above its budget tells all that is used, so the basis rises again by itself.
What came after the agent's word counts whole. Not knowing is caution: no word, an old one, one that makes
no sense, or a kill within a day, and all that is used counts; while a word is awaited, nothing is told.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from plimsoll.usage.grown import grown, rows_up_to
from plimsoll.usage.sample import DAY_SECONDS, HOUR_SECONDS, BoolArray, Float64Array

Places = npt.NDArray[np.integer]
CodeArray = npt.NDArray[np.int8]

# An agent speaks every ten seconds and a stream is opened anew within a minute; older, it says nothing.
FRESH_SECONDS = 120.0
# A forecast looks at needed memory alone once it has been known for so long: a day, and the hour it began in.
ALONE_HOURS = 25
LEARNED = "needed-basis"  # under this name a row's checkpoint keeps since when
EVERYTHING_HOURS = 1 << 20


class Basis(IntEnum):
    """What a row's history is told, and why; of several pods the highest counts."""

    UNASKED = 0  # no policy asks for needed memory
    NEEDED = 1
    AWAITED = 2  # known until a moment ago: nothing is told, and nothing is lowered
    STALE = 3  # the agent spoke, and has gone quiet
    UNTOLD = 4  # no agent has ever told what it needs
    KILLED = 5  # the kernel killed it within a day: what was thought not needed was

    @property
    def needed(self) -> bool:
        """True where the limit is made for what is needed."""
        return self is Basis.NEEDED

    @property
    def sentence(self) -> str:
        """Why, for people."""
        return _SENTENCES[self]


_SENTENCES = {
    Basis.UNASKED: "the policy asks for usage",
    Basis.NEEDED: "its agent tells what it needs; the rest is reclaimed before the limit falls",
    Basis.AWAITED: "its agent has not spoken yet since the operator started; nothing is lowered until then",
    Basis.STALE: f"its agent has not told what it needs for {FRESH_SECONDS:.0f} s; nothing is lowered on"
    " the forecast until it does",
    Basis.UNTOLD: "no agent tells what it needs: that takes coordination with the node's agent, and a"
    " reclaim.mode that lets it look",
    Basis.KILLED: "the kernel killed it within the last day: until then all that is used counts",
}


@dataclass(frozen=True, slots=True)
class Word:
    """What agents say of n containers. NaN: not said."""

    heard_seconds: Float64Array  # [n] by the clock of whoever heard it
    used_bytes: Float64Array  # [n] in the quantity that the history holds
    usage_bytes: Float64Array  # [n] all that is charged: nothing more can be needed
    needed_bytes: Float64Array  # [n]

    def take(self, places: Places) -> "Word":
        """The words of some of them."""
        columns = (self.heard_seconds, self.used_bytes, self.usage_bytes, self.needed_bytes)
        return Word(*(each[places] for each in columns))


def known(word: Word, now_seconds: float) -> BoolArray:
    """Where a word [n] is fresh and makes sense."""
    with np.errstate(invalid="ignore"):
        age = now_seconds - word.heard_seconds
        fresh = (age >= -FRESH_SECONDS) & (age <= FRESH_SECONDS)
        sense = (
            (word.needed_bytes >= 0.0) & (word.needed_bytes <= word.usage_bytes) & (word.used_bytes >= 0.0)
        )
    return np.asarray(fresh & sense & np.isfinite(word.usage_bytes))


def needed_of(
    sample_bytes: Float64Array, sample_seconds: Float64Array, word: Word, now_seconds: float
) -> Float64Array:
    """What of samples [n] is needed; the sample itself where no word speaks for now.

    A sample taken after the word may show growth that the word does not know: it all counts.
    """
    with np.errstate(invalid="ignore"):
        later = ~(sample_seconds <= word.heard_seconds)
        grew = np.where(later, np.maximum(sample_bytes - word.used_bytes, 0.0), 0.0)
        found = np.where(known(word, now_seconds), word.needed_bytes + grew, sample_bytes)
    return np.asarray(np.where(np.isfinite(sample_bytes), found, sample_bytes), dtype=np.float64)


def basis_of(word: Word, killed_seconds: Float64Array, awaited: BoolArray, now_seconds: float) -> CodeArray:
    """Why [n] what is told is told, for containers whose policy asks for needed memory.

    `killed_seconds` NaN: never. `awaited`: it was known before the operator started, a moment ago.
    """
    heard = np.isfinite(word.heard_seconds)
    code = np.where(heard, Basis.STALE, np.where(awaited, Basis.AWAITED, Basis.UNTOLD))
    code = np.where(known(word, now_seconds), Basis.NEEDED, code)
    with np.errstate(invalid="ignore"):
        killed = np.abs(now_seconds - killed_seconds) <= DAY_SECONDS
    return np.where(killed, Basis.KILLED, code).astype(np.int8)


class Told:
    """The newest word of each place of a table; it stays until the place is given to another."""

    def __init__(self) -> None:
        self._columns: Float64Array = np.empty((0, 4))  # as the fields of `Word`

    def take(self, places: Places, word: Word) -> None:
        """New words [n]; one without needed memory leaves the one before it, which grows old."""
        said = np.isfinite(word.needed_bytes)
        self._columns = grown(self._columns, rows_up_to(places), np.nan)
        columns = (word.heard_seconds, word.used_bytes, word.usage_bytes, word.needed_bytes)
        self._columns[places[said]] = np.column_stack(columns)[said]

    def forget(self, places: Places) -> None:
        """Others live here now."""
        self._columns = grown(self._columns, rows_up_to(places), np.nan)
        self._columns[places] = np.nan

    def of(self, places: Places) -> Word:
        """The words of places [n]."""
        self._columns = grown(self._columns, rows_up_to(places), np.nan)
        return Word(*self._columns[places].T)


class NeededSince:
    """Since when the rows of a history hold needed memory, and when that was last so."""

    def __init__(self) -> None:
        self._since: Float64Array = np.empty(0)
        self._last: Float64Array = np.empty(0)
        self._told = False  # of any row, ever: most of the time nobody is asked for needed memory

    def observe(self, rows: Places, codes: CodeArray, now_seconds: float) -> None:
        """What rows [n] were told now. A day of usage, a kill or another policy ends what was before."""
        self._grow(rows)
        since, last = self._since[rows], self._last[rows]
        needed = codes == Basis.NEEDED
        self._told = self._told or bool(needed.any())
        with np.errstate(invalid="ignore"):
            over = ~(np.abs(now_seconds - last) <= DAY_SECONDS)
        ended = ~needed & (over | (codes == Basis.UNASKED) | (codes == Basis.KILLED))
        begun = needed & (np.isnan(since) | over)
        self._since[rows] = np.where(begun, now_seconds, np.where(ended, np.nan, since))
        self._last[rows] = np.where(needed, now_seconds, np.where(ended, np.nan, last))

    def known(self, rows: Places) -> BoolArray:
        """Where rows [n] hold needed memory, of now or of the last day."""
        self._grow(rows)
        return np.isfinite(self._since[rows])

    def hours(self, rows: Places, now_seconds: float) -> npt.NDArray[np.int64]:
        """How far back [n] a forecast looks, so that it sees needed memory alone; else all there is."""
        if not self._told:
            return np.full(len(rows), EVERYTHING_HOURS, dtype=np.int64)
        self._grow(rows)
        with np.errstate(invalid="ignore"):
            whole = np.floor((now_seconds - self._since[rows]) / HOUR_SECONDS)
            alone = whole >= ALONE_HOURS
        return np.where(alone, whole - 1.0, EVERYTHING_HOURS).astype(np.int64)

    def learned(self, row: int) -> Mapping[str, float]:
        """What a checkpoint keeps of a row; empty where it holds usage."""
        if row >= len(self._since) or not np.isfinite(self._since[row]):
            return {}
        return {"since": float(self._since[row]), "last": float(self._last[row])}

    def relearn(self, row: int, numbers: Mapping[str, float]) -> None:
        """Take over what a checkpoint kept; what makes no sense is not known."""
        self._grow(np.array([row]))
        since, last = numbers.get("since", np.nan), numbers.get("last", np.nan)
        if 0.0 <= since <= last:
            self._since[row], self._last[row] = since, last
            self._told = True

    def forget(self, rows: Places) -> None:
        """Rows were freed or given to another container."""
        self._grow(rows)
        self._since[rows] = self._last[rows] = np.nan

    def _grow(self, rows: Places) -> None:
        self._since = grown(self._since, rows_up_to(rows), np.nan)
        self._last = grown(self._last, rows_up_to(rows), np.nan)
