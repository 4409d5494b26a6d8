"""Which row number stands for which container, and when a number may be given to another.

In: containers that are told to the engine and taken back. Out: row numbers. A row outlives its pods by a
day, so that a rollout, a scale to zero over night or tomorrow's run of a job finds its history warm; then
its number goes back and its history with it. Nothing is lost by that: the profile holds a checkpoint, and
who comes back later is restored from it. Otherwise churn would fill the engine with rows of the dead.
"""

from plimsoll.workload import ContainerKey

IDLE_SECONDS = 86_400.0


class RowIds:
    """Rows by container, with the number of live containers that feed each."""

    def __init__(self) -> None:
        self._row_of: dict[ContainerKey, int] = {}
        self._keys: dict[int, ContainerKey] = {}
        self._free: list[int] = []
        self._next = 0
        self._members: dict[int, int] = {}
        self._idle_since: dict[int, float] = {}

    def __len__(self) -> int:
        """Rows in use."""
        return len(self._keys)

    def row(self, key: ContainerKey) -> int:
        """The row of a container; a new one where it has none."""
        number = self._row_of.get(key)
        if number is not None:
            return number
        if self._free:
            number = self._free.pop()
        else:
            number, self._next = self._next, self._next + 1
        self._row_of[key], self._keys[number] = number, key
        return number

    def row_of(self, key: ContainerKey) -> int | None:
        """The row of a container, None where it has none."""
        return self._row_of.get(key)

    def key(self, row: int) -> ContainerKey | None:
        """What a row stands for, None for one that was given back."""
        return self._keys.get(row)

    def join(self, row: int) -> None:
        """One more live container feeds the row."""
        self._members[row] = self._members.get(row, 0) + 1
        self._idle_since.pop(row, None)

    def leave(self, row: int, now_seconds: float) -> None:
        """One fewer does."""
        self._members[row] -= 1
        if not self._members[row]:
            del self._members[row]
            self._idle_since[row] = now_seconds

    def expire(self, now_seconds: float) -> dict[int, ContainerKey]:
        """Give back the rows that nothing has fed for a day; returns what they stood for."""
        gone = [row for row, since in self._idle_since.items() if now_seconds - since >= IDLE_SECONDS]
        freed = {row: self._keys.pop(row) for row in gone}
        for row, key in freed.items():
            del self._row_of[key], self._idle_since[row]
        self._free += gone
        return freed
