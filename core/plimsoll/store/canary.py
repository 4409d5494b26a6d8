"""A merged model on trial: a few rows use it, both models are judged by what came, the worse one goes.

In: for each round (say, an hour of a canary node) the losses of candidate and predecessor on the same
outcomes. Out: promote, roll back or wait. The evidence is a bet against each hypothesis: wealth that grows by
the losses' relative difference. As long as the candidate is no worse, the wealth of the bet that it is worse
exceeds 1/alpha at any time with a chance of at most alpha (Ville's inequality; Waudby-Smith & Ramdas,
"Estimating means of bounded random variables by betting", 2021), however long one looks and however losses
depend on the past. Without proof within `MOST_ROUNDS` the predecessor stays.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from plimsoll.store.content import ContentError, Document

FloatArray = npt.NDArray[np.float64]

ALPHA = 0.01  # chance to roll back a candidate that is no worse; chance to promote one worse than MARGIN
MARGIN = 0.01  # of relative loss, that a promoted candidate may be worse by
SHARE = 0.1  # of the rows or nodes that a candidate is tried on
MOST_ROUNDS = 2000
MOST_BET = 0.5  # of the wealth in one round
LEAST_STEP = 1e-6  # of a number: a model that differs by less is the same one
KEPT_REFUSALS = 16
_PRIOR_ROUNDS, _PRIOR_SQUARE = 2.0, 0.02  # what is believed of differences before any was seen


class Verdict(StrEnum):
    """What a round has shown."""

    WAIT = "wait"
    PROMOTE = "promote"
    ROLL_BACK = "roll-back"


@dataclass(frozen=True, slots=True)
class Trial:
    """The evidence so far. Differences are (candidate - predecessor) / (candidate + predecessor)."""

    rounds: int = 0
    total: float = 0.0  # of differences
    squares: float = 0.0
    worse: float = 0.0  # log of the wealth of the bet that the candidate is worse
    sound: float = 0.0  # log of the wealth of the bet that it is worse by less than MARGIN

    def after(self, candidate_loss: float, predecessor_loss: float) -> "Trial":
        """With one more round."""
        difference = relative_difference(candidate_loss, predecessor_loss)
        seen = self.rounds + _PRIOR_ROUNDS
        mean, square = self.total / seen, (self.squares + _PRIOR_SQUARE) / seen
        against, for_ = _bet(mean, square), _bet(MARGIN - mean, square)
        return Trial(
            self.rounds + 1,
            self.total + difference,
            self.squares + difference**2,
            self.worse + math.log1p(against * difference),
            self.sound + math.log1p(for_ * (MARGIN - difference) / (1 + MARGIN)),
        )

    @property
    def verdict(self) -> Verdict:
        """What follows from it."""
        if self.worse >= -math.log(ALPHA):
            return Verdict.ROLL_BACK
        if self.sound >= -math.log(ALPHA):
            return Verdict.PROMOTE
        return Verdict.ROLL_BACK if self.rounds >= MOST_ROUNDS else Verdict.WAIT


@dataclass(frozen=True, slots=True)
class Release:
    """One shared model: what is in use, and what is on trial."""

    generation: int
    current: FloatArray
    candidate: FloatArray | None = None
    trial: Trial = Trial()
    refused: tuple[str, ...] = ()  # of candidates that were rolled back
    heard: Mapping[str, int] = field(default_factory=dict)
    """By node the number of its last judgement that this trial holds: what is heard again changes nothing."""

    def proposed(self, merged: FloatArray) -> "Release":
        """A merged model goes on trial, unless one is, it is no other than the current, or it was refused."""
        if self.candidate is not None or merged.shape != self.current.shape or not np.isfinite(merged).all():
            return self
        if (
            np.allclose(merged, self.current, rtol=LEAST_STEP, atol=LEAST_STEP)
            or _name(merged) in self.refused
        ):
            return self
        return replace(self, generation=self.generation + 1, candidate=merged, trial=Trial(), heard={})

    def judged(
        self, candidate_loss: float, predecessor_loss: float, heard: Mapping[str, int] | None = None
    ) -> tuple["Release", Verdict]:
        """After a round on live outcomes; losses are at least 0; a candidate's NaN is the worst.

        `heard`: by node the number of the judgement that the losses are of.
        """
        if self.candidate is None or not math.isfinite(predecessor_loss):
            return self, Verdict.WAIT
        trial = self.trial.after(candidate_loss, predecessor_loss)
        verdict = trial.verdict
        if verdict is Verdict.WAIT:
            return replace(self, trial=trial, heard={**self.heard, **(heard or {})}), verdict
        if verdict is Verdict.PROMOTE:
            return Release(self.generation + 1, self.candidate, refused=self.refused), verdict
        refused = (*self.refused, _name(self.candidate))[-KEPT_REFUSALS:]
        return Release(self.generation + 1, self.current, refused=refused), verdict


def on_trial(name: str, generation: int, share: float = SHARE) -> bool:
    """True for a share of all names, other ones each generation, the same ones everywhere."""
    drawn = int.from_bytes(hashlib.sha256(f"{generation}\0{name}".encode()).digest()[:8])
    return drawn < share * 2**64


def relative_difference(candidate_loss: float, predecessor_loss: float) -> float:
    """-1 (candidate has no loss) to 1 (its loss is no number, or only it has one)."""
    if not math.isfinite(candidate_loss) or candidate_loss < 0:
        return 1.0
    total = candidate_loss + predecessor_loss
    return (candidate_loss - predecessor_loss) / total if total > 0 else 0.0


def document(release: Release) -> Document:
    """What a record keeps of a release."""
    trial = release.trial
    return {
        "generation": release.generation,
        "current": release.current,
        "candidate": release.candidate,
        "trial": [trial.rounds, trial.total, trial.squares, trial.worse, trial.sound],
        "refused": list(release.refused),
        "heard": dict(release.heard),
    }


def read(said: Mapping[str, Any]) -> Release:
    """A release out of a document. Raises `ContentError`."""
    try:
        current = np.asarray(said["current"], dtype=np.float64)
        held = said.get("candidate")
        candidate = None if held is None else np.asarray(held, dtype=np.float64)
        rounds, *sums = said["trial"]
        trial = Trial(int(rounds), *(float(each) for each in sums))
        refused = tuple(map(str, said["refused"]))
        heard = {str(node): int(number) for node, number in said.get("heard", {}).items()}
        made = Release(int(said["generation"]), current, candidate, trial, refused, heard)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ContentError(f"a release cannot be read: {error}") from error
    if not np.isfinite(current).all():
        raise ContentError("a release's model is not finite")
    return made


def _bet(mean: float, square: float) -> float:
    """The share of the wealth that grows fastest by what was seen before; none where nothing is to be won."""
    return min(max(mean / max(square, mean**2, 1e-12), 0.0), MOST_BET)


def _name(model: FloatArray) -> str:
    return hashlib.sha256(np.ascontiguousarray(model, dtype="<f8").tobytes()).hexdigest()[:16]
