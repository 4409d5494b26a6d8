"""Learns reuse times as references go by: samples pages, waits for their next use, corrects the tables.

A sample is a page with the cells it selected when it was drawn. It is labelled when the page is used again,
or, once as many newer ones have been drawn as there is room for, with "not within the horizon". The horizon
follows the miss ratio: four times the capacity's worth of misses.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from plimsoll.pages.page_history import FAST, MIDDLE, SLOW, HistoryColumns, history_columns
from plimsoll.pages.reuse_features import CELLS, FINE_AGES, FIRST_CELL, TABLES
from plimsoll.pages.reuse_predictor import BIAS_RATE, INT8_STEPS, LEARNING_RATE, lru_tables
from plimsoll.replay.page_kernels.compiled import compiled
from plimsoll.replay.page_kernels.history import cells, octaves

TABLE_COUNT = len(TABLES)
LEAST_SAMPLES, MOST_SAMPLES, SAMPLES_PER_PAGE = 4096, 400_000, 8
FIRST_HORIZON_CAPACITIES = 16
LEAST_HORIZON_CAPACITIES, MOST_HORIZON_CAPACITIES = 8.0, 4000.0
HORIZON_REFILLS = 4.0
ADJUST_EVERY = 4096  # references
BESIDE_REFERENCES = 64.0
NOW, HORIZON, NEXT_SLOT, DRAW_EVERY, MISSES_SEEN = range(5)  # entries of `counters`
SHARES = 10  # of the trace, for which the loss is kept apart
SAMPLED, LOSS, AGE_LOSS = range(3)  # columns of `loss`
AGE_RATE = 0.02  # of the age-only table that learning is measured against


class Learner(NamedTuple):
    """Everything that is learned from, and into."""

    history: HistoryColumns
    tables: npt.NDArray[np.float32]
    used: npt.NDArray[np.float32]  # what is predicted with: `tables` themselves, or int8 read back
    int8: bool
    page: npt.NDArray[np.int32]  # of each sample
    drawn_at: npt.NDArray[np.int64]
    cell: npt.NDArray[np.int16]
    following: npt.NDArray[np.int32]  # the next sample of the same page, -1
    waiting: npt.NDArray[np.bool_]
    first: npt.NDArray[np.int32]  # a page's newest sample, -1
    counters: npt.NDArray[np.int64]
    miss_ratio: npt.NDArray[np.float64]
    random: npt.NDArray[np.uint64]
    age_table: npt.NDArray[np.float32]
    loss: npt.NDArray[np.float64]


def learner(
    pages: npt.NDArray[np.uint32],
    capacity: int,
    tables: npt.NDArray[np.float32] | None = None,
    *,
    int8: bool = False,
) -> Learner:
    """Nothing seen yet; starts out as LRU, or from tables learned before. `int8`: as the agent does."""
    room = min(max(LEAST_SAMPLES, SAMPLES_PER_PAGE * capacity), MOST_SAMPLES)
    own = (lru_tables() if tables is None else tables).copy()
    counters = np.zeros(5, np.int64)
    counters[HORIZON], counters[DRAW_EVERY] = FIRST_HORIZON_CAPACITIES * capacity, 4
    return Learner(
        history=history_columns(pages, (capacity / 2, 4 * capacity, 32 * capacity, BESIDE_REFERENCES)),
        tables=own,
        used=own.copy() if int8 else own,
        int8=int8,
        page=np.zeros(room, np.int32),
        drawn_at=np.zeros(room, np.int64),
        cell=np.zeros((room, TABLE_COUNT), np.int16),
        following=np.full(room, -1, np.int32),
        waiting=np.zeros(room, np.bool_),
        first=np.full(len(pages), -1, np.int32),
        counters=counters,
        miss_ratio=np.array([0.05]),
        random=np.array([88172645463325252], np.uint64),
        age_table=lru_tables()[:FINE_AGES],
        loss=np.zeros((SHARES, 3)),
    )


@compiled
def draw(random: npt.NDArray[np.uint64], below: int) -> int:
    """A whole number from 0 on, by xorshift: the same on every machine."""
    state = random[0]
    state ^= state << np.uint64(13)
    state ^= state >> np.uint64(7)
    state ^= state << np.uint64(17)
    random[0] = state
    return int(np.int64(state >> np.uint64(1)) % below)


@compiled
def predict(state: Learner, page: int) -> float:
    """log2 of the time to the page's next use."""
    selected = cells(state.history, page, state.counters[NOW])
    total = state.used[CELLS]
    for table in range(TABLE_COUNT):
        total += state.used[selected[table]]
    return float(total)


@compiled
def label_samples(state: Learner, page: int, share: int) -> None:
    """The page is used now, before its history is touched: its samples learn how long it took."""
    sample = state.first[page]
    while sample >= 0:
        waited = state.counters[NOW] + 1 - state.drawn_at[sample]
        _learn(state, sample, octaves(min(waited, 2 * state.counters[HORIZON])), share)
        state.waiting[sample] = False
        sample = state.following[sample]
    state.first[page] = -1


@compiled
def draw_sample(state: Learner, page: int, share: int) -> None:
    """Remember what the page looks like now; the oldest sample makes room."""
    slot = state.counters[NEXT_SLOT]
    if state.waiting[slot]:
        waited = state.counters[NOW] - state.drawn_at[slot]
        if waited >= state.counters[HORIZON] // 4:
            _learn(state, slot, octaves(max(state.counters[HORIZON], waited)), share)
        _forget(state, slot)
    selected = cells(state.history, page, state.counters[NOW])
    for table in range(TABLE_COUNT):
        state.cell[slot, table] = selected[table]
    state.page[slot], state.drawn_at[slot] = page, state.counters[NOW]
    state.following[slot], state.first[page] = state.first[page], slot
    state.waiting[slot] = True
    state.counters[NEXT_SLOT] = (slot + 1) % len(state.page)


@compiled
def adjust(state: Learner, capacity: int, misses: int) -> None:
    """Every few thousand references: horizon, half-lives and how often to draw follow the miss ratio."""
    fresh = max(1, misses - state.counters[MISSES_SEEN]) / ADJUST_EVERY
    state.counters[MISSES_SEEN] = misses
    state.miss_ratio[0] = 0.9 * state.miss_ratio[0] + 0.1 * fresh
    wanted = HORIZON_REFILLS * capacity / state.miss_ratio[0]
    horizon = min(max(wanted, LEAST_HORIZON_CAPACITIES * capacity), MOST_HORIZON_CAPACITIES * capacity)
    state.counters[HORIZON] = int(horizon)
    times = state.history.times
    times[FAST], times[MIDDLE], times[SLOW] = horizon / 256, horizon / 32, horizon / 4
    state.counters[DRAW_EVERY] = max(1, int(2 * horizon / len(state.page)))
    if state.int8:
        requantise(state)


@compiled
def requantise(state: Learner) -> None:
    """Predict from the tables as int8 holds them (`reuse_predictor.quantise`), read back as floats."""
    state.used[CELLS] = state.tables[CELLS]
    for table in range(TABLE_COUNT):
        begin, end = FIRST_CELL[table], FIRST_CELL[table + 1]
        low, high = state.tables[begin:end].min(), state.tables[begin:end].max()
        centre, scale = (low + high) / 2, max((high - low) / 2 / INT8_STEPS, 1e-37)
        state.used[CELLS] += centre
        for cell in range(begin, end):
            state.used[cell] = np.rint((state.tables[cell] - centre) / scale) * scale


@compiled
def _learn(state: Learner, sample: int, took: float, share: int) -> None:
    selected = state.cell[sample]
    total = state.tables[CELLS]
    for table in range(TABLE_COUNT):
        total += state.tables[selected[table]]
    error = took - total
    step = np.float32(LEARNING_RATE * error / TABLE_COUNT)
    for table in range(TABLE_COUNT):
        state.tables[selected[table]] += step
    state.tables[CELLS] += np.float32(BIAS_RATE * error)
    age_error = took - state.age_table[selected[0]]
    state.age_table[selected[0]] += np.float32(AGE_RATE * age_error)
    state.loss[share, SAMPLED] += 1
    state.loss[share, LOSS] += error * error
    state.loss[share, AGE_LOSS] += age_error * age_error


@compiled
def _forget(state: Learner, slot: int) -> None:
    """Take a waiting sample out of its page's chain."""
    page = state.page[slot]
    if state.first[page] == slot:
        state.first[page] = state.following[slot]
        return
    sample = state.first[page]
    while state.following[sample] != slot:
        sample = state.following[sample]
    state.following[sample] = state.following[slot]
