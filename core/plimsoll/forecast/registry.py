"""Forecast models by the name a policy gives them (`forecast.model`). `auto` is the one that measured best
over all recorded containers, not a choice per container (docs/decisions/0022)."""

from collections.abc import Callable

from plimsoll.forecast.hazard import HazardPeak
from plimsoll.forecast.protocol import PeakModel
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
}


def model_names() -> tuple[str, ...]:
    """All names a policy may use."""
    return tuple(_MODELS)


def peak_model(name: str) -> PeakModel:
    """The model of that name."""
    try:
        return _MODELS[name]()
    except KeyError:
        raise ValueError(f"unknown forecast model {name!r}; known: {', '.join(_MODELS)}") from None
