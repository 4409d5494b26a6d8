"""The recommenders a replay knows, by name.

A factory takes the batch and the operating point. Only the oracle looks into the batch; the peers have no
operating point of their own, so to ask one of them for it is an error and not a silent default.
"""

from collections.abc import Callable

from plimsoll.forecast.prophet import PeakFitter
from plimsoll.forecast.registry import DEFAULT_MODEL, peak_model
from plimsoll.pipeline import PipelineSettings
from plimsoll.recommend.objective import DEFAULT_OBJECTIVE
from plimsoll.replay.limits import ReplayRecommender
from plimsoll.replay.live import LiveRecommender
from plimsoll.replay.peers.autopilot import Autopilot
from plimsoll.replay.peers.autopilot_ml import AutopilotMlPeer
from plimsoll.replay.peers.krr import Krr
from plimsoll.replay.peers.oracle import Oracle
from plimsoll.replay.peers.static import Static
from plimsoll.replay.peers.vpa import Vpa
from plimsoll.replay.peers.vpa_climb import VpaClimb
from plimsoll.replay.peers.vpa_guarded import VpaGuarded
from plimsoll.replay.series import SeriesBatch

LIVE = ("plimsoll", "plimsoll-no-guard")
PEERS: dict[str, Callable[[SeriesBatch], ReplayRecommender]] = {
    "vpa": lambda _: Vpa(),
    "vpa-guarded": lambda _: VpaGuarded(),
    "vpa-climb": lambda _: VpaClimb(),
    "krr": lambda _: Krr(),
    "autopilot": lambda _: Autopilot(),
    "autopilot-ml": lambda _: AutopilotMlPeer(),
    "static": lambda _: Static(),
    "oracle": Oracle,
}
NAMES = (*LIVE, *PEERS)


def recommender(
    name: str,
    batch: SeriesBatch,
    objective: str | None = None,
    model: str | None = None,
    fitter: PeakFitter | None = None,
) -> ReplayRecommender:
    """The recommender `name` for `batch`.

    `objective` and `model` are `plimsoll`'s operating point and forecast model (None: its defaults);
    `fitter` does the fits of the model `prophet`.
    """
    if name in LIVE:
        settings = PipelineSettings(
            guarded=name == "plimsoll",
            objective=DEFAULT_OBJECTIVE if objective is None else objective,
            model=DEFAULT_MODEL if model is None else model,
        )
        peak_model(settings.model)  # an unknown one is told now
        return LiveRecommender(settings, fitter=fitter)
    if name not in PEERS:
        raise ValueError(f"unknown recommender {name!r}; there are {', '.join(NAMES)}")
    if objective is not None:
        raise ValueError(f"recommender {name!r} has no operating point, so no objective {objective!r}")
    if model is not None:
        raise ValueError(f"recommender {name!r} has one model, so none can be chosen: {model!r}")
    return PEERS[name](batch)
