"""The default predictor for all scopes of a kube node at once: the formulas of `guarded.py` on arrays.

In: rows of the bank with a sample each. Out: their probabilities [n] and who spoke. Rows are taken and
given back as scopes come and go; the matrix product of all scopes costs little more than that of one.
Outcomes are told as arrays, with the forecasts they are of. Each row says what `Guarded` says of the same
samples (a test holds the two together).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plimsoll.pressure import calibrated, features, reactive
from plimsoll.pressure.features import CALM, STATE_SIZE, TIME_CONSTANTS_SECONDS
from plimsoll.pressure.network import Plain
from plimsoll.pressure.outcome import PressureRule
from plimsoll.pressure.protocol import HORIZON_SECONDS, FloatArray
from plimsoll.pressure.sample import MAX_PERIOD_SECONDS, SAMPLE_FIELDS, PressureSample, ScopeKind, values_of

Rows = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_AT = {name: index for index, name in enumerate(SAMPLE_FIELDS)}
# What a row keeps, column by column.
_MEANS = slice(0, STATE_SIZE)
(
    _SECONDS,
    _NUMA,
    _CONTAINER,
    _MIX,
    _MIX_2,
    _MIX_3,
    _MIX_BIAS,
    _OUTCOMES,
    _FALLEN,
    _LOSS,
    _LOSS_PERSISTENCE,
    _LOSS_EXHAUSTION,
    _CALM_SHARE,
    _PRESSED_SHARE,
    _CALM_WEIGHT,
    _PRESSED_WEIGHT,
    _URGENCY_SLOPE,
    _URGENCY_BIAS,
    _LEFT_MEAN,
) = range(STATE_SIZE, STATE_SIZE + 19)
COLUMNS = STATE_SIZE + 19
_WEIGHTS = slice(_MIX, _MIX_BIAS + 1)
# What outlives a scope's moment: mix, trust, shares, urgency; not its running means, kind or time.
_LEARNED = slice(_MIX, _URGENCY_BIAS + 1)
LEARNED = _URGENCY_BIAS + 1 - _MIX
_BELIEVED = np.array(
    [
        *zip(calibrated.MIN_WEIGHTS, calibrated.MAX_WEIGHTS, strict=True),
        (0.0, 1e12),  # outcomes
        (0.0, 1.0),  # fallen
        *[(0.0, 1e3)] * 3,  # losses
        *[(0.0, 1.0)] * 2,  # shares
        *[(0.0, 1e9)] * 2,  # their weights
        (0.1, 8.0),  # slope of urgency
        (-8.0, 8.0),
    ]
).T
# Of that what other scopes can use: mix, shares, urgency. Counts and losses are of the scope alone.
_MIX_AT = np.array([each - _MIX for each in (
    _MIX, _MIX_2, _MIX_3, _MIX_BIAS, _CALM_SHARE, _PRESSED_SHARE, _URGENCY_SLOPE, _URGENCY_BIAS
)])  # fmt: skip
MIX_BELIEVED = _BELIEVED[:, _MIX_AT]
OUTCOMES_AT = _OUTCOMES - _MIX  # of what a row has learned: how many outcomes it has seen


@dataclass(frozen=True, slots=True)
class BankForecast:
    """Forecasts of `rows` [n]; `probability` is NaN where nothing is known; `fallback`: plain ones spoke."""

    seconds: float
    rows: Rows
    probability: FloatArray
    fallback: BoolArray
    inputs: FloatArray  # [n, 8]: as `Guarded` has them


class PressureBank:
    """One network, many scopes."""

    def __init__(self, network: Plain | None, rule: PressureRule | None = None) -> None:
        self._network = network
        self._rule = rule or PressureRule()
        self._table = np.zeros((0, COLUMNS))
        self._free: list[int] = []

    @property
    def state_bytes(self) -> int:
        """Bytes a scope."""
        return COLUMNS * 8

    def add(self, kinds: Sequence[ScopeKind]) -> Rows:
        """Rows for new scopes, as `Guarded` starts."""
        while len(self._free) < len(kinds):
            size = len(self._table)
            self._table = np.concatenate([self._table, np.zeros((max(16, size), COLUMNS))])
            self._free.extend(range(len(self._table) - 1, size - 1, -1))
        rows = np.array([self._free.pop() for _ in kinds], dtype=np.int64)
        self._table[rows] = _fresh_row()
        self._table[rows, _NUMA] = [kind is ScopeKind.NUMA_NODE for kind in kinds]
        self._table[rows, _CONTAINER] = [kind is ScopeKind.CONTAINER for kind in kinds]
        return rows

    def remove(self, rows: Rows) -> None:
        """Give rows back; what they learned is gone."""
        self._free.extend(int(row) for row in rows)

    def learned(self, rows: Rows) -> FloatArray:
        """[n, LEARNED] what these rows have learned of their scopes, without what they are in just now."""
        kept: FloatArray = self._table[rows][:, _LEARNED]
        return kept

    def teach(self, rows: Rows, learned: FloatArray) -> None:
        """Let rows begin with what was learned [n, LEARNED]. Raises ValueError for what cannot be."""
        if learned.shape != (len(rows), LEARNED) or not bool(np.isfinite(learned).all()):
            raise ValueError(f"what pressure rows have learned is {LEARNED} finite numbers a row")
        low, high = _BELIEVED
        if bool(((learned < low) | (learned > high)).any()):
            raise ValueError("what pressure rows have learned is out of its bounds")
        self._table[np.ix_(rows, np.arange(COLUMNS)[_LEARNED])] = learned

    def predict(self, rows: Rows, samples: Sequence[PressureSample], now_seconds: float) -> BankForecast:
        """Forecasts of these rows (each at most once) from a sample each."""
        values = np.array([values_of(sample) for sample in samples]).reshape(len(rows), len(SAMPLE_FIELDS)).T
        table = self._table[rows]
        good = _usable(values) & bool(np.isfinite(now_seconds))
        since = now_seconds - table[:, _SECONDS]
        steady = (since > 0) & (since <= MAX_PERIOD_SECONDS)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            logit = self._logit(table, values, since, steady, good)
            pressed, persistent = self._persistence(table, values)
            urgency, exhausted = _exhaustion(table, values, since, steady)
            logits = calibrated.logits_of(logit, persistent, exhausted)
            said = calibrated.mixed(table[:, _WEIGHTS], logits)
        table[:, _SECONDS] = now_seconds
        self._table[rows[good]] = table[good]
        rest = np.stack([said, persistent, exhausted, pressed, urgency], axis=1)
        inputs = np.concatenate([logits, rest], axis=1)
        inputs[~good] = np.nan
        plain = np.where(table[:, _LOSS_EXHAUSTION] < table[:, _LOSS_PERSISTENCE], exhausted, persistent)
        plain = np.where(np.isfinite(said), plain, persistent)
        plain = np.where(np.isnan(plain), exhausted, plain)
        fallback = ~np.isfinite(said) | (table[:, _FALLEN] > 0)
        probability = np.where(good, np.where(fallback, plain, said), np.nan)
        return BankForecast(now_seconds, rows, probability, fallback & good, inputs)

    def update(self, forecast: BankForecast, realised: FloatArray) -> None:
        """Tell what came [n] of a forecast: 1.0, 0.0, or NaN where nobody knows."""
        said, persistent, exhausted, pressed, urgency = forecast.inputs.T[3:]
        known = (realised == 0.0) | (realised == 1.0)
        table = self._table[forecast.rows]
        for state, share, weight in ((0, _CALM_SHARE, _CALM_WEIGHT), (1, _PRESSED_SHARE, _PRESSED_WEIGHT)):
            at = known & (pressed == state)
            table[at, weight] = np.minimum(reactive.MAX_WEIGHT, table[at, weight] + 1.0)
            table[at, share] += (realised[at] - table[at, share]) / table[at, weight]
        at = known & np.isfinite(urgency)
        _learn_urgency(table, at, urgency, realised)
        at = known & np.isfinite(said)
        mixes = calibrated.mixes_learned(table[at, _WEIGHTS], forecast.inputs[at, :3], realised[at])
        table[at, _WEIGHTS] = mixes
        at = at & np.isfinite(persistent) & np.isfinite(exhausted)
        _trust(table, at, np.stack([said, persistent, exhausted], axis=1), realised)
        self._table[forecast.rows] = table

    def _logit(
        self, table: FloatArray, values: FloatArray, since: FloatArray, steady: BoolArray, good: BoolArray
    ) -> FloatArray:
        columns = list(values)
        now = features.followed(columns, columns[_AT["total_bytes"]], columns[_AT["period_seconds"]])
        state = [table[:, index].copy() for index in range(STATE_SIZE)]
        kept = [
            np.where((value >= 0) & (value <= most), value, old)
            for value, most, old in zip(now, features.MOST, state, strict=False)
        ]
        gains = [np.where(steady, since / (since + tau), 1.0) for tau in TIME_CONSTANTS_SECONDS]
        features.advance(state, kept, gains)
        table[:, _MEANS] = np.stack(state, axis=1)
        if self._network is None:
            return np.full(len(table), np.nan)
        inputs = np.stack(features.inputs_of(state, table[:, _NUMA], table[:, _CONTAINER]), axis=1)
        return np.where(good, self._network.logit(np.nan_to_num(inputs)), np.nan)

    def _persistence(self, table: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        stalls = values[_AT["psi_some_ratio"]]
        pressed = (
            (values[_AT["oom_kills"]] >= 1)
            | (values[_AT["compactions"]] >= self._rule.compactions)
            | (stalls >= self._rule.some_ratio)
        )
        state = np.where(pressed, 1.0, np.where(np.isnan(stalls), np.nan, 0.0))
        share = np.where(pressed, table[:, _PRESSED_SHARE], table[:, _CALM_SHARE])
        return state, np.where(np.isnan(state), np.nan, share)


def shipped_mix() -> FloatArray:
    """[8] what a scope begins with of that which is shared."""
    return mix_of(_fresh_row()[_LEARNED])


def mix_of(learned: FloatArray) -> FloatArray:
    """[8] of what a row has learned [LEARNED]: what other scopes can use."""
    return np.asarray(learned[..., _MIX_AT])


def learned_of(mix: FloatArray) -> FloatArray:
    """[LEARNED] for a row that begins with a mix [8], and has seen nothing itself."""
    learned = _fresh_row()[_LEARNED].copy()
    learned[_MIX_AT] = mix
    return learned


def said_by(mix: FloatArray, inputs: FloatArray) -> FloatArray:
    """[n] what a scope of this mix [8] would have said where a forecast had these inputs [n, 8]."""
    network, pressed, urgency = inputs[:, 0], inputs[:, 6], inputs[:, 7]
    share = np.where(pressed > 0, mix[5], mix[4])
    persistent = np.where(np.isnan(pressed), np.nan, share)
    exhausted = 1.0 / (1.0 + np.exp(-(mix[6] * urgency + mix[7])))
    return calibrated.mixed(mix[None, :4], calibrated.logits_of(network, persistent, exhausted))


def _fresh_row() -> FloatArray:
    row = np.zeros(COLUMNS)
    row[_MEANS] = CALM * (1 + len(TIME_CONSTANTS_SECONDS))
    row[_SECONDS] = -np.inf
    row[_WEIGHTS] = calibrated.START
    row[[_CALM_SHARE, _PRESSED_SHARE]] = reactive.PRIOR_SHARE
    row[[_CALM_WEIGHT, _PRESSED_WEIGHT]] = reactive.PRIOR_WEIGHT
    row[_URGENCY_SLOPE], row[_URGENCY_BIAS] = reactive.SLOPE_START, reactive.BIAS_START
    return row


def _is_share(values: FloatArray) -> BoolArray:
    return np.asarray((values >= 0) & (values <= 1))


def _usable(values: FloatArray) -> BoolArray:
    period, total = values[_AT["period_seconds"]], values[_AT["total_bytes"]]
    left = _is_share(values[_AT["free_ratio"]]) | _is_share(values[_AT["available_ratio"]])
    inside = (period > 0) & (period <= MAX_PERIOD_SECONDS) & (total > 0) & (total < np.inf)
    return np.asarray(inside & left & np.isfinite(values[_AT["seconds"]]))


def _exhaustion(
    table: FloatArray, values: FloatArray, since: FloatArray, steady: BoolArray
) -> tuple[FloatArray, FloatArray]:
    available = values[_AT["available_ratio"]]
    left = np.where(_is_share(available), available, values[_AT["free_ratio"]])
    mean = table[:, _LEFT_MEAN]
    mean = np.where(steady, mean + (left - mean) * since / (since + reactive.TREND_SECONDS), left)
    table[:, _LEFT_MEAN] = mean
    used_per_second = np.where(steady, (mean - left) / reactive.TREND_SECONDS, 0.0)
    seconds = np.where(used_per_second > 0, left / used_per_second, reactive.MAX_SECONDS)
    urgency = -np.log(np.clip(seconds, reactive.MIN_SECONDS, reactive.MAX_SECONDS) / HORIZON_SECONDS)
    return urgency, _urgent(table, urgency)


def _urgent(table: FloatArray, urgency: FloatArray) -> FloatArray:
    return np.asarray(1.0 / (1.0 + np.exp(-(table[:, _URGENCY_SLOPE] * urgency + table[:, _URGENCY_BIAS]))))


def _learn_urgency(table: FloatArray, at: BoolArray, urgency: FloatArray, realised: FloatArray) -> None:
    error = _urgent(table[at], urgency[at]) - realised[at]
    step = reactive.LEARNING_RATE * error
    table[at, _URGENCY_SLOPE] = np.clip(table[at, _URGENCY_SLOPE] - step * urgency[at], 0.1, 8.0)
    table[at, _URGENCY_BIAS] = np.clip(table[at, _URGENCY_BIAS] - step, -8.0, 8.0)


def _trust(table: FloatArray, at: BoolArray, said: FloatArray, realised: FloatArray) -> None:
    outcomes = table[at, _OUTCOMES] + 1.0
    memory = np.maximum(calibrated.LOSS_MEMORY, 1.0 / outcomes)[:, None]
    columns = slice(_LOSS, _LOSS_EXHAUSTION + 1)
    losses = table[at, columns]
    losses = losses + memory * (reactive.log_losses(said[at], realised[at][:, None]) - losses)
    margin = np.where(table[at, _FALLEN] > 0, calibrated.RETURN_MARGIN, calibrated.FALL_MARGIN)
    fallen = losses[:, 0] > losses[:, 1:].min(axis=1) + margin
    table[at, _OUTCOMES] = outcomes
    table[at, columns] = losses
    table[at, _FALLEN] = np.where(outcomes >= calibrated.MIN_OUTCOMES, fallen, table[at, _FALLEN])
