"""How many rows are heard of in an hour, while they come a few at a time.

In: so many more in this hour. Out: the larger of this hour's so far and all of the hour before, at least one.
"""


class InAnHour:
    """A count of this hour and of the one before."""

    def __init__(self) -> None:
        self._hour, self._count, self._before = 0, 0, 0

    def heard(self, rows: int, hour: int) -> int:
        """Count `rows` in; it is now `hour`. Returns how many come in an hour."""
        if hour != self._hour:
            self._hour, self._count, self._before = hour, 0, self._count
        self._count += rows
        return max(self._count, self._before, 1)
