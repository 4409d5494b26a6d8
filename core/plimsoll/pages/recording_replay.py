"""What a page policy would have done with a recorded access pattern: the agent's own ones, and plain ones.

In: a `Recording` by address, a policy's name, the refault budget. Out: the share of memory that would have
been out, and of accesses that would have met what was out. `guarded`, `budgeted` and `reuse` are
`GuardedReclaim`, as plans by address run it, and speak from their eighth look on; `survival` and `idle-age`
tell what is cold by idle ages, as the agent does where it knows no addresses. All that a policy names is
taken at once: how much of it goes in a tick is the law's (PSI, pace, the node), of which a recording tells
nothing.
"""

import math
from dataclasses import dataclass

import numpy as np

from plimsoll.pages.address_plan import LEAST_LOOKS
from plimsoll.pages.cold import ADDRESS_POLICIES, PAGE_POLICIES, page_policy
from plimsoll.pages.epochs import BoolArray, EpochBits, FloatArray, IntArray
from plimsoll.pages.guarded_plan import GuardedReclaim
from plimsoll.pages.idle import AdaptiveIdleAge, IdleAge, ReclaimPolicy
from plimsoll.pages.recording import Axis, Recording
from plimsoll.pages.survival import SurvivalModel
from plimsoll.pages.working_set import IdleAges

NOTHING = np.empty(0, dtype=np.int64)
BY_AGES = ("survival", "idle-age")
AGENT_POLICIES = (*ADDRESS_POLICIES, *BY_AGES)
MOST_EDGES = 1024  # of a histogram: looks that are further back share its last bin
MINUTE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a page policy would have done with a recording, from a tenth of it on."""

    reclaimed_ratio: float
    """Of all memory times time since its first touch, the share that was out."""
    refault_ratio: float
    """Of all accesses, those to what was out."""


def replayed(recording: Recording, policy: ReclaimPolicy) -> Replayed:
    """Let a page policy work on a recording by address. Raises ValueError for one by idle age."""
    if recording.axis is not Axis.ADDRESS:
        raise ValueError("a recording by idle age has no parts that could be taken; record with DAMON")
    hot = recording.heat > 0
    sizes = recording.sizes_bytes
    resident = np.ones(hot.shape[1], bool)
    seen = np.zeros(hot.shape[1], bool)
    out = there = back = touched = 0.0
    for epoch, accessed in enumerate(hot):
        returned = accessed & ~resident
        resident |= accessed
        seen |= accessed
        positions = policy.step(EpochBits(accessed, np.zeros_like(accessed), resident & seen))
        if epoch * 10 >= len(hot):
            back += float(sizes[returned].sum())
            touched += float(sizes[accessed].sum())
            there += float(sizes[seen].sum())
        resident[positions] = False
        if epoch * 10 >= len(hot):
            out += float(sizes[~resident & seen].sum())
    return Replayed(out / there if there else 0.0, back / touched if touched else 0.0)


def policy_for_replay(name: str, recording: Recording, target: float) -> ReclaimPolicy:
    """One of the agent's policies by its name, `idle-age:N` (epochs), or `adaptive` (a closed loop).

    Raises ValueError for any other name.
    """
    parts, (kind, _, number) = recording.heat.shape[1], name.partition(":")
    if name in ADDRESS_POLICIES:
        return ByAddress(parts, target, name)
    if name in BY_AGES:
        return ByAges(recording, target, name)
    if kind == "idle-age" and number.isdecimal():
        return IdleAge(parts, int(number))
    if name == "adaptive":
        return AdaptiveIdleAge(parts, target)
    if name in PAGE_POLICIES:
        raise ValueError(f"{name!r} leaves it to the kernel what goes: a recording cannot tell that")
    known = ", ".join((*AGENT_POLICIES, "idle-age:EPOCHS"))
    raise ValueError(f"no policy {name!r} to replay with; there are {known} and adaptive")


class ByAddress:
    """`GuardedReclaim` over a recording's parts, each of them a block; whoever is named orders throughout."""

    def __init__(self, parts: int, target: float, name: str) -> None:
        self._plan = GuardedReclaim(np.arange(parts, dtype=np.int64), target)
        self._name = name
        self._looks = 0

    def step(self, bits: EpochBits | None) -> IntArray:
        """Positions of parts to page out; none before it has looked as often as a plan must to speak."""
        chosen = self._plan.step(bits, self._name)
        self._looks += 1
        if self._looks < LEAST_LOOKS:
            return NOTHING
        self._plan.took(chosen)
        return np.sort(chosen)


class ByAges:
    """A page policy by idle ages: it is told the histogram of what is resident, and names an age."""

    def __init__(self, recording: Recording, target: float, name: str) -> None:
        self._seconds, self._sizes = recording.seconds, recording.sizes_bytes
        self._target, self._policy = target, page_policy(name)
        self._model = SurvivalModel()
        self._touched = np.full(len(self._sizes), -math.inf)
        self._before: IdleAges | None = None
        self._epoch = -1

    def step(self, bits: EpochBits | None) -> IntArray:
        """Positions of resident parts that are as old as the policy says."""
        self._epoch += 1
        if bits is None:
            return NOTHING
        now = float(self._seconds[self._epoch])
        self._touched[bits.accessed] = now
        self._learn(now)
        ages = self._ages(bits.resident, now)
        # As the agent has it: the budget is a share of what was touched within a minute.
        minute_bytes = max(0.0, ages.working_set_bytes(MINUTE_SECONDS))
        cold = self._policy(ages, self._model, self._target * minute_bytes / MINUTE_SECONDS)
        if cold is None:
            return NOTHING
        return np.flatnonzero(bits.resident & (now - self._touched >= cold.threshold_seconds))

    def _learn(self, now: float) -> None:
        """From all that was ever touched, for what is out came back no sooner for being out."""
        after = self._ages(np.isfinite(self._touched), now)
        if self._before is not None:
            elapsed = now - float(self._seconds[self._epoch - 1])
            self._model.observe(self._before, after, elapsed, 0.0)  # nothing that is out is missing here
        self._before = after

    def _ages(self, parts: BoolArray, now: float) -> IdleAges:
        """The histogram of these parts, with an edge at each look."""
        first = max(0, self._epoch + 1 - MOST_EDGES)
        edges: FloatArray = now - self._seconds[first : self._epoch + 1][::-1]
        bins = np.searchsorted(edges, now - self._touched[parts], side="right") - 1
        amounts = np.bincount(bins, self._sizes[parts], minlength=len(edges)).astype(np.float64)
        return IdleAges(np.append(edges, np.inf), amounts)
