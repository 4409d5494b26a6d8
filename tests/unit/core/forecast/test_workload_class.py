"""Classes found online: known shapes, little past, bad input, and a told class that does not flutter."""

import numpy as np
import pytest

from plimsoll.forecast.window import BINS_PER_DAY, BINS_PER_HOUR, HISTORY_HOURS, UsageWindow
from plimsoll.forecast.workload_class import ClassMemory, WorkloadClass, workload_classes
from plimsoll.usage.events import starts_at

MIB = 2.0**20
NOW_SECONDS = 3600.0 * 480_000
NONE = np.full((1, 8), np.nan)


def window_of(bins_bytes: np.ndarray) -> UsageWindow:
    """What is known at the end of a series of whole hours of 5-minute bins."""
    recent = np.full((1, BINS_PER_DAY), np.nan)
    hourly = np.full((1, HISTORY_HOURS), np.nan)
    hours = np.fmax.reduce(bins_bytes.reshape(-1, BINS_PER_HOUR), axis=1)[-HISTORY_HOURS:]
    last = bins_bytes[-BINS_PER_DAY:]
    recent[0, BINS_PER_DAY - len(last) :] = last
    hourly[0, HISTORY_HOURS - len(hours) :] = hours
    return UsageWindow(recent, hourly)


def class_of(bins_bytes: np.ndarray, restarts: np.ndarray = NONE) -> str:
    """The class of one series."""
    return WorkloadClass(workload_classes(window_of(bins_bytes), starts_at(restarts), NOW_SECONDS)[0]).label


def hours(days: float) -> np.ndarray:
    """The hour of each bin."""
    return np.arange(int(days * BINS_PER_DAY)) / BINS_PER_HOUR


def noise(count: int) -> np.ndarray:
    """Factors around 1."""
    return np.random.default_rng(5).normal(1.0, 0.01, count)


def restarting(days: float, low: float, high: float) -> np.ndarray:
    """Climbs for 36 hours and falls back."""
    part = hours(days) % 36.0 / 36.0
    return low + (high - low) * part


def weekly() -> np.ndarray:
    at = hours(28)
    weekend = (at // 24) % 7 >= 5
    return np.where(weekend, 200.0, 400.0)


def runs() -> np.ndarray:
    at = hours(4)
    return np.where(at % 24 < 2, 300.0, np.nan)


SHAPES = {
    "flat": 300.0 * noise(len(hours(5))),
    "drift": 300.0 + 30.0 * np.sin(hours(5) / 17.0) + 15.0 * np.sin(hours(5) / 5.0),
    "sawtooth": restarting(9, 200.0, 500.0),
    "bursty": 300.0 + 900.0 * (np.random.default_rng(2).random(len(hours(5))) < 0.01),
    "growth": 300.0 + 2.0 * hours(5),
    "diurnal": 300.0 + 120.0 * np.sin(hours(6) * 2 * np.pi / 24),
    "weekly": weekly(),
    "batch": runs(),
    "idle": 5.0 * noise(len(hours(3))),
}


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_known_shapes_have_their_names(name: str) -> None:
    assert class_of(SHAPES[name] * MIB) == name


@pytest.mark.parametrize("name", ["flat", "drift", "sawtooth", "growth", "diurnal", "weekly"])
def test_a_class_does_not_depend_on_the_size(name: str) -> None:
    assert class_of(SHAPES[name] * 50 * MIB) == name


def test_a_peak_after_restarts_is_a_startup_peak() -> None:
    at = hours(3)
    usage = np.where(at % 30 < 0.5, 500.0, 300.0) * MIB
    starts = NOW_SECONDS - 3600.0 * (72 - np.array([30.0, 60.0]))
    restarts = np.concatenate([np.full(6, np.nan), starts])[None, :]
    assert class_of(usage, restarts) == "startup-peak"
    assert class_of(usage) != "startup-peak"


def test_restarts_that_come_down_from_a_climb_are_no_startup_peak() -> None:
    usage = restarting(4, 200.0, 500.0) * MIB
    restarts = np.concatenate([np.full(6, np.nan), NOW_SECONDS - 3600.0 * (96 - np.array([36.0, 72.0]))])
    assert class_of(usage, restarts[None, :]) == "sawtooth"


@pytest.mark.parametrize(
    ("usage", "name"),
    [
        (np.full(288, np.nan), "unknown"),
        (np.r_[np.full(276, np.nan), np.full(12, 300 * MIB)], "unknown"),
        (np.zeros(288), "idle"),
        (np.where(np.arange(288) == 100, 3e5, 300.0) * MIB, "bursty"),
    ],
    ids=["all missing", "one hour", "constant zero", "a spike of a thousand times"],
)
def test_bad_input_has_a_stated_class(usage: np.ndarray, name: str) -> None:
    assert class_of(usage) == name


def test_a_restart_in_the_future_changes_nothing() -> None:
    future = np.full((1, 8), NOW_SECONDS + 9e6)
    assert class_of(SHAPES["flat"] * MIB, future) == "flat"


def test_rows_do_not_disturb_each_other() -> None:
    parts = [window_of(series * MIB) for series in SHAPES.values()]
    whole = UsageWindow(
        np.concatenate([each.recent_bytes for each in parts]),
        np.concatenate([each.hourly_bytes for each in parts]),
    )
    found = workload_classes(whole, starts_at(np.full((len(parts), 8), np.nan)), NOW_SECONDS)
    assert [WorkloadClass(code).label for code in found] == list(SHAPES)


def test_the_told_class_waits_for_six_looks() -> None:
    memory, rows = ClassMemory(1), np.array([0], dtype=np.int32)
    looks = ["unknown", "flat", *["drift"] * 5, "flat", *["drift"] * 6, "unknown"]
    codes = [np.array([WorkloadClass[name.upper()]], dtype=np.int8) for name in looks]
    told = [WorkloadClass(memory.look(rows, code)[0]).label for code in codes]
    assert told == ["unknown", *["flat"] * 12, "drift", "drift"]


def test_a_forgotten_row_is_unknown_and_memory_grows() -> None:
    memory, rows = ClassMemory(1), np.array([0, 7], dtype=np.int32)
    memory.look(rows, np.array([WorkloadClass.FLAT] * 2, dtype=np.int8))
    memory.forget(rows[1:])
    assert memory.told(rows).tolist() == [WorkloadClass.FLAT, WorkloadClass.UNKNOWN]
