"""The main process's rows and where each lives: in which history, at which place, and when it is due.

In: row ids and the containers they stand for. Out: places in the history of the row's quantity. A row
outlives its pods (a workload scaled to zero keeps what it has taught) until it is forgotten or given to
another container. Decisions are hourly and staggered by the key, so that 100,000 rows do not come due
together.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.prophet_desk import ProphetDesk
from plimsoll.forecast.refit_desk import RefitDesk
from plimsoll.forecast.registry import DEFAULT_MODEL, prophet_with
from plimsoll.need_pipeline import NeedPipeline
from plimsoll.pipeline import PipelineSettings
from plimsoll.usage.grown import grown
from plimsoll.usage.history import History
from plimsoll.usage.sample import BINS_PER_HOUR, BoolArray, Quantity, bin_of
from plimsoll.workload import ContainerKey

# Address space, not memory: pages of rows that were never used are not resident. Growing would copy.
RESERVED_ROWS = 131_072
FIRST_ROWS = 1024
NEVER = -1  # a row that no decision was made for
QUANTITIES = tuple(Quantity)  # the code of a quantity is its place here

RowMeaning = tuple[ContainerKey, Quantity]
RowArray = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Store:
    """All rows of one quantity: their history, the pipeline over it, and what is fitted beside it."""

    history: History
    pipeline: NeedPipeline
    prophet: ProphetDesk
    refits: RefitDesk | None = None  # None: nothing is learned of the cluster


class RowTable:
    """Columns over the main process's row ids."""

    def __init__(
        self,
        settings: PipelineSettings | None = None,
        no_prophet: str = "",
        refits: Callable[[Quantity], RefitDesk | None] = lambda _: None,
    ) -> None:
        """`no_prophet`: why rows whose policy names that model cannot have it; "": they can."""
        self._refits = refits
        self._settings = settings
        self._no_prophet = no_prophet
        self.stores: dict[Quantity, Store] = {}
        self.keys: dict[int, ContainerKey] = {}
        self._quantity: npt.NDArray[np.int8] = np.full(FIRST_ROWS, -1, dtype=np.int8)
        self._place: RowArray = np.full(FIRST_ROWS, -1, dtype=np.int32)
        self._phase: npt.NDArray[np.int64] = np.zeros(FIRST_ROWS, dtype=np.int64)
        self._decided_bin: npt.NDArray[np.int64] = np.full(FIRST_ROWS, NEVER, dtype=np.int64)

    def __len__(self) -> int:
        """Row ids there is room for; not all are in use."""
        return len(self._place)

    def assign(self, wanted: Mapping[int, RowMeaning]) -> list[int]:
        """Make sure that rows stand for these containers; returns those that did not before."""
        self._grow(max(wanted, default=-1) + 1)
        new = [row for row, meaning in wanted.items() if not self._stands_for(row, meaning)]
        self.forget(tuple(new))
        for quantity in QUANTITIES:
            mine = [row for row in new if wanted[row][1] == quantity]
            if mine:
                self._place[mine] = self._store(quantity).history.add_rows(len(mine))
                self._quantity[mine] = QUANTITIES.index(quantity)
        for row in new:
            key = self.keys[row] = wanted[row][0]
            self._phase[row] = zlib.crc32(str(key).encode()) % BINS_PER_HOUR
            lessons = self.store(row).refits
            if lessons is not None:
                code = zlib.crc32(str(key.workload).encode())
                lessons.book.tell(self.place(row), np.array([code], dtype=np.int64))
        self._decided_bin[new] = NEVER
        return new

    def _stands_for(self, row: int, meaning: RowMeaning) -> bool:
        key, quantity = meaning
        return self.keys.get(row) == key and QUANTITIES[int(self._quantity[row])] == quantity

    def forget(self, rows: tuple[int, ...]) -> None:
        """Drop rows and their history; unknown ones change nothing."""
        for row in rows:
            if self.keys.pop(row, None) is None:
                continue
            store = self.stores[self.quantity(row)]
            place = self._place[row : row + 1].copy()
            store.pipeline.forget(place)
            store.prophet.forget(int(place[0]))
            store.history.free_rows(place)
            self._quantity[row] = -1
            self._place[row] = -1

    def known(self, row: int) -> bool:
        """True for a row that stands for a container."""
        return row in self.keys

    def quantity(self, row: int) -> Quantity:
        """Return what the row's history holds."""
        return QUANTITIES[int(self._quantity[row])]

    def store(self, row: int) -> Store:
        """Return the store the row lives in."""
        return self.stores[self.quantity(row)]

    def places(self, rows: RowArray) -> RowArray:
        """Return where rows live in their histories, [n]."""
        places: RowArray = self._place[rows]
        return places

    def place(self, row: int) -> RowArray:
        """Return where one row lives, [1]."""
        return self._place[row : row + 1]

    def of_quantity(self, rows: RowArray, quantity: Quantity) -> RowArray:
        """Return those of `rows` that hold `quantity`, in order."""
        mine: RowArray = rows[self.holding(rows, quantity)]
        return mine

    def by_store(self, rows: RowArray) -> Iterator[tuple[RowArray, Store]]:
        """Rows with the store they are in, store by store."""
        for quantity, store in self.stores.items():
            mine = self.of_quantity(rows, quantity)
            if len(mine):
                yield mine, store

    def holding(self, rows: RowArray, quantity: Quantity) -> BoolArray:
        """Return where `rows` hold `quantity`, [n]; False for -1, no row at all."""
        return np.asarray((rows >= 0) & (self._quantity[rows] == QUANTITIES.index(quantity)))

    def due(self, rows: RowArray, now_seconds: float) -> RowArray:
        """Return those of `rows` for which a decision is due in this bin."""
        present = bin_of(now_seconds)
        decided = self._decided_bin[rows]
        turn = ((present - self._phase[rows]) % BINS_PER_HOUR == 0) & (decided != present)
        # An hour missed, never decided, or decided in a future that a clock has since taken back.
        late = (decided == NEVER) | (present - decided >= BINS_PER_HOUR) | (decided > present)
        due: RowArray = rows[turn | late]
        return due

    def decided(self, rows: RowArray, now_seconds: float) -> None:
        """Remember that decisions were made for `rows`."""
        self._decided_bin[rows] = bin_of(now_seconds)

    def due_at_once(self, rows: RowArray) -> None:
        """Their history is another one now: decide at the next occasion."""
        self._decided_bin[rows] = NEVER

    def _store(self, quantity: Quantity) -> Store:
        if quantity not in self.stores:
            history = History(quantity, capacity=RESERVED_ROWS)
            desk = ProphetDesk(history, self._no_prophet)
            refits = self._refits(quantity)
            own = {} if refits is None else {DEFAULT_MODEL: refits.model}
            models = {"prophet": prophet_with(desk.book), **own}
            lessons = None if refits is None else refits.book
            pipeline = NeedPipeline(history, self._settings, models=models, lessons=lessons, usage_models=own)
            self.stores[quantity] = Store(history, pipeline, desk, refits)
        return self.stores[quantity]

    def _grow(self, count: int) -> None:
        self._quantity = grown(self._quantity, count, -1)
        self._place = grown(self._place, count, -1)
        self._phase = grown(self._phase, count, 0)
        self._decided_bin = grown(self._decided_bin, count, NEVER)
