"""Training of the pressure networks: boosted trees teach a plain network; a recurrent one learns by itself.

In: judged runs. Out: weights (`plimsoll.pressure.network`), the 49 weights of `mlp4`, and the trees
themselves, which are judged too but not shipped (the agent has numpy and nothing else). Seeded. Trees,
plain network and `mlp4` see rows at two paces, so that what ships does not hang on how often an agent
looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import lightgbm
import numpy as np

from plimsoll.pressure.calibrated import sigmoid
from plimsoll.pressure.features import FEATURE_COUNT, ScopeFeatures
from plimsoll.pressure.mlp4 import HIDDEN, INPUTS, Mlp4
from plimsoll.pressure.network import LEAK, Plain, Recurrent
from plimsoll.pressure.protocol import FloatArray
from plimsoll.pressure.sample import values_of
from pressure_data import PACE, Judged, Run, judged

PACES = (PACE, 2 * PACE)
TREES = 150
SETTINGS = {
    "objective": "binary",
    "num_leaves": 15,
    "learning_rate": 0.05,
    "min_data_in_leaf": 200,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "num_threads": 2,
    "deterministic": True,
    "verbose": -1,
}
HIDDEN_LAYERS = (24, 12)
EPOCHS, BATCH = 8, 512
RECURRENT_HIDDEN, SEQUENCE, RECURRENT_BATCH, RECURRENT_STEPS = 12, 60, 48, 240
RATE = 3e-3


@dataclass(frozen=True, slots=True)
class Rows:
    """Features [n, f], mlp4's inputs [n, 4] (NaN where it has none), outcomes [n]."""

    features: FloatArray
    mlp4: FloatArray
    came: FloatArray


@dataclass(frozen=True, slots=True)
class Trained:
    """All that one set of runs teaches."""

    trees: lightgbm.Booster
    boosted: Plain
    gru: Recurrent
    mlp4: FloatArray


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run with the rows it gives, made once for all folds."""

    judged: Judged
    rows: Rows


def prepared(run: Run) -> Prepared:
    """The run's rows at every pace, and the run at the pace it is judged at."""
    at_paces = [judged(run, pace) for pace in PACES]
    return Prepared(at_paces[0], joined([rows_of(one) for one in at_paces]))


def train(runs: Sequence[Prepared], seed: int) -> Trained:
    """Teach every network from these runs."""
    rows = joined([one.rows for one in runs])
    trees = teach(rows, seed)
    boosted = fit_plain(rows.features, teacher_says(trees, rows.features), HIDDEN_LAYERS, seed)
    known = ~np.isnan(rows.mlp4).any(axis=1)
    small = fit_plain(rows.mlp4[known], rows.came[known], (HIDDEN,), seed, scaled=False, leak=0.0)
    gru = fit_recurrent([one.judged for one in runs], boosted, seed)
    return Trained(trees, boosted, gru, flat(small))


def rows_of(one: Judged) -> Rows:
    """A run's samples whose outcome is known."""
    follower, small = ScopeFeatures(one.run.kind), Mlp4()
    features, inputs = [], []
    for sample in one.samples:
        taken = follower.take(values_of(sample), sample.seconds)
        features.append(np.full(FEATURE_COUNT, np.nan) if taken is None else taken)
        said = small.predict(sample, sample.seconds).inputs
        inputs.append(said if len(said) else np.full(INPUTS, np.nan))
    kept = ~np.isnan(one.came)
    return Rows(np.array(features)[kept], np.array(inputs)[kept], one.came[kept])


def joined(parts: Sequence[Rows]) -> Rows:
    """All rows."""
    return Rows(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.mlp4 for part in parts]),
        np.concatenate([part.came for part in parts]),
    )


def teach(rows: Rows, seed: int) -> lightgbm.Booster:
    """Gradient-boosted trees on the outcomes."""
    data = lightgbm.Dataset(rows.features, rows.came)
    return lightgbm.train({**SETTINGS, "seed": seed}, data, num_boost_round=TREES)


def teacher_says(trees: lightgbm.Booster, features: FloatArray) -> FloatArray:
    """Probabilities [n] of the trees."""
    return np.asarray(trees.predict(features), dtype=np.float64)


# -- plain networks -----------------------------------------------------------------------------------------


class Adam:
    """Kingma and Ba's steps, for arrays changed in place."""

    def __init__(self, parameters: Sequence[FloatArray]) -> None:
        self._parameters = parameters
        self._first = [np.zeros_like(each) for each in parameters]
        self._second = [np.zeros_like(each) for each in parameters]
        self._steps = 0

    def step(self, gradients: Sequence[FloatArray], rate: float) -> None:
        """One step down these gradients, clipped together to a norm of 1."""
        self._steps += 1
        norm = float(np.sqrt(sum(float((each**2).sum()) for each in gradients)))
        clip = min(1.0, 1.0 / (norm + 1e-12))
        bias = np.sqrt(1 - 0.999**self._steps) / (1 - 0.9**self._steps)
        for parameter, gradient, first, second in zip(
            self._parameters, gradients, self._first, self._second, strict=True
        ):
            first[:] = 0.9 * first + 0.1 * clip * gradient
            second[:] = 0.999 * second + 0.001 * (clip * gradient) ** 2
            parameter[:] = parameter - rate * bias * first / (np.sqrt(second) + 1e-8)


def fit_plain(
    inputs: FloatArray,
    target: FloatArray,
    hidden: Sequence[int],
    seed: int,
    *,
    scaled: bool = True,
    leak: float = LEAK,
) -> Plain:
    """A network fitted to probabilities [n]; `scaled` takes inputs to mean 0, spread 1."""
    random = np.random.default_rng(seed)
    mean = inputs.mean(axis=0) if scaled else np.zeros(inputs.shape[1])
    scale = 1.0 / (inputs.std(axis=0) + 0.05) if scaled else np.ones(inputs.shape[1])
    sizes = (inputs.shape[1], *hidden, 1)
    layers = [
        (random.normal(0, np.sqrt(2 / before), (after, before)), np.zeros(after))
        for before, after in pairwise(sizes)
    ]
    adam = Adam([each for layer in layers for each in layer])
    given = (inputs - mean) * scale
    batches = EPOCHS * (len(given) // BATCH)
    done = 0
    for _ in range(EPOCHS):
        order = random.permutation(len(given))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            rate = RATE * 0.5 * (1 + np.cos(np.pi * done / batches))
            adam.step(plain_gradients(layers, given[chosen], target[chosen], leak), rate)
            done += 1
    return Plain(mean, scale, tuple(layers))


def plain_gradients(
    layers: Sequence[tuple[FloatArray, FloatArray]], inputs: FloatArray, target: FloatArray, leak: float
) -> list[FloatArray]:
    """Gradients of the mean log loss, in the order weights, bias, weights, bias..."""
    values = [inputs]
    for weights, bias in layers[:-1]:
        raw = values[-1] @ weights.T + bias
        values.append(np.maximum(raw, leak * raw))
    weights, bias = layers[-1]
    error = (sigmoid(values[-1] @ weights.T + bias)[:, 0] - target)[:, None] / len(target)
    gradients: list[FloatArray] = []
    for number in range(len(layers) - 1, -1, -1):
        gradients = [error.T @ values[number], error.sum(axis=0), *gradients]
        if number:
            error = (error @ layers[number][0]) * np.where(values[number] > 0, 1.0, leak)
    return gradients


def flat(network: Plain) -> FloatArray:
    """Mlp4's 49 weights."""
    (first, hidden_bias), (out, out_bias) = network.layers
    return np.concatenate([first.ravel(), hidden_bias, out.ravel(), out_bias])


# -- the recurrent network ----------------------------------------------------------------------------------


def fit_recurrent(runs: Sequence[Judged], like: Plain, seed: int) -> Recurrent:
    """A gated unit over whole runs, by back-propagation through `SEQUENCE` samples."""
    random = np.random.default_rng(seed)
    sequences, outcomes = sequences_of(runs)
    given = (sequences - like.mean) * like.scale
    hidden, inputs = RECURRENT_HIDDEN, given.shape[2]
    gates = random.normal(0, 0.6 / np.sqrt(inputs + hidden), (3 * hidden, inputs + hidden + 1))
    gates[hidden : 2 * hidden, -1] = 1.0
    out = random.normal(0, 0.3, hidden + 1)
    adam = Adam([gates, out])
    for done in range(RECURRENT_STEPS):
        chosen = random.integers(0, len(given), RECURRENT_BATCH)
        rate = 3 * RATE * 0.5 * (1 + np.cos(np.pi * done / RECURRENT_STEPS))
        adam.step(recurrent_gradients(gates, out, given[chosen], outcomes[chosen]), rate)
    return Recurrent(like.mean, like.scale, gates, out)


def sequences_of(runs: Sequence[Judged]) -> tuple[FloatArray, FloatArray]:
    """Features [n, SEQUENCE, f] and outcomes [n, SEQUENCE] (NaN unknown), half overlapping."""
    features, outcomes = [], []
    for one in runs:
        follower = ScopeFeatures(one.run.kind)
        taken = [follower.take(values_of(sample), sample.seconds) for sample in one.samples]
        rows = np.array([np.zeros(FEATURE_COUNT) if each is None else each for each in taken])
        for start in range(0, len(rows) - SEQUENCE + 1, SEQUENCE // 2):
            features.append(rows[start : start + SEQUENCE])
            outcomes.append(one.came[start : start + SEQUENCE])
    return np.array(features), np.array(outcomes)


def recurrent_gradients(
    gates: FloatArray, out: FloatArray, inputs: FloatArray, came: FloatArray
) -> list[FloatArray]:
    """Gradients of the mean log loss over all steps of known outcome, for gates and out."""
    hidden, count = len(out) - 1, inputs.shape[2]
    state = np.zeros((len(inputs), hidden))
    kept = []
    for at in range(inputs.shape[1]):
        given = inputs[:, at] @ gates[:, :count].T + gates[:, -1]
        both = sigmoid(given[:, : 2 * hidden] + state @ gates[: 2 * hidden, count:-1].T)
        reset, update = both[:, :hidden], both[:, hidden:]
        candidate = np.tanh(given[:, 2 * hidden :] + (reset * state) @ gates[2 * hidden :, count:-1].T)
        after = update * state + (1 - update) * candidate
        kept.append((state, reset, update, candidate, after))
        state = after
    known = ~np.isnan(came)
    weight = 1.0 / max(1, int(known.sum()))
    gates_gradient, out_gradient = np.zeros_like(gates), np.zeros_like(out)
    flow = np.zeros_like(state)
    for at in range(inputs.shape[1] - 1, -1, -1):
        before, reset, update, candidate, after = kept[at]
        error = np.where(known[:, at], sigmoid(after @ out[:-1] + out[-1]) - np.nan_to_num(came[:, at]), 0.0)
        error *= weight
        out_gradient[:-1] += error @ after
        out_gradient[-1] += error.sum()
        flow = flow + np.multiply.outer(error, out[:-1])
        to_candidate = flow * (1 - update) * (1 - candidate**2)
        to_reset_state = to_candidate @ gates[2 * hidden :, count:-1]
        to_reset = to_reset_state * before * reset * (1 - reset)
        to_update = flow * (before - candidate) * update * (1 - update)
        both = np.concatenate([to_reset, to_update], axis=1)
        every = np.concatenate([both, to_candidate], axis=1)
        gates_gradient[:, :count] += every.T @ inputs[:, at]
        gates_gradient[:, -1] += every.sum(axis=0)
        gates_gradient[: 2 * hidden, count:-1] += both.T @ before
        gates_gradient[2 * hidden :, count:-1] += to_candidate.T @ (reset * before)
        flow = flow * update + both @ gates[: 2 * hidden, count:-1] + to_reset_state * reset
    return [gates_gradient, out_gradient]
