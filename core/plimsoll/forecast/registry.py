"""Forecast models by name.

`auto` is the one that measured best over all recorded containers, not a choice per container
(docs/decisions/0022). A policy (`forecast.model`) may name every one that people look for and that the
operator can carry: `POLICY_MODELS`, which is the one list of them. `windowed` is a member and a stand-in;
`boosted` needs LightGBM and taught what ships (docs/decisions/0206, 0257, 0303). Both can be replayed
(`plimsoll replay --model`).
"""

from collections.abc import Callable

from plimsoll.forecast.autopilot_ml import AutopilotMl
from plimsoll.forecast.boosted import BoostedPeak
from plimsoll.forecast.ensemble import EnsemblePeak
from plimsoll.forecast.growth import GrowthPeak
from plimsoll.forecast.hazard import HazardPeak
from plimsoll.forecast.holt_winters import HoltWinters
from plimsoll.forecast.moving_windows import MovingWindows
from plimsoll.forecast.prophet import AnswerBook, ProphetPeak
from plimsoll.forecast.protocol import PeakModel
from plimsoll.forecast.routed import RoutedPeak
from plimsoll.forecast.seasonal import SeasonalPeak
from plimsoll.forecast.vpa import VpaHistogram
from plimsoll.forecast.windowed import WindowedPeak

DEFAULT_MODEL = "auto"

_MODELS: dict[str, Callable[[], PeakModel]] = {
    DEFAULT_MODEL: HazardPeak,
    "hazard": HazardPeak,
    "windowed": WindowedPeak,
    "seasonal": SeasonalPeak,
    "vpa": VpaHistogram,
    "moving-windows": MovingWindows,
    "autopilot-ml": AutopilotMl,
    "holt-winters": HoltWinters,
    "growth": GrowthPeak,
    "boosted": BoostedPeak,
    "ensemble": lambda: EnsemblePeak((HazardPeak, WindowedPeak, SeasonalPeak, HoltWinters)),
    "routed": RoutedPeak,
    # Without a book of answers (a shell brings it) this is `auto`.
    "prophet": lambda: prophet_with(AnswerBook()),
}


# What the operator's image lacks a package for, and what nobody looks for by name.
REPLAY_ONLY = frozenset({"boosted", "windowed"})
POLICY_MODELS = tuple(name for name in _MODELS if name not in REPLAY_ONLY)


def model_names() -> tuple[str, ...]:
    """All names, those that no policy may use among them."""
    return tuple(_MODELS)


def prophet_with(book: AnswerBook) -> PeakModel:
    """The model `prophet` with these answers; `auto` stands in where there is none."""
    return ProphetPeak(peak_model(DEFAULT_MODEL), book)


def peak_model(name: str) -> PeakModel:
    """The model of that name."""
    try:
        return _MODELS[name]()
    except KeyError:
        raise ValueError(f"unknown forecast model {name!r}; known: {', '.join(_MODELS)}") from None
