"""The refault budget as an account: what a target allows over a window, what was spent of it, what is left.

In: accesses and refaults of each epoch. Out: how many refaults the coming epochs may cost. The account may be
drawn on before it is earned, within the window, so that reclaim does not wait for hundreds of epochs; what is
overdrawn is paid back by standing still until it is earned. In the node agent it says which blocks may be
offered; what a policy's budget means is the account in bytes (`control_budget`), which bounds what goes.
"""

from collections import deque

WINDOW_EPOCHS = 400  # longer: more may be borrowed early, and a burst is paid back more slowly
LEAST_HORIZON_EPOCHS = 100  # what is left is never spent faster than over so many epochs


class RefaultAccount:
    """Counts over the last `WINDOW_EPOCHS` epochs. Raises ValueError for a target outside (0, 1)."""

    def __init__(self, target: float) -> None:
        self.aim_at(target)
        self._accesses: deque[int] = deque(maxlen=WINDOW_EPOCHS)
        self._refaults: deque[int] = deque(maxlen=WINDOW_EPOCHS)

    def aim_at(self, target: float) -> None:
        """Change the target; what was booked stays."""
        if not 0 < target < 1:
            raise ValueError(f"a target of {target} refaults per accessed page-epoch is not between 0 and 1")
        self._target = target

    def record(self, accesses: int, refaults: int) -> None:
        """Book one epoch."""
        self._accesses.append(accesses)
        self._refaults.append(refaults)

    @property
    def spent(self) -> int:
        """Refaults in the window."""
        return sum(self._refaults)

    @property
    def horizon_epochs(self) -> int:
        """Over how many epochs what is left is spread."""
        return max(LEAST_HORIZON_EPOCHS, WINDOW_EPOCHS - len(self._accesses))

    def allowance(self, future: float = 1.0) -> float:
        """Refaults allowed over the whole window, with `future` times the present rate in its rest."""
        if not self._accesses:
            return 0.0
        seen = sum(self._accesses)
        ahead = (WINDOW_EPOCHS - len(self._accesses)) * seen / len(self._accesses)
        return self._target * (seen + future * ahead)

    def per_epoch(self) -> float:
        """Refaults that each coming epoch may cost; zero or less: stand still and pay back."""
        return (self.allowance() - self.spent) / self.horizon_epochs
