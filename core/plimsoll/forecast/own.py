"""The forecast's last layer refitted to a cluster's own hours, and kept only if better on hours held out.

In: lessons (features of a decision, and which level the hour that followed needed), and the networks that
ship. Out: `OwnWeights`, or why the shipped ones stay. What the hidden layers make of a past is general; how
often it then goes wrong differs by cluster. So only the last layer moves (85 numbers a network): logistic
regression on at-risk pairs by Newton's method, held near the shipped numbers by a penalty whose weight is
drawn from a grid. Workloads are dealt into three parts, never one on two sides: one is fitted to, one
chooses the penalty, one judges. The guard is the upper end of the bootstrap interval over judging workloads
of log loss, own minus shipped: it must lie below zero, and the part that tails have in the loss must not
have grown. Nothing is read or written here; whoever has a worker calls `refit`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.features import LOG_LEVELS
from plimsoll.forecast.hazard import Network, shipped_networks
from plimsoll.forecast.ranks import ranks_among
from plimsoll.forecast.window import Float32Array, FloatArray

PENALTIES = (30.0, 300.0, 3000.0)  # pairs' worth of belief in the shipped numbers
STEPS = 6  # of Newton's method; the loss is convex and it begins close
# A workload that is judged counts once, whatever its size: fewer of them, or of kills, prove nothing.
LEAST_JUDGES, LEAST_RISES = 20, 50
LEAST_GAIN = 0.002  # of the shipped log loss: what is gained must be worth another set of weights
TAIL = 0.1  # log ratio to the last hour's peak from which on own weights must be no worse, either
DRAWS, SURE = 1000, 0.99
SEED = 7
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Lessons:
    """Decisions of a cluster, each with what the hour after it needed."""

    row: Float32Array  # [m, f] features (`forecast.features`)
    level: Float32Array  # [m, levels, g]
    need: npt.NDArray[np.int64]  # [m] first level that survives the hour; len(LOG_LEVELS): none does
    workload: npt.NDArray[np.int64]  # [m] code; lessons of one workload are never on two sides

    def __len__(self) -> int:
        return len(self.need)

    def take(self, mask: BoolArray) -> "Lessons":
        """Only those of `mask`."""
        return Lessons(self.row[mask], self.level[mask], self.need[mask], self.workload[mask])


@dataclass(frozen=True, slots=True)
class LastLayer:
    """What a refit moves of one network, float32 as the network's own."""

    third: Float32Array  # [h2]
    skip: Float32Array  # [f + g]
    bias: Float32Array  # [1]


@dataclass(frozen=True, slots=True)
class Evidence:
    """How a refit did on workloads that it was not fitted to."""

    lessons: int
    workloads: int  # of all three parts
    judges: int  # workloads that judged
    shipped_loss: float  # log loss a lesson, mean over the judging workloads
    own_loss: float
    difference: tuple[float, float]  # interval of own minus shipped
    tail: tuple[float, float]  # the part of both losses beyond TAIL, where limits are priced

    @property
    def better(self) -> bool:
        """The guard: surely better, and by enough to be worth it."""
        gained = self.shipped_loss - self.own_loss >= LEAST_GAIN * self.shipped_loss
        return bool(self.difference[1] < 0 and gained and self.tail[1] <= self.tail[0])


@dataclass(frozen=True, slots=True)
class OwnWeights:
    """Last layers of a cluster's own, for the networks whose fingerprint they were made for."""

    fingerprint: str
    layers: tuple[LastLayer, ...]
    evidence: Evidence
    made_seconds: float = 0.0  # when the lessons were taken

    def networks(self, shipped: Sequence[Network] | None = None) -> tuple[Network, ...]:
        """The shipped networks with these last layers; ValueError where they were made for others."""
        shipped = shipped_networks() if shipped is None else shipped
        if self.fingerprint != fingerprint(shipped) or len(self.layers) != len(shipped):
            raise ValueError("these weights were fitted to other networks than the shipped ones")
        return tuple(
            replace(network, third=layer.third, skip=layer.skip, bias=layer.bias)
            for network, layer in zip(shipped, self.layers, strict=True)
        )


@dataclass(frozen=True, slots=True)
class RefitTask:
    """Lessons to learn from, for whoever has time."""

    ticket: int
    lessons: Lessons


@dataclass(frozen=True, slots=True)
class RefitAnswer:
    """What came of it: weights that passed the guard, or none and why (`verdict`)."""

    ticket: int
    own: OwnWeights | None = None
    evidence: Evidence | None = None  # None: it was not judged
    verdict: str = ""
    failure: str = ""  # it could not even be tried
    seconds: float = 0.0
    remarks: tuple[str, ...] = ()


def fingerprint(networks: Sequence[Network]) -> str:
    """What tells these networks from others."""
    digest = hashlib.sha256()
    for network in networks:
        for part in (network.first, network.second, network.third, network.skip, network.bias):
            digest.update(np.ascontiguousarray(part, dtype="<f4").tobytes())
    return digest.hexdigest()[:32]


def refit(task: RefitTask, networks: Sequence[Network] | None = None) -> RefitAnswer:
    """Fit, choose, judge. The same lessons give the same answer. `networks` stand in for those that ship."""
    shipped = shipped_networks() if networks is None else networks
    lessons = _sound(task.lessons)
    fitting, choosing, judging = dealt(lessons.workload)
    few = _too_few(lessons, judging)
    if few or not fitting.any() or not choosing.any():
        return RefitAnswer(task.ticket, verdict=few or "no workloads to fit to, or none to choose by")
    pairs = tuple(_pairs(network, lessons) for network in shipped)
    before = [_layer_numbers(network) for network in shipped]
    candidates = [
        [_fitted(each, start, fitting, weight) for each, start in zip(pairs, before, strict=True)]
        for weight in PENALTIES
    ]
    chosen = min(candidates, key=lambda each: float(losses(pairs, each)[choosing].mean()))
    evidence = judged(pairs, before, chosen, lessons, judging)
    layers = tuple(_layer(network, each) for network, each in zip(shipped, chosen, strict=True))
    own = OwnWeights(fingerprint(shipped), layers, evidence) if evidence.better else None
    gained = 100 * (1 - evidence.own_loss / evidence.shipped_loss)
    what = f"log loss on {evidence.judges} workloads held out {gained:+.1f} % better than shipped"
    return RefitAnswer(task.ticket, own, evidence, f"{'kept' if own else 'shipped weights stay'}: {what}")


def confirmed(answer: RefitAnswer, task: RefitTask) -> RefitAnswer:
    """An answer that somebody else gave, with own weights only where they pass the guard here as well.

    What made them need not be believed: the judging lessons are the asker's own, and judging takes
    a small part of what a refit does.
    """
    if answer.own is None or answer.failure:
        return replace(answer, own=None)
    shipped = shipped_networks()
    lessons = _sound(task.lessons)
    judges = lessons.take(dealt(lessons.workload)[2])
    try:
        own = [_layer_numbers(network) for network in answer.own.networks(shipped)]
    except ValueError as error:
        return replace(answer, own=None, evidence=None, verdict=f"shipped weights stay: {error}")
    if few := _too_few(judges, np.ones(len(judges), dtype=np.bool_)):
        return replace(answer, own=None, evidence=None, verdict=few)
    pairs = tuple(_pairs(network, judges) for network in shipped)
    everyone = np.ones(len(judges), dtype=np.bool_)
    found = judged(pairs, [_layer_numbers(network) for network in shipped], own, judges, everyone)
    evidence = replace(found, lessons=len(lessons), workloads=len(np.unique(lessons.workload)))
    if not evidence.better:
        why = "what a worker sent is not surely better on the workloads held out here"
        return replace(answer, own=None, evidence=evidence, verdict=f"shipped weights stay: {why}")
    return replace(answer, own=replace(answer.own, evidence=evidence), evidence=evidence)


def dealt(workload: npt.NDArray[np.int64]) -> tuple[BoolArray, BoolArray, BoolArray]:
    """Three masks: half of the workloads to fit to, a fifth to choose by, the rest to judge by.

    By a hash of the code: who was a judge once is one in every later refit, so nothing leaks over time.
    """
    codes, place = np.unique(workload, return_inverse=True)
    digests = (hashlib.sha256(f"{SEED}:{code}".encode()).digest() for code in codes)
    share = np.array([int.from_bytes(each[:8]) / 2**64 for each in digests])[place]
    return share < 0.5, (share >= 0.5) & (share < 0.7), share >= 0.7


@dataclass(frozen=True, slots=True)
class Pairs:
    """All at-risk pairs (lesson, level) as the last layer of a network sees them."""

    at: npt.NDArray[np.intp]  # [k] lesson
    level: npt.NDArray[np.intp]  # [k]
    failed: BoolArray  # [k] more was needed
    inputs: Float32Array  # [k, h2 + f + g + 1]
    weight: FloatArray  # [k] workloads count alike, however many hours of each there are
    lessons: int


def judged(
    pairs: Sequence[Pairs],
    before: Sequence[FloatArray],
    own: Sequence[FloatArray],
    lessons: Lessons,
    judging: BoolArray,
) -> Evidence:
    """Own against shipped numbers on the lessons that were set aside; workloads are drawn, not hours."""
    tail = int(np.searchsorted(LOG_LEVELS, TAIL))
    parts = [losses(pairs, numbers, first)[judging] for first in (0, tail) for numbers in (before, own)]
    codes, place = np.unique(lessons.workload[judging], return_inverse=True)
    hours = np.bincount(place)
    means = np.stack([np.bincount(place, each) / hours for each in parts], axis=1)
    difference = means[:, 1] - means[:, 0]
    drawn = np.random.default_rng(SEED).integers(0, len(codes), (DRAWS, len(codes)))
    low, high = np.quantile(difference[drawn].mean(axis=1), [1 - SURE, SURE])
    shipped_loss, own_loss, *tails = means.mean(axis=0).tolist()
    workloads, interval = len(np.unique(lessons.workload)), (float(low), float(high))
    return Evidence(
        len(lessons), workloads, len(codes), shipped_loss, own_loss, interval, (tails[0], tails[1])
    )


def losses(pairs: Sequence[Pairs], numbers: Sequence[FloatArray], first: int = 0) -> FloatArray:
    """Log loss [m] of each lesson, from level `first` on, under the mean log odds of these last layers."""
    logits = np.mean([each.inputs @ layer for each, layer in zip(pairs, numbers, strict=True)], axis=0)
    one = pairs[0]
    loss = np.logaddexp(0.0, np.where(one.failed, -logits, logits))
    counted = np.where(one.level >= first, loss, 0.0)
    return np.asarray(np.bincount(one.at, counted, one.lessons), dtype=np.float64)


def _too_few(lessons: Lessons, judging: BoolArray) -> str:
    """Why these prove nothing; "": they may."""
    judges = len(np.unique(lessons.workload[judging]))
    rises = int(np.count_nonzero(lessons.need[judging] > 0))
    if judges >= LEAST_JUDGES and rises >= LEAST_RISES:
        return ""
    wanted = f"{LEAST_JUDGES} with {LEAST_RISES} are wanted"
    return f"{judges} workloads with {rises} rises to judge by; {wanted}"


def _sound(lessons: Lessons) -> Lessons:
    finite = np.isfinite(lessons.row).all(axis=1) & np.isfinite(lessons.level).all(axis=(1, 2))
    return lessons.take(finite & (lessons.need >= 0) & (lessons.need <= len(LOG_LEVELS)))


def _pairs(network: Network, lessons: Lessons) -> Pairs:
    at, level = np.nonzero(lessons.need[:, None] >= np.arange(len(LOG_LEVELS)))
    split = len(network.row_knots)
    row = ranks_among(network.row_knots).of(lessons.row)
    own = ranks_among(network.level_knots).of(lessons.level[at, level])
    shared = row @ network.first[:split] + network.first_bias
    hidden = np.tanh(shared[at] + own @ network.first[split:])
    hidden = np.tanh(hidden @ network.second + network.second_bias)
    inputs = np.concatenate([hidden, row[at], own, np.ones((len(at), 1), dtype=np.float32)], axis=1)
    codes, place, hours = np.unique(lessons.workload, return_inverse=True, return_counts=True)
    weight = (len(lessons) / max(len(codes), 1) / hours)[place][at]
    return Pairs(at, level, lessons.need[at] > level, inputs, weight, len(lessons))


def _fitted(pairs: Pairs, start: FloatArray, fitting: BoolArray, penalty: float) -> FloatArray:
    """The last layer that is likeliest for the lessons of a mask, with the shipped one as belief before."""
    mine = fitting[pairs.at]
    inputs, failed, weight = pairs.inputs[mine].astype(np.float64), pairs.failed[mine], pairs.weight[mine]
    # A number that multiplies large inputs moves the odds further: the belief is about odds.
    belief = penalty * np.maximum(np.square(inputs).mean(axis=0), 1e-6)
    found = start.copy()
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-np.clip(inputs @ found, -30, 30)))
        slope = inputs.T @ (weight * (chance - failed)) + belief * (found - start)
        curve = (inputs * (weight * chance * (1 - chance))[:, None]).T @ inputs + np.diag(belief)
        found = found - np.linalg.solve(curve, slope)
    return np.asarray(found)


def _layer_numbers(network: Network) -> FloatArray:
    return np.concatenate([network.third, network.skip, network.bias]).astype(np.float64)


def _layer(network: Network, numbers: FloatArray) -> LastLayer:
    narrow = len(network.third)
    third, skip, bias = (part.astype(np.float32) for part in np.split(numbers, [narrow, len(numbers) - 1]))
    return LastLayer(third, skip, bias)
