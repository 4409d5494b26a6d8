"""Pods for a what-if, out of advice about their containers.

In: advice (what the pipeline says and what was seen of each container), which of them make up each pod, and
which every node runs. Out: a `Fleet`. A container that nobody has seen counts with its request; what is
counted how is said in notes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plimsoll.placement.lanes import FloatArray
from plimsoll.placement.together import NO_KIN
from plimsoll.replay.series import BoolArray, IntArray
from plimsoll.replay.whatif import Pods, vpa_requests
from plimsoll_cli.advice.judge import Advice
from plimsoll_cli.failure import CommandError

FORCE, VPA, OWN = "requests in force", "VPA's requests", "Plimsoll's requests"
HOURS_PER_DAY = 24


@dataclass(frozen=True, slots=True)
class PodOf:
    """A pod, and which containers (rows of the advice) it has."""

    name: str
    containers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a fleet is from."""

    said: str
    hour_of_day: int  # the coming one ...
    clock: str  # ... by this clock
    in_force: bool  # whether requests in force are known


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is to be placed, and what is known of it."""

    source: Source
    names: tuple[str, ...]  # [n] of pods
    pods: Pods
    containers: int
    promised: int  # containers of which the pipeline promises something ...
    exceeding: float | None  # ... and the mean chance that one exceeds its limit within an hour
    notes: tuple[str, ...] = ()


def fleet_of(
    source: Source,
    advice: Sequence[Advice],
    pods: Sequence[PodOf],
    every_node: Sequence[PodOf] = (),
    behind_hours: Sequence[int] = (),
) -> Fleet:
    """The fleet. `behind_hours`: how much earlier in the day each container's past ends than the latest."""
    seen = _hourly(advice, behind_hours)
    known: BoolArray = np.asarray(np.isfinite(seen).any(axis=1))
    force = np.array([each.subject.request_bytes or 0 for each in advice], dtype=np.float64)
    own = np.array([each.request_bytes or np.nan for each in advice], dtype=np.float64)
    vpa = vpa_requests(seen)
    hands = {VPA: np.where(np.isfinite(vpa), vpa, force), OWN: np.where(np.isfinite(own), own, force)}
    if source.in_force:
        hands = {FORCE: force, **hands}

    def requests(of: Sequence[PodOf]) -> dict[str, FloatArray]:
        return {
            hand: np.array([each[list(pod.containers)].sum() for pod in of], dtype=np.float64)
            for hand, each in hands.items()
        }

    running = np.array([each for pod in pods for each in pod.containers], dtype=np.intp)
    count = np.bincount(running, minlength=len(advice))
    if not (known | (force > 0))[running].any():  # no chance can be told of pods of which nothing is known
        text = "has a usable value in a whole hour, or a request"
        raise CommandError(f"nothing to plan: of {source.said}, none {text}")
    chances = np.array([np.nan if each.exceeding is None else each.exceeding for each in advice])
    promised = np.isfinite(chances) & (count > 0)
    weight = count[promised]
    return Fleet(
        source,
        tuple(pod.name for pod in pods),
        Pods(
            _of_pods(pods, seen, force),
            requests(pods),
            _of_pods(every_node, seen, force),
            requests(every_node),
            # Replicas have the same containers.
            np.array([min(pod.containers, default=NO_KIN) for pod in pods], dtype=np.int64),
        ),
        containers=int(count.sum()),
        promised=int(weight.sum()),
        exceeding=float((chances[promised] * weight).sum() / weight.sum()) if weight.sum() else None,
        notes=tuple(_notes(known, force, np.isfinite(own), count)),
    )


def _hourly(advice: Sequence[Advice], behind_hours: Sequence[int]) -> FloatArray:
    """[c, hours] maxima of whole hours, such that the same column is the same hour of the day."""
    seen = np.array([each.seen.hourly_bytes[:-1] for each in advice], dtype=np.float64)
    for row, behind in enumerate(behind_hours):
        if behind:
            seen[row] = np.concatenate([seen[row, behind:], np.full(behind, np.nan)])
    return seen


def _of_pods(pods: Sequence[PodOf], seen: FloatArray, force: FloatArray) -> FloatArray:
    """[n, hours] sums over containers; where none was ever seen, the last hour holds the requests."""
    hours = seen.shape[1]
    made = np.full((len(pods), hours), np.nan)
    for place, pod in enumerate(pods):
        rows = list(pod.containers)
        known = np.isfinite(seen[rows]).any(axis=1)
        unseen = float(force[rows][~known].sum())
        if known.any():
            mine = seen[rows][known]
            whole = mine.sum(axis=0)
            # Containers that were never seen in the same hour: each hour holds those that were.
            made[place] = unseen + (whole if np.isfinite(whole).any() else _sum_of_seen(mine))
        else:
            made[place, -1] = unseen
    return made


def _sum_of_seen(mine: FloatArray) -> FloatArray:
    seen = np.isfinite(mine)
    return np.where(seen.any(axis=0), np.where(seen, mine, 0.0).sum(axis=0), np.nan)


def _notes(known: BoolArray, force: FloatArray, advised: BoolArray, count: IntArray) -> list[str]:
    """What is not known, in sentences; counted by running containers."""
    unseen = int(count[~known & (force > 0)].sum())
    nothing = int(count[~known & (force == 0)].sum())
    unready = int(count[known & ~advised].sum())
    said = (
        (unseen, "no history here: the request counts as the use"),
        (nothing, "neither history nor request: nothing is counted"),
        (unready, "too little history for a request of ours: the one in force counts, if any"),
    )
    return [f"{counted(many, 'container')} with {what}" for many, what in said if many]


def counted(many: int, what: str) -> str:
    """`1 pod`, `2 pods`."""
    return f"{many} {what}{'' if many == 1 else 's'}"
