"""The recommenders a replay knows, by name.

A factory takes the batch and the operating point. Only the oracle looks into the batch; the peers have no
operating point of their own, so to ask one of them for it is an error and not a silent default.
"""

from collections.abc import Callable

from plimsoll.pipeline import PipelineSettings
from plimsoll.replay.limits import ReplayRecommender
from plimsoll.replay.live import LiveRecommender
from plimsoll.replay.peers.autopilot import Autopilot
from plimsoll.replay.peers.autopilot_ml import AutopilotMlPeer
from plimsoll.replay.peers.krr import Krr
from plimsoll.replay.peers.oracle import Oracle
from plimsoll.replay.peers.static import Static
from plimsoll.replay.peers.vpa import Vpa
from plimsoll.replay.peers.vpa_guarded import VpaGuarded
from plimsoll.replay.series import SeriesBatch

LIVE = ("plimsoll", "plimsoll-no-guard")
PEERS: dict[str, Callable[[SeriesBatch], ReplayRecommender]] = {
    "vpa": lambda _: Vpa(),
    "vpa-guarded": lambda _: VpaGuarded(),
    "krr": lambda _: Krr(),
    "autopilot": lambda _: Autopilot(),
    "autopilot-ml": lambda _: AutopilotMlPeer(),
    "static": lambda _: Static(),
    "oracle": Oracle,
}
NAMES = (*LIVE, *PEERS)


def recommender(name: str, batch: SeriesBatch, objective: str | None = None) -> ReplayRecommender:
    """The recommender `name` for `batch`; `objective` is `plimsoll`'s operating point (None: its default)."""
    if name in LIVE:
        settings = PipelineSettings(guarded=name == "plimsoll")
        if objective is not None:
            settings = PipelineSettings(guarded=name == "plimsoll", objective=objective)
        return LiveRecommender(settings)
    if name not in PEERS:
        raise ValueError(f"unknown recommender {name!r}; there are {', '.join(NAMES)}")
    if objective is not None:
        raise ValueError(f"recommender {name!r} has no operating point, so no objective {objective!r}")
    return PEERS[name](batch)
