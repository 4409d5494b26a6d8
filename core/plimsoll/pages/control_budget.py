"""The refault budget as an account: what is touched earns, what has to be brought back spends.

In: bytes touched, brought back and taken since the last entry. Out: how much may be taken now so that the
share of it that is expected back is still paid for. The account is what makes the budget hold over time and
not only on average over containers: refaults come minutes after the reclaim that caused them, and a rate
measured now says nothing of the debt already made. What was taken lately is therefore reserved for at the
share that is expected back, which is learnt from the container itself and starts out pessimistic.
"""

import math
from dataclasses import dataclass

# What is saved up at most, in seconds of earning: a longer memory lets a quiet night pay for a bad morning.
SAVED_SECONDS = 300.0
# A debt deeper than so many seconds of earning is forgiven: a container is not left alone for ever.
OWED_SECONDS = 1800.0
# Takes and returns are forgotten with this time constant: programs change.
MEMORY_SECONDS = 1800.0
# Before anything was seen: of so much memory taken, half came back.
PRIOR_TAKEN_BYTES = 8 << 20
PRIOR_RETURN_RATIO = 0.5
# Until it is known what of it comes back, what was taken is reserved for; it fades with this time constant.
PENDING_SECONDS = 300.0
LEAST_RETURN_RATIO = 0.002  # nobody is believed to return nothing


@dataclass(slots=True)
class RefaultBudget:
    """One container's account; amounts in bytes."""

    ratio: float
    """Of what is touched, the share that may be brought back."""
    balance_bytes: float = 0.0
    earned_per_second: float = 0.0
    taken_bytes: float = 0.0
    returned_bytes: float = 0.0
    pending_bytes: float = 0.0
    _seconds: float = 0.0

    def enter(self, elapsed_seconds: float, touched_bytes: float, returned_bytes: float) -> None:
        """Book what happened in so many seconds."""
        kept = math.exp(-elapsed_seconds / MEMORY_SECONDS)
        self.taken_bytes *= kept
        self.returned_bytes = self.returned_bytes * kept + returned_bytes
        self.pending_bytes *= math.exp(-elapsed_seconds / PENDING_SECONDS)
        earned = self.ratio * touched_bytes
        self._seconds += elapsed_seconds
        # The pace of earning is smoothed over a minute, and over what there is before that.
        gain = 1.0 - math.exp(-elapsed_seconds / min(60.0, max(self._seconds, elapsed_seconds)))
        self.earned_per_second += gain * (earned / elapsed_seconds - self.earned_per_second)
        most, least = (self.earned_per_second * each for each in (SAVED_SECONDS, -OWED_SECONDS))
        self.balance_bytes = min(most, max(least, self.balance_bytes + earned - returned_bytes))

    def took(self, taken_bytes: float) -> None:
        """Book what was taken from the container."""
        self.taken_bytes += max(0.0, taken_bytes)
        self.pending_bytes += max(0.0, taken_bytes)

    @property
    def return_ratio(self) -> float:
        """Share of what is taken that comes back, by what has been out long enough to tell."""
        returned = self.returned_bytes + PRIOR_RETURN_RATIO * PRIOR_TAKEN_BYTES
        told = max(self.taken_bytes - self.pending_bytes, 0.0) + PRIOR_TAKEN_BYTES
        return min(1.0, max(LEAST_RETURN_RATIO, returned / told))

    def allowance_bytes(self, share: float = 1.0) -> float:
        """What may be taken so that its expected return costs no more than a share of the balance."""
        return max(0.0, share * self.balance_bytes / self.return_ratio - self.pending_bytes)

    @property
    def is_deep_in_debt(self) -> bool:
        """Whether more came back than a minute earns, over all that had been saved."""
        return self.balance_bytes < -60.0 * self.earned_per_second
