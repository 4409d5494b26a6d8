"""Who is measured: recommenders by name, each at its published or promised setting and along its one knob.

In: the `Brain` that Plimsoll's arms decide with. Out: `Arm`s, picklable, so that processes can
share the work. The knob of a peer is the one that its own documentation gives its users.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from plimsoll.forecast.autopilot_ml import ArmSettings
from plimsoll.forecast.protocol import PeakModel
from plimsoll.pipeline import PipelineSettings
from plimsoll.recommend.objective import DEFAULT_OBJECTIVE, price_at
from plimsoll.replay.limits import BatchFacts, ObservedBin, Proposal, ReplayRecommender
from plimsoll.replay.live import LiveRecommender
from plimsoll.replay.peers.autopilot import Autopilot
from plimsoll.replay.peers.autopilot_ml import AutopilotMlPeer
from plimsoll.replay.peers.krr import Krr
from plimsoll.replay.peers.oracle import Oracle
from plimsoll.replay.peers.static import Static
from plimsoll.replay.peers.vpa import Vpa
from plimsoll.replay.peers.vpa_climb import VpaClimb
from plimsoll.replay.peers.vpa_guarded import VpaGuarded
from plimsoll.replay.series import FloatArray, SeriesBatch
from plimsoll.usage.promises import NO_PROMISE

SUBJECT = "plimsoll"
DEFAULT = "default"
# Container-days of unused limit that a kill is worth.
PRICES = (0.06, 0.15, 0.4, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 150.0)
UNGUARDED_PRICES = (0.4, 2.5, 10.0, 60.0)
# The points that are promised by name; settings are fixed beforehand, so the realised figure stands beside.
OBJECTIVES = ("slack:0.268", "oom:76")
# What a cluster sees of a killed bin: whether the past is lifted, by name; and the price it is looked at.
CENSORED = {"censored": False, "censored lifted": True}
CENSORED_PRICE = 5.0
MARGINS = (1.0, 1.05, 1.1, 1.15, 1.2, 1.3, 1.5)
HEADROOMS = (1.0, 1.1, 1.2, 1.3, 1.5)
OVERRUNS = (10.0, 30.0, 100.0, 300.0, 1000.0, 10_000.0)


@dataclass(frozen=True, slots=True)
class Arm:
    """A recommender at one setting. `on_frontier`: a step of its knob, and not a point that was asked for."""

    recommender: str
    setting: str
    make: Callable[[SeriesBatch], ReplayRecommender]
    on_frontier: bool = True

    @property
    def key(self) -> tuple[str, str]:
        """Who, at which setting."""
        return self.recommender, self.setting


@dataclass(frozen=True, slots=True)
class Brain:
    """What Plimsoll's arms decide with: a model, and what an objective costs. None: what ships."""

    model: PeakModel | None = None
    table: Mapping[str, Sequence[float]] | None = None

    def settings(self, objective: str = DEFAULT_OBJECTIVE, **more: object) -> PipelineSettings:
        """Settings for an objective."""
        price = None if self.table is None else price_at(objective, self.table)
        return replace(PipelineSettings(objective=objective, oom_price=price), **more)


class Promising(LiveRecommender):
    """The live pipeline, which also notes what chance of an OOM it sees in every window at its limit."""

    def start(self, facts: BatchFacts) -> None:
        """Forget all."""
        super().start(facts)
        self._every = facts.decide_bins
        self._notes: dict[int, FloatArray] = {}
        self._series = facts.series

    def decide(self, bin_index: int, limit_bytes: FloatArray) -> Proposal:
        """As the pipeline decides, and what it has just promised."""
        proposal = super().decide(bin_index, limit_bytes)
        made = self._history.promises.open(self._rows)
        self._notes[bin_index // self._every] = np.where(made.bin == NO_PROMISE, np.nan, made.chance)
        return proposal

    def promises(self, windows: int) -> FloatArray:
        """[n, windows]; NaN where none was made."""
        promised = np.full((self._series, windows), np.nan)
        for window, chances in self._notes.items():
            promised[:, window] = chances
        return promised


class Censored(LiveRecommender):
    """The live pipeline as a cluster has it: usage of a bin with a kill is cut off at the limit."""

    def observe(self, observed: ObservedBin) -> None:
        """The bin, as far as there was memory to be seen in."""
        cut = np.where(observed.oom, observed.limit_bytes, observed.usage_bytes)
        super().observe(replace(observed, usage_bytes=cut))


def plimsoll(
    _batch: SeriesBatch, settings: PipelineSettings, model: PeakModel | None, *, promising: bool = False
) -> ReplayRecommender:
    """The live pipeline at these settings."""
    return Promising(settings, model) if promising else LiveRecommender(settings, model)


def cut_off(_batch: SeriesBatch, settings: PipelineSettings, model: PeakModel | None) -> ReplayRecommender:
    """The live pipeline that is not shown what was cut off."""
    return Censored(settings, model)


def peer(_batch: SeriesBatch, kind: Callable[..., ReplayRecommender], **knob: object) -> ReplayRecommender:
    """A peer with its knob turned."""
    return kind(**knob)


def ml(_batch: SeriesBatch, overrun: float) -> ReplayRecommender:
    """Autopilot's arms with another weight of overruns."""
    return AutopilotMlPeer(ArmSettings(overrun=overrun))


def defaults(brain: Brain) -> Iterator[Arm]:
    """Every recommender as it is without being asked."""
    for name, guarded in ((SUBJECT, True), ("plimsoll-no-guard", False)):
        made = partial(plimsoll, settings=brain.settings(guarded=guarded), model=brain.model)
        yield Arm(name, DEFAULT, partial(made, promising=guarded), False)
    for name, kind in PEERS.items():
        yield Arm(name, DEFAULT, partial(peer, kind=kind))
    yield Arm("oracle", DEFAULT, Oracle)


def promised_points(brain: Brain) -> Iterator[Arm]:
    """Plimsoll at operating points that are asked for by name."""
    for objective in OBJECTIVES:
        made = partial(plimsoll, settings=brain.settings(objective), model=brain.model)
        yield Arm(SUBJECT, objective, made, on_frontier=False)


def censored(brain: Brain) -> Iterator[Arm]:
    """Plimsoll where nobody sees what a killed process would have used, with and without the mend."""
    for told, settings in (
        (DEFAULT, brain.settings()),
        (f"price {CENSORED_PRICE:g}", PipelineSettings(oom_price=CENSORED_PRICE)),
    ):
        for name, lifts in CENSORED.items():
            made = partial(cut_off, settings=replace(settings, lifted=lifts), model=brain.model)
            yield Arm(SUBJECT, f"{told} {name}", made, on_frontier=False)


def knobs(brain: Brain) -> Iterator[Arm]:
    """Every recommender along its knob; where that is at its default, `defaults` has it."""
    for name, prices in ((SUBJECT, PRICES), ("plimsoll-no-guard", UNGUARDED_PRICES)):
        for price in prices:
            settings = PipelineSettings(guarded=name == SUBJECT, oom_price=price)
            made = partial(plimsoll, settings=settings, model=brain.model, promising=name == SUBJECT)
            yield Arm(name, f"price {price:g}", made)
    for name, (argument, values, standard) in KNOBS.items():
        for value in values:
            if value != standard:
                yield Arm(name, f"{argument} {value:g}", partial(peer, kind=PEERS[name], **{argument: value}))
    for overrun in OVERRUNS:
        if overrun != ArmSettings().overrun:
            yield Arm("autopilot-ml", f"overrun {overrun:g}", partial(ml, overrun=overrun))


PEERS: dict[str, Callable[..., ReplayRecommender]] = {
    "vpa": Vpa,
    "vpa-guarded": VpaGuarded,
    "vpa-climb": VpaClimb,
    "krr": Krr,
    "autopilot": Autopilot,
    "autopilot-ml": AutopilotMlPeer,
    "static": Static,
}
# Name of the argument, values that are tried, and the one that it has by default.
KNOBS: dict[str, tuple[str, tuple[float, ...], float]] = {
    "vpa": ("margin", MARGINS, 1.15),
    "vpa-guarded": ("margin", MARGINS, 1.15),
    "vpa-climb": ("margin", MARGINS, 1.15),
    "krr": ("buffer", MARGINS, 1.15),
    "autopilot": ("margin", MARGINS, 1.15),
    "static": ("headroom", HEADROOMS, 1.2),
}
RECOMMENDERS = (SUBJECT, "plimsoll-no-guard", *PEERS, "oracle")
