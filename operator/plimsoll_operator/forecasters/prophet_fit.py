"""The thin adapter to the package `prophet`: one row's hours in, drawn futures of its peaks out.

In: a `FitTask`. Out: its `FitAnswer`; every failure is an answer too. Daily and weekly seasonality and the
policy's holidays (one effect for all of them); missing hours are left out, which Prophet allows. Seeded, and
the global generator that Prophet draws from is put back, so the same task has the same answer anywhere.
The package is imported with the first fit: it takes seconds and 200 MB, and images come without it.
"""

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.prophet import FitAnswer, FitTask, answer_of
from plimsoll.usage.sample import HOUR_SECONDS
from plimsoll_operator.forecasters.holiday_dates import HolidayDates, holiday_dates

SEED = 7
LOGGERS = ("cmdstanpy", "prophet", "prophet.plot")
NOT_INSTALLED = "the package prophet is not installed (extra `forecast`); auto stands in"


def missing_package() -> str:
    """Why nothing can be fitted here; "" where it can."""
    try:
        return "" if find_spec("prophet") is not None else NOT_INSTALLED
    except ValueError:  # it was forbidden
        return NOT_INSTALLED


def fit(task: FitTask) -> FitAnswer:
    """Fit one row and draw its coming hours; a failure is an answer that says why."""
    begun = time.perf_counter()
    try:
        with _quiet(), _seeded():
            answer = _fit(task)
    except Exception as error:  # noqa: BLE001 - other people's package: the row falls back, and says why
        answer = FitAnswer(task.ticket, failure=f"{type(error).__name__}: {error}"[:300])
    return replace(answer, seconds=time.perf_counter() - begun)


def _fit(task: FitTask) -> FitAnswer:
    hours, values, _ = task.seen()
    coming = task.coming_hours()
    free = _holidays(task, int(hours[0]), int(coming[-1]))
    pandas: Any = import_module("pandas")
    days = pandas.DataFrame({"holiday": "free", "ds": pandas.to_datetime(list(free.dates))})
    calendar = days if free.dates else None  # Prophet refuses an empty one
    model: Any = import_module("prophet").Prophet(
        daily_seasonality=True,
        weekly_seasonality=True,
        yearly_seasonality=False,
        uncertainty_samples=0,
        holidays=calendar,
    )
    model.fit(pandas.DataFrame({"ds": _times(hours), "y": values}), seed=SEED)
    fitted = model.predict(pandas.DataFrame({"ds": _times(hours)}))["yhat"].to_numpy()
    model.uncertainty_samples = task.samples  # not before: the seen hours need no futures
    ahead = pandas.DataFrame({"ds": _times(coming)})
    trends = np.asarray(model.predictive_samples(ahead)["trend"], dtype=np.float64).T
    model.uncertainty_samples = 0
    parts = model.predict(ahead)
    season = (parts["yhat"] - parts["trend"]).to_numpy(dtype=np.float64)
    # Prophet's own noise is a bell; that of memory has a tail, so what was left over before is drawn again.
    left = np.random.default_rng(SEED).choice(values - fitted, trends.shape)
    return answer_of(task, fitted.astype(np.float64), trends + season + left, free.remarks)


def _times(hours: npt.NDArray[np.int64]) -> npt.NDArray[np.datetime64]:
    return (hours * HOUR_SECONDS).astype("datetime64[s]")


def _holidays(task: FitTask, first_hour: int, last_hour: int) -> HolidayDates:
    first, last = (datetime.fromtimestamp(hour * HOUR_SECONDS, UTC).year for hour in (first_hour, last_hour))
    return holiday_dates(task.holidays, range(first, last + 1))


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing on the log but what we say, and no warning of how pandas is used."""
    # Not by their levels: the package sets those when it is imported.
    before = {name: logging.getLogger(name).disabled for name in LOGGERS}
    for name in LOGGERS:
        logging.getLogger(name).disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, disabled in before.items():
            logging.getLogger(name).disabled = disabled


@contextmanager
def _seeded() -> Iterator[None]:
    state = np.random.get_state()  # noqa: NPY002 - Prophet draws from the global generator
    np.random.seed(SEED)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
