"""What rows look like, found with each decision: their class, and whether they leak.

In: rows that are due and where they live. Out: `RowShapes`. A leak is looked for once an hour a row, as
often as it is decided about, in the worker process, so that the loop is not held up.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.window import chunks, read_window
from plimsoll.forecast.workload_class import ClassMemory, WorkloadClass, workload_classes
from plimsoll.leak.detect import DEFAULT_WINDOW_HOURS, find_leaks
from plimsoll.leak.watch import LeakWatch
from plimsoll.usage.grown import grown
from plimsoll_operator.engine.messages import RowShapes, no_shapes
from plimsoll_operator.engine.rows import RowArray, Store

FIRST_ROWS = 1024


class Shapes:
    """Class and leak of every row, by the main process's ids."""

    def __init__(self) -> None:
        self._classes = ClassMemory(FIRST_ROWS)
        self._leaks = LeakWatch(FIRST_ROWS)
        self._window_hours: npt.NDArray[np.int32] = np.full(FIRST_ROWS, DEFAULT_WINDOW_HOURS, dtype=np.int32)

    def tell(self, row: int, window_hours: int) -> None:
        """How long a row's growth must have lasted, by its policy."""
        self._window_hours = grown(self._window_hours, row + 1, DEFAULT_WINDOW_HOURS)
        self._window_hours[row] = window_hours

    def forget(self, rows: RowArray) -> None:
        """Rows were freed or given to another container."""
        self._classes.forget(rows)
        self._leaks.forget(rows)

    def look(self, due: Iterable[tuple[RowArray, RowArray, Store]], now_seconds: float) -> RowShapes:
        """Look at (rows, their places, the store they live in), by chunks so that memory stays bounded."""
        parts = [
            self._look(rows[part], places[part], store, now_seconds)
            for rows, places, store in due
            for part in chunks(len(rows))
        ]
        return _joined(parts) if parts else no_shapes()

    def explain(self, row: int) -> dict[str, object]:
        """What was last told of one row, in plain values."""
        rows = np.array([row], dtype=np.int32)
        since = float(self._leaks.since_seconds(rows)[0])
        return {
            "workload_class": WorkloadClass(self._classes.told(rows)[0]).label,
            "leaks_since_seconds": since if np.isfinite(since) else None,
        }

    def _look(self, rows: RowArray, places: RowArray, store: Store, now_seconds: float) -> RowShapes:
        window, starts = read_window(store.history, places), store.history.restarts(places).seconds
        codes = self._classes.look(rows, workload_classes(window, starts, now_seconds))
        found = find_leaks(window, starts, now_seconds, self._window_hours[rows])
        told = self._leaks.look(rows, found, now_seconds)
        slopes = (
            np.where(told.leaks, each, np.nan) for each in (found.slope, found.slope_low, found.slope_high)
        )
        return RowShapes(rows, codes, told.leaks, told.since_seconds, *slopes)


def _joined(parts: list[RowShapes]) -> RowShapes:
    """The shapes of all parts; there is at least one."""
    columns = ("rows", "workload_class", "leaks", "since_seconds", "slope", "slope_low", "slope_high")
    return RowShapes(*(np.concatenate([getattr(each, name) for each in parts]) for name in columns))
