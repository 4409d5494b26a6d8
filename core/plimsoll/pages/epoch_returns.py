"""What came back, and from how cold: the evidence that a reclaim threshold is set by.

In: each epoch's pages by their level of coldness, out or resident alike, for the accessed bit shows both: a
resident page that is touched after a long gap is a refault that would have been. Out, for every threshold:
how many refaults an epoch would cost on average, and which part of the pages beyond it may come back at once.

Absent evidence is replaced, not ignored: a page idle for a epochs is first taken to return at a rate of
PRIOR_RATE / a, and a level that was watched for t epochs without a mass return may yet see one in the coming
h with a chance of h / (h + 0.7 t): close to Laplace's rule for what has never happened yet.
"""

import numpy as np

from plimsoll.pages.epochs import FloatArray, IntArray

LEVELS = 320
PRIOR_RATE, PRIOR_EPOCHS = 0.5, 30.0  # more: a slower start
RECENT_DECAY = 0.85  # a mass return is what came back within some six epochs
WATCHED_WEIGHT = 0.7  # more: epochs without a mass return make one less likely sooner
FEWEST_PAGES, LEAST_SHARE = 20, 0.005  # a smaller stock beyond a level says nothing about it


class ReturnEvidence:
    """Counts [LEVELS]; entry k is of all pages at level k or colder."""

    def __init__(self) -> None:
        self._epochs = 0
        self._returns: FloatArray = np.zeros(LEVELS)
        self._recent: FloatArray = np.zeros(LEVELS)
        self._worst: FloatArray = np.zeros(LEVELS)
        self._watched: FloatArray = np.zeros(LEVELS)
        self._stock: FloatArray = np.zeros(LEVELS)
        self._prior: FloatArray = np.zeros(LEVELS)

    @property
    def stock(self) -> FloatArray:
        """[LEVELS] idle pages at each level or colder, out or resident, in the newest epoch."""
        return self._stock

    def take(self, returned: IntArray, stock: IntArray, idle_epochs: IntArray) -> None:
        """One epoch: levels of the pages that were touched, as they were before; levels [m] of those that
        were not, and their idle ages [m].
        """
        back = beyond(returned)
        self._epochs += 1
        self._returns += back
        self._note_mass_return(back, max(FEWEST_PAGES, LEAST_SHARE * (len(stock) + len(returned))))
        self._stock = beyond(stock)
        self._prior = PRIOR_RATE * beyond(stock, np.reciprocal(idle_epochs + 1.0, dtype=np.float64))

    def refaults_per_epoch(self) -> FloatArray:
        """[LEVELS] mean refaults an epoch with the threshold at each level."""
        expected: FloatArray = (self._returns + PRIOR_EPOCHS * self._prior) / (self._epochs + PRIOR_EPOCHS)
        return expected

    def mass_return(self, horizon_epochs: float, within_levels: int) -> tuple[FloatArray, FloatArray]:
        """[LEVELS] which part may come back at once within the horizon; which part once did.

        What happened counts for levels up to `within_levels` colder, too: a threshold just above the last
        burst is no safer than one just below it.
        """
        seen = np.concatenate([np.full(within_levels, self._worst[0]), self._worst[: LEVELS - within_levels]])
        unseen = horizon_epochs / (horizon_epochs + WATCHED_WEIGHT * self._watched)
        return np.maximum(seen, unseen), seen

    def _note_mass_return(self, back: FloatArray, fewest: float) -> None:
        self._recent = self._recent * RECENT_DECAY + back
        left = np.maximum(self._stock - back, 0.0)
        self._watched += self._stock >= fewest
        enough = left + self._recent >= fewest
        share = self._recent / np.maximum(left + self._recent, 1.0)
        self._worst = np.where(enough, np.maximum(self._worst, share), self._worst)


def beyond(level: IntArray, weight: FloatArray | None = None) -> FloatArray:
    """[LEVELS] how many (or how much weight) lie at each level or colder."""
    counts: FloatArray = np.bincount(level, weight, LEVELS).astype(np.float64)
    above: FloatArray = np.cumsum(counts[::-1])[::-1]
    return above
