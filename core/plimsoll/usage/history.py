"""What every container used: five-minute maxima for a day, hourly maxima for 28 days, its OOM kills, what it
was promised, and since when it runs its image.

In: batches of samples of all containers at once. Out: windows of maxima, oldest first, missing bins NaN.
A row belongs to a `ContainerKey`; the caller keeps the map. Columnar, so that 100,000 containers are a few
numpy calls: 4.3 KB a row, rings over absolute bins (`floor(unix_seconds / 300)`) and hours.
"""

import numpy as np
import numpy.typing as npt

from plimsoll.usage.checkpoint import Learned, RowState, decode, encode
from plimsoll.usage.events import EventLog, Events, Starts, as_column
from plimsoll.usage.images import ImageLog
from plimsoll.usage.promises import PromiseLog
from plimsoll.usage.ring import Ring, slots_between
from plimsoll.usage.sample import (
    BIN_SECONDS,
    BINS_PER_HOUR,
    HOUR_SECONDS,
    MAX_PLAUSIBLE_BYTES,
    AppendReport,
    BoolArray,
    Float32Array,
    Float64Array,
    IntArray,
    Quantity,
    judge,
    round_up_float32,
)
from plimsoll.usage.timeline import ClockStep, Timeline

FIVE_MINUTE_BINS = 288  # one day
HOURLY_BINS = 672  # 28 days: four of each weekday
# A start that was not seen throttled for so long is through: three samples of Prometheus at most are missing.
THROTTLED_GAP_SECONDS = 600.0
# Who is throttled for longer is always throttled: that is no start any more.
THROTTLED_START_SECONDS = 3.0 * HOUR_SECONDS

Rows = npt.ArrayLike  # [n] row numbers, any integer type


class History:
    """Maxima and events of up to `capacity` rows (it grows), all of one quantity."""

    def __init__(self, quantity: Quantity, capacity: int = 1024) -> None:
        self.quantity = quantity
        self._time = Timeline()
        self._used = 0  # rows ever handed out; those beyond were never touched
        self._free: list[int] = []
        self._five = Ring(capacity, FIVE_MINUTE_BINS)
        self._hour = Ring(capacity, HOURLY_BINS)
        self._ooms = EventLog(capacity)
        self._restarts = EventLog(capacity)
        self.promises = PromiseLog(capacity)
        self.images = ImageLog(capacity)
        self._live: BoolArray = np.zeros(capacity, dtype=np.bool_)
        self._first_seen: Float64Array = np.full(capacity, np.nan)
        self._last_seen: Float64Array = np.full(capacity, np.nan)
        self._newest: Float64Array = np.zeros(capacity)  # bytes of the newest sample
        # The most that two samples in a row were, since the last known start: one alone may be a slip.
        self._reached: Float64Array = np.zeros(capacity)

    # -- rows ---------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Rows in use."""
        return self._used - len(self._free)

    @property
    def capacity(self) -> int:
        """Rows there is room for before it grows."""
        return len(self._live)

    def add_rows(self, count: int) -> npt.NDArray[np.int32]:
        """`count` empty rows, recycled ones first."""
        recycled = [self._free.pop() for _ in range(min(count, len(self._free)))]
        fresh = range(self._used, self._used + count - len(recycled))
        if fresh.stop > self.capacity:
            self._grow(max(fresh.stop, self.capacity + self.capacity // 2))
        self._used = fresh.stop
        rows = np.array([*recycled, *fresh], dtype=np.int64)
        self._reset(rows)
        self._live[rows] = True
        return rows.astype(np.int32)

    def free_rows(self, rows: Rows) -> None:
        """Give rows back; their history is gone. Freeing a free row changes nothing."""
        index = np.unique(np.asarray(rows, dtype=np.int64))
        index = index[self._known(index)]
        self._live[index] = False
        self._free.extend(index.tolist())

    def _grow(self, capacity: int) -> None:
        for store in (self._five, self._hour, self._ooms, self._restarts):
            store.grow(capacity, self._used)
        self.promises.grow(capacity)
        self.images.grow(capacity)
        extra = capacity - self.capacity
        self._live = np.concatenate([self._live, np.zeros(extra, dtype=np.bool_)])
        self._first_seen = np.concatenate([self._first_seen, np.full(extra, np.nan)])
        self._last_seen = np.concatenate([self._last_seen, np.full(extra, np.nan)])
        self._newest = np.concatenate([self._newest, np.zeros(extra)])
        self._reached = np.concatenate([self._reached, np.zeros(extra)])

    def _reset(self, rows: IntArray) -> None:
        for store in (self._five, self._hour, self._ooms, self._restarts, self.promises, self.images):
            store.reset(rows)
        self._first_seen[rows] = np.nan
        self._last_seen[rows] = np.nan
        self._newest[rows] = 0.0
        self._reached[rows] = 0.0

    def _known(self, rows: IntArray) -> BoolArray:
        inside = (rows >= 0) & (rows < self._used)
        return inside & self._live[np.where(inside, rows, 0)]

    def _checked(self, rows: Rows) -> IntArray:
        index = np.atleast_1d(np.asarray(rows, dtype=np.int64))
        known = self._known(index)
        if not known.all():
            raise IndexError(f"history row {int(index[~known][0])} is not in use")
        return index

    # -- time ---------------------------------------------------------------------------------------------

    @property
    def now_seconds(self) -> float:
        """The present as the history believes it; NaN before the first reading."""
        return self._time.now_seconds

    @property
    def current_bin(self) -> int:
        """The bin that holds the present: the last column of `five_minute`. 0 before the first reading."""
        return self._time.current_bin or 0

    def advance(self, now_seconds: float) -> ClockStep:
        """Move the present; what falls out of the windows is forgotten.

        A clock that jumps back, or more than an hour forward, is ignored until it has stayed there for ten
        minutes. Where it stays back, maxima of the bins that never were are kept in the present one.
        """
        before = self._time.current_bin
        step = self._time.step(now_seconds)
        if before is not None and step in (ClockStep.MOVED, ClockStep.REWOUND):
            self._shift(before, self.current_bin)
        return step

    def _shift(self, before: int, after: int) -> None:
        low, high = sorted((before, after))
        for ring, scale in ((self._five, 1), (self._hour, BINS_PER_HOUR)):
            slots = slots_between(low // scale, high // scale, ring.width)
            if not len(slots):
                continue
            lost = ring.peak(slots, self._used) if after < before else None
            ring.clear(slots, self._used)
            if lost is not None:
                rows = np.arange(self._used, dtype=np.int64)
                ring.raise_to(rows, np.full(self._used, after // scale), lost)

    # -- samples ------------------------------------------------------------------------------------------

    def append(
        self,
        rows: Rows,
        seconds: npt.ArrayLike,
        bytes_: npt.ArrayLike,
        now_seconds: float,
        ceiling_bytes: npt.ArrayLike = MAX_PLAUSIBLE_BYTES,
        limit_bytes: npt.ArrayLike = np.nan,
    ) -> AppendReport:
        """Take n samples in (rows int32, Unix seconds and bytes float64); never raises on a bad sample.

        A sample lands in the bin of its time, in whatever order they come; one older than a day counts for
        its hour only. `ceiling_bytes` (scalar or [n]): what cannot be exceeded, e.g. the kube node's memory.
        Who falls to a 512th without a start was read in another unit, and so was who begins with less than
        that of its limit (`limit_bytes`, scalar or [n]; NaN: none): refused for as long as it goes on.
        """
        self.advance(now_seconds)
        index = np.atleast_1d(np.asarray(rows, dtype=np.int64))
        times, values = as_column(seconds, len(index)), as_column(bytes_, len(index))
        oldest = (self.current_bin // BINS_PER_HOUR - HOURLY_BINS + 1) * HOUR_SECONDS
        known = self._known(index)
        with np.errstate(invalid="ignore"):  # the past is what it was
            present = times > self.now_seconds - HOUR_SECONDS
        reached = self._reached[np.where(known, index, 0)]
        begins_at = np.fmax(as_column(limit_bytes, len(index)), 0.0)
        held_against = np.where(present, np.where(reached > 0, reached, begins_at), 0.0)
        good, report = judge(known, times, values, oldest, self.now_seconds, ceiling_bytes, held_against)
        index, times, values = index[good], np.minimum(times[good], self.now_seconds), values[good]
        slots = (times // BIN_SECONDS).astype(np.int64)
        self._store(index, slots, round_up_float32(values))
        np.fmin.at(self._first_seen, index, times)
        np.fmax.at(self._last_seen, index, times)
        np.fmax.at(self._reached, index, np.fmin(values, self._newest[index]))
        self._newest[index] = values
        read_back = times < self.now_seconds - HOUR_SECONDS  # a past comes all at once
        for row in set(index[read_back].tolist()):
            self._reached[row] = np.fmax(self._reached[row], self._since_start_bytes(row))
        return report

    def _store(self, rows: IntArray, slots: IntArray, stored: Float32Array) -> None:
        """Maxima by absolute bin, none later than the present; hours follow."""
        self._hour.raise_to(rows, slots // BINS_PER_HOUR, stored)
        recent = slots > self.current_bin - FIVE_MINUTE_BINS
        if not recent.all():
            rows, slots, stored = rows[recent], slots[recent], stored[recent]
        self._five.raise_to(rows, slots, stored)

    def five_minute(self, rows: Rows, bins: int = FIVE_MINUTE_BINS) -> Float32Array:
        """Maxima of the last `bins` bins, `[n, bins]`, oldest first; the last column holds the present."""
        return self._five.window(self._checked(rows), self.current_bin, bins)

    def hourly(self, rows: Rows, hours: int = HOURLY_BINS) -> Float32Array:
        """Maxima of the last `hours` hours, `[n, hours]`, oldest first; the last column holds the present."""
        return self._hour.window(self._checked(rows), self.current_bin // BINS_PER_HOUR, hours)

    def first_seen_seconds(self, rows: Rows) -> Float64Array:
        """Time of the oldest sample ever taken, `[n]`; restarts do not change it. NaN: none yet."""
        return self._first_seen[self._checked(rows)]

    def last_seen_seconds(self, rows: Rows) -> Float64Array:
        """Time of the newest sample, `[n]`; NaN: none yet."""
        return self._last_seen[self._checked(rows)]

    # -- events -------------------------------------------------------------------------------------------

    def record_oom(
        self,
        rows: Rows,
        seconds: npt.ArrayLike,
        limit_bytes: npt.ArrayLike | None = None,
        usage_bytes: npt.ArrayLike | None = None,
    ) -> int:
        """Remember OOM kills (the last eight a row); returns how many were new. Unknown rows are dropped."""
        return self._record(self._ooms, rows, seconds, limit_bytes, usage_bytes)

    def record_restart(self, rows: Rows, seconds: npt.ArrayLike) -> int:
        """Remember when containers were started anew. The history of maxima goes on.

        A start that is on record is no other one: what was used since then still counts.
        """
        index = np.atleast_1d(np.asarray(rows, dtype=np.int64))
        times = as_column(seconds, len(index))
        known = self._known(index)
        kept = self._restarts.of(np.where(known, index, 0)).seconds
        new = index[known & ~(kept == times[:, None]).any(axis=1)]
        self._newest[new], self._reached[new] = 0.0, 0.0
        return self._record(self._restarts, rows, seconds, None, None)

    def _record(
        self,
        log: EventLog,
        rows: Rows,
        seconds: npt.ArrayLike,
        limit_bytes: npt.ArrayLike | None,
        usage_bytes: npt.ArrayLike | None,
    ) -> int:
        index = np.atleast_1d(np.asarray(rows, dtype=np.int64))
        times = as_column(seconds, len(index))
        good = self._known(index) & np.isfinite(times)
        limits, usage = (as_column(value, len(index))[good] for value in (limit_bytes, usage_bytes))
        return log.record(index[good], times[good], limits, usage)

    def ooms(self, rows: Rows) -> Events:
        """The last OOM kills of these rows."""
        return self._ooms.of(self._checked(rows))

    def record_throttled(self, rows: Rows, seconds: float) -> None:
        """The CPU quota throttles these rows now; told every few minutes while it does.

        Kept with a row's newest start, if it has been so since then: a start takes as long as its quota
        makes it last.
        """
        index = np.atleast_1d(np.asarray(rows, dtype=np.int64))
        index = index[self._known(index)]
        self._restarts.lasts(index, seconds, THROTTLED_GAP_SECONDS, THROTTLED_START_SECONDS)

    def starts(self, rows: Rows) -> Starts:
        """The last starts of these rows, and until when each was throttled."""
        events = self._restarts.of(self._checked(rows))
        return Starts(events.seconds, events.usage_bytes)

    def restarts(self, rows: Rows) -> Events:
        """The last restarts of these rows (limits are NaN; for the rest see `starts`)."""
        return self._restarts.of(self._checked(rows))

    # -- checkpoints --------------------------------------------------------------------------------------

    def checkpoint(self, row: int, learned: Learned | None = None) -> bytes:
        """Everything the row knows, in at most 8 KiB, with what models have learned of it."""
        index = self._checked(row)
        ooms, restarts = self._ooms.of(index), self._restarts.of(index)
        return encode(
            RowState(
                self.quantity,
                self.current_bin,
                self.five_minute(index)[0],
                self.hourly(index)[0],
                np.stack([ooms.seconds[0], ooms.limit_bytes[0], ooms.usage_bytes[0]]),
                int(ooms.count[0]),
                np.stack([restarts.seconds[0], restarts.limit_bytes[0], restarts.usage_bytes[0]]),
                int(restarts.count[0]),
                float(self._first_seen[index[0]]),
                float(self._last_seen[index[0]]),
                self.promises.packed(int(index[0])),
                self.images.packed(int(index[0])),
                learned or {},
            )
        )

    def restore(self, row: int, data: bytes) -> Learned:
        """Join a checkpoint to what the row has seen since; maxima never fall. Raises `CheckpointError`.

        Returns what models had learned of it, which is theirs to take (`pipeline.LimitPipeline.restore`).
        """
        index = int(self._checked(row)[0])
        state = decode(data, self.quantity)
        before = self._time.current_bin
        if self._time.adopt(state.current_bin) and before is not None:
            self._shift(before, state.current_bin)
        self._join(index, state)
        return state.learned

    def _join(self, row: int, state: RowState) -> None:
        present, this_hour = self.current_bin, self.current_bin // BINS_PER_HOUR
        for ring, newest, saved, values in (
            (self._five, present, state.current_bin, state.five_minute_bytes),
            (self._hour, this_hour, state.current_bin // BINS_PER_HOUR, state.hourly_bytes),
        ):
            # A checkpoint from a clock that was ahead: its peaks count as the present's.
            slots = np.minimum(np.arange(saved - len(values) + 1, saved + 1), newest)
            kept = (slots > newest - ring.width) & ~np.isnan(values)
            ring.raise_to(np.full(int(kept.sum()), row), slots[kept], values[kept])
        self._ooms.merge(row, state.ooms, state.oom_count)
        self._restarts.merge(row, state.restarts, state.restart_count)
        self.promises.merge(row, state.promises)
        self.images.merge(row, state.image, state.last_seen_seconds)
        self._first_seen[row] = np.fmin(self._first_seen[row], state.first_seen_seconds)
        self._last_seen[row] = np.fmax(self._last_seen[row], state.last_seen_seconds)
        self._reached[row] = np.fmax(self._reached[row], self._since_start_bytes(row))

    def _since_start_bytes(self, row: int) -> float:
        """The second largest of a row's hours that began after its last start, 0 where there is none."""
        hours = self.hourly(row)[0]
        began = (self.current_bin // BINS_PER_HOUR - np.arange(len(hours))[::-1]) * HOUR_SECONDS
        started = np.fmax.reduce(self.restarts(row).seconds[0], initial=-np.inf)
        return float(np.sort(np.nan_to_num(hours[began > started]))[-2:-1].sum())
