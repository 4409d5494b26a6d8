"""The refault budget as an account: what is touched earns, what has to be brought back spends.

In: bytes touched, brought back and taken since the last entry. Out: how much may be taken now so that what is
expected back is still paid for. The account is what makes the budget hold over time and not only on average
over containers: refaults come minutes after the reclaim that caused them, and a rate measured now says
nothing of the debt already made.

What is expected back is learnt by exposure: memory that has been out for long and did not come back is
evidence just as memory that did. The hazard of return is (returned + a) / (bytes x seconds out + b), a Gamma
prior chosen so that of what a container loses first half is expected back within `HORIZON_SECONDS`. What is
out is reserved for at that hazard, so that depth ends where it would return faster than the account earns.

What is out counts as touched once in `HELD_SECONDS` where less than that is touched: an idle container earns
by what it does without. In debt its whole memory counts so, once nothing comes back any more: it is not left
alone for ever. THE BOUND, whatever a program does: as long as nothing is taken while the account owes more
than `SLACK_BYTES`, over any stretch of T seconds

    refaults <= ratio x (touched + memory x T / HELD_SECONDS) + memory + SLACK_BYTES

with memory the most that the container held, what was out included: beyond the budget of what it touches,
its memory once, and by a budget of 1 % once more in eight hours, if it goes out of its way to be hurt.
"""

import math
from dataclasses import dataclass

from plimsoll.pages.control_probe import SLACK_BYTES

# What is saved up at most, in seconds of earning: a longer memory lets a quiet night pay for a bad morning.
SAVED_SECONDS = 300.0
# A debt deeper than so many seconds of earning, and than its whole memory, is forgiven.
OWED_SECONDS = 1800.0
# Returns and exposure are forgotten with this time constant: programs change.
MEMORY_SECONDS = 4 * 3600.0
# What the program has freed meanwhile is not out any more, and nobody tells.
OUT_SECONDS = 86_400.0
HORIZON_SECONDS = 300.0
HELD_SECONDS = 300.0
# Before anything was seen: of so much memory taken, half comes back within the horizon.
PRIOR_TAKEN_BYTES = 8 << 20
PRIOR_RETURN_RATIO = 0.5
PRIOR_RETURNED_BYTES = PRIOR_RETURN_RATIO * PRIOR_TAKEN_BYTES
PRIOR_BYTE_SECONDS = PRIOR_RETURNED_BYTES * HORIZON_SECONDS / -math.log(1.0 - PRIOR_RETURN_RATIO)
LEAST_RETURN_RATIO = 0.0005  # nobody is believed to return nothing
LATELY_SECONDS = 300.0


@dataclass(slots=True)
class RefaultBudget:
    """One container's account; amounts in bytes."""

    ratio: float
    """Of what is touched, the share that may be brought back."""
    balance_bytes: float = 0.0
    earned_per_second: float = 0.0
    out_bytes: float = 0.0
    """Taken, and not come back."""
    out_byte_seconds: float = 0.0
    returned_bytes: float = 0.0
    memory_bytes: float = 0.0
    """The most it lately held, what is out included."""
    age_back_seconds: float = 0.0
    """How long what came back in the last entry had been out, times its share of all that was out."""
    _lately_bytes: float = 0.0
    _aged_byte_seconds: float = 0.0
    _seconds: float = 0.0

    def enter(
        self, elapsed_seconds: float, touched_bytes: float, returned_bytes: float, usage_bytes: float = 0.0
    ) -> float:
        """Book what happened in so many seconds; returns what was earned in them."""
        self._expose(elapsed_seconds, returned_bytes, usage_bytes)
        self._lately_bytes *= math.exp(-elapsed_seconds / LATELY_SECONDS)
        self._lately_bytes += returned_bytes
        earned = self.ratio * max(touched_bytes, self._held_bytes() * elapsed_seconds / HELD_SECONDS)
        self._seconds += elapsed_seconds
        # The pace of earning is smoothed over a minute, and over what there is before that.
        gain = 1.0 - math.exp(-elapsed_seconds / min(60.0, max(self._seconds, elapsed_seconds)))
        self.earned_per_second += gain * (earned / elapsed_seconds - self.earned_per_second)
        # An idle container can save, and owe, too.
        most = max(SAVED_SECONDS * self.earned_per_second, SLACK_BYTES)
        self.balance_bytes = min(most, max(self._least_bytes, self.balance_bytes + earned - returned_bytes))
        return earned

    def charge(self, returned_bytes: float, usage_bytes: float = 0.0) -> float:
        """Book what came back in a time of which nothing else is known; returns what was charged.

        Nothing is earned in it, so that no more is charged than what was out: the rest was not taken here.
        """
        charged = min(returned_bytes, self.out_bytes)
        self._expose(0.0, charged, usage_bytes)
        self.balance_bytes = max(self._least_bytes, self.balance_bytes - charged)
        return charged

    def took(self, taken_bytes: float) -> None:
        """Book what was taken from the container."""
        self.out_bytes += max(0.0, taken_bytes)

    @property
    def return_ratio(self) -> float:
        """Share of what is out that is expected back within the horizon."""
        returned = self.returned_bytes + PRIOR_RETURNED_BYTES
        hazard = returned / (self.out_byte_seconds + PRIOR_BYTE_SECONDS)
        return max(LEAST_RETURN_RATIO, -math.expm1(-hazard * HORIZON_SECONDS))

    def allowance_bytes(self, share: float = 1.0) -> float:
        """What may be taken so that the expected return of all that is out costs no more than a share of the
        balance.
        """
        return max(0.0, share * self.balance_bytes / self.return_ratio - self.out_bytes)

    @property
    def may_borrow(self) -> bool:
        """Whether something may be taken on trial: there is a budget, and nothing to be paid off before."""
        return self.ratio > 0.0 and self.balance_bytes >= -SLACK_BYTES

    @property
    def is_deep_in_debt(self) -> bool:
        """Whether more came back than a minute earns, over all that had been saved."""
        return self.balance_bytes < -max(60.0 * self.earned_per_second, SLACK_BYTES)

    @property
    def still_returns(self) -> bool:
        """Whether something worth a word came back in the last minutes."""
        return self._lately_bytes > SLACK_BYTES

    @property
    def _least_bytes(self) -> float:
        return -max(OWED_SECONDS * self.earned_per_second, self.memory_bytes + SLACK_BYTES)

    def _held_bytes(self) -> float:
        in_debt = self.balance_bytes < 0.0 and not self.still_returns
        return self.memory_bytes if in_debt else self.out_bytes

    def _expose(self, elapsed_seconds: float, returned_bytes: float, usage_bytes: float) -> None:
        kept = math.exp(-elapsed_seconds / MEMORY_SECONDS)
        forgotten = math.exp(-elapsed_seconds / OUT_SECONDS)
        out = self.out_bytes * forgotten
        aged = self._aged_byte_seconds * forgotten + out * elapsed_seconds
        back = min(1.0, returned_bytes / out) if out > 0.0 else 0.0
        self.age_back_seconds = back * aged / out if out > 0.0 else 0.0
        self._aged_byte_seconds = (1.0 - back) * aged
        self.out_bytes = max(0.0, out - returned_bytes)
        # When within this time it came back nobody knows: it counts as having been out for none of it.
        self.out_byte_seconds = self.out_byte_seconds * kept + self.out_bytes * elapsed_seconds
        self.returned_bytes = self.returned_bytes * kept + returned_bytes
        self.memory_bytes = max(self.memory_bytes * forgotten, usage_bytes + self.out_bytes)
