"""What rows look like, found with each decision: their class, and whether they leak.

In: rows that are due, and the window that the decision about them looked at. Out: `RowShapes`. A leak is
looked for once an hour a row, as often as it is decided about, in the worker process, so that the loop is
not held up.
"""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.window import UsageWindow
from plimsoll.forecast.workload_class import ClassMemory, WorkloadClass, workload_classes
from plimsoll.leak.detect import DEFAULT_WINDOW_HOURS, find_leaks
from plimsoll.leak.watch import LeakWatch
from plimsoll.usage.events import Starts
from plimsoll.usage.grown import grown
from plimsoll.usage.promises import Record
from plimsoll_operator.engine.messages import RowShapes, no_shapes
from plimsoll_operator.engine.rows import RowArray

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

    def look(self, rows: RowArray, window: UsageWindow, starts: Starts, now_seconds: float) -> RowShapes:
        """Look at the windows of a chunk of rows [n]; `starts` [n, k]: the last of their processes."""
        codes = self._classes.look(rows, workload_classes(window, starts, now_seconds))
        found = find_leaks(window, starts.seconds, now_seconds, self._window_hours[rows])
        told = self._leaks.look(rows, found, now_seconds)
        slopes = (
            np.where(told.leaks, each, np.nan) for each in (found.slope, found.slope_low, found.slope_high)
        )
        return RowShapes(rows, codes, told.leaks, told.since_seconds, *slopes)

    def kept(self, rows: RowArray, record: Record) -> dict[str, tuple[float, float]]:
        """Exceedances that were promised to rows [n] and that came, by the class that is told of them."""
        codes = self._classes.told(rows)
        sums = (np.bincount(codes, each, len(WorkloadClass)) for each in (record.promised, record.exceeded))
        promised, came = (each.tolist() for each in sums)
        return {each.label: (promised[each], came[each]) for each in WorkloadClass if promised[each] > 0}


def joined_shapes(parts: Sequence[RowShapes]) -> RowShapes:
    """The shapes of all parts, one after the other."""
    if not parts:
        return no_shapes()
    names = (each.name for each in fields(RowShapes))
    return RowShapes(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
