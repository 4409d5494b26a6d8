"""Made series whose circumstances are known: deployments, starts that need more, an autoscaler at work.

In: a seed. Out: usage in five-minute bins and what a shell would have been told when. The recorded traces say
nothing of images, starts or pods, so what knowing them is worth can only be seen where they were made.
"""

from dataclasses import dataclass, field

import numpy as np

from plimsoll.forecast.window import BINS_PER_DAY, BINS_PER_HOUR, FloatArray

MIB = 2.0**20
DAYS = 8
BINS = DAYS * BINS_PER_DAY


@dataclass(frozen=True, slots=True)
class Made:
    """One series and its facts."""

    usage_bytes: FloatArray  # [bins]
    rollouts: tuple[int, ...] = ()  # bins from which another image runs
    starts: tuple[int, ...] = ()  # bins in which its process begins anew
    throttled: tuple[int, ...] = ()  # bins in which its CPU quota holds it up
    pods: FloatArray = field(default_factory=lambda: np.empty(0))  # [bins]; none: always as many


def daily(rng: np.random.Generator, swing: float) -> FloatArray:
    """A day's pattern around 1, with noise that lasts."""
    time = np.arange(BINS) / BINS_PER_DAY
    phase = rng.uniform(0, 2 * np.pi)
    shocks = rng.normal(0, 0.01, BINS)
    noise = np.convolve(shocks, 0.9 ** np.arange(40), mode="same")
    return np.asarray((1 + swing * np.sin(2 * np.pi * time + phase)) * np.exp(noise))


def deployed(rng: np.random.Generator) -> Made:
    """A new image a day or so; each needs something between half and twice as much.

    A process begins with half of what it needs, and takes an hour, or most of a day, to come to all of it.
    """
    ramp = BINS_PER_HOUR * int(rng.choice([1, 6, 18]))
    usage = rng.uniform(80, 800) * MIB * daily(rng, rng.uniform(0.1, 0.4))
    rollouts = np.cumsum(rng.integers(BINS_PER_DAY // 2, 2 * BINS_PER_DAY, DAYS))
    rollouts = rollouts[rollouts < BINS - BINS_PER_HOUR]
    for begin in rollouts:
        usage[begin:] *= np.exp(np.clip(rng.normal(0, 0.25), -0.7, 0.7))
        climb = np.linspace(0.5, 1.0, ramp)[: BINS - begin]
        usage[begin : begin + ramp] *= climb
    return Made(usage, rollouts=tuple(rollouts.tolist()))


def warming(rng: np.random.Generator) -> Made:
    """A process that starts every day or two and needs up to three times as much while it begins."""
    usage = rng.uniform(80, 800) * MIB * daily(rng, 0.05)
    starts = np.cumsum(rng.integers(BINS_PER_DAY // 2, 2 * BINS_PER_DAY, DAYS))
    starts = starts[starts < BINS - BINS_PER_HOUR]
    ratio = rng.uniform(1.5, 3.0)
    for begin in starts:
        usage[begin : begin + 3] *= ratio * rng.uniform(0.95, 1.05)
    return Made(usage, starts=tuple(starts.tolist()))


def throttled(rng: np.random.Generator) -> Made:
    """A process that starts every day or two, and takes one to two and a half hours of a small CPU quota.

    It needs half of what it needs later while it is held up, and up to three times as much at the end of it.
    """
    usage = rng.uniform(80, 800) * MIB * daily(rng, 0.05)
    starts = np.cumsum(rng.integers(BINS_PER_DAY // 2, 2 * BINS_PER_DAY, DAYS))
    starts = starts[starts < BINS - 3 * BINS_PER_HOUR]
    ratio, held_up = rng.uniform(1.5, 3.0), []
    for begin in starts.tolist():
        peak = begin + int(rng.integers(BINS_PER_HOUR, 2.5 * BINS_PER_HOUR))
        usage[begin:peak] *= 0.5
        usage[peak : peak + 3] *= ratio * rng.uniform(0.95, 1.05)
        held_up += range(begin, peak + 3)
    return Made(usage, starts=tuple(starts.tolist()), throttled=tuple(held_up))


def autoscaled(rng: np.random.Generator) -> Made:
    """Load on one to eight pods, as an autoscaler divides it: each keeps near a target until there are fewer.

    A part of a pod's memory, from none to all but a tenth, follows its load.
    """
    load = rng.uniform(3, 6) * daily(rng, rng.uniform(0.3, 0.6))
    share = rng.choice([0.0, 0.5, 0.9])
    pods = np.empty(BINS)
    count = np.ceil(load[0])
    for bin_ in range(BINS):
        if load[bin_] > count:
            count = np.ceil(load[bin_])
        elif bin_ % 6 == 0 and load[bin_] < 0.5 * count:
            count = max(np.ceil(count / 2), 1)  # with hesitation, and then by half
        pods[bin_] = count
    carried = np.concatenate([load[:1] / pods[:1], load[:-1] / pods[:-1]])  # the load moves a bin later
    return Made(rng.uniform(80, 800) * MIB * (1 - share + share * carried), pods=pods)


def thinned(rng: np.random.Generator) -> Made:
    """Four pods, of which some go for an hour or three, once or twice a day: nodes that are taken away."""
    load = daily(rng, rng.uniform(0.1, 0.3))
    pods = np.full(BINS, 4.0)
    gone = np.cumsum(rng.integers(BINS_PER_DAY // 2, BINS_PER_DAY, 2 * DAYS))
    for begin in gone[gone < BINS - BINS_PER_HOUR].tolist():
        pods[begin : begin + int(rng.integers(1, 4)) * BINS_PER_HOUR] = rng.choice([1.0, 2.0, 3.0])
    carried = load * 4 / np.concatenate([pods[:1], pods[:-1]])  # the load moves a bin later
    share = rng.choice([0.0, 0.5, 0.9])
    return Made(rng.uniform(80, 800) * MIB * (1 - share + share * carried), pods=pods)


MAKERS = {
    "rollouts": deployed,
    "starts": warming,
    "throttled_starts": throttled,
    "autoscaler": autoscaled,
    "lost_pods": thinned,
}
