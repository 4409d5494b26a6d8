"""`routed`: each row is forecast by the model that suits its class.

In: a usage window. Out: per row the word of one model: growing rows are extrapolated, rows with a day or a
week in them look at the same hour of those, all others ask the default. The class is found from the same
window (`workload_class.py`), so nothing is remembered and nothing can be out of date. Restarts are not told
to a forecast, so a start-up peak or a batch job is forecast as what its usage alone looks like.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from plimsoll.forecast.growth import GrowthPeak
from plimsoll.forecast.hazard import HazardPeak
from plimsoll.forecast.protocol import FittedPeak, Hindcast, Memoryless, PeakDistribution, PeakModel
from plimsoll.forecast.seasonal import SeasonalPeak
from plimsoll.forecast.window import UsageWindow, part_of
from plimsoll.forecast.workload_class import WorkloadClass, workload_classes
from plimsoll.usage.events import starts_at


def suited() -> dict[WorkloadClass, PeakModel]:
    """Models by class, as they ship."""
    seasonal = SeasonalPeak()
    return {
        WorkloadClass.GROWTH: GrowthPeak(),
        WorkloadClass.DIURNAL: seasonal,
        WorkloadClass.WEEKLY: seasonal,
    }


@dataclass(frozen=True)
class RoutedPeak(Memoryless):
    """A model for some classes, and one for the rest."""

    default: PeakModel = field(default_factory=HazardPeak)
    by_class: Mapping[WorkloadClass, PeakModel] = field(default_factory=suited)
    name: str = "routed"

    def fit(self, window: UsageWindow) -> "FittedRouted":
        """Find the classes and let each model read its own rows."""
        none = starts_at(np.full((len(window), 1), np.nan))
        classes = workload_classes(window, none, 0.0)
        taken = np.zeros(len(window), dtype=np.bool_)
        parts: list[tuple[npt.NDArray[np.intp], FittedPeak]] = []
        for kind, model in self.by_class.items():
            places = np.flatnonzero(classes == kind)
            if len(places):
                parts.append((places, model.fit(part_of(window, places))))
                taken[places] = True
        rest = np.flatnonzero(~taken)
        if len(rest) or not parts:
            parts.append((rest, self.default.fit(part_of(window, rest))))
        return FittedRouted(len(window), tuple(parts))


@dataclass(frozen=True, slots=True)
class FittedRouted:
    """The models' words, and whose rows they are."""

    rows: int
    parts: tuple[tuple[npt.NDArray[np.intp], FittedPeak], ...]

    def predict(self, horizon_seconds: float, levels: npt.NDArray[np.float64]) -> PeakDistribution:
        """Each row's from its own model."""
        values = np.full((self.rows, len(levels)), np.nan)
        for places, fitted in self.parts:
            values[places] = fitted.predict(horizon_seconds, levels).values_bytes
        return PeakDistribution(levels, values)

    def hindcast(self) -> Hindcast:
        """Each row's from its own model; shorter pasts are padded."""
        said = [(places, fitted.hindcast()) for places, fitted in self.parts]
        width = max(each.log_error.shape[1] for _, each in said)
        point, errors = np.full(self.rows, np.nan), np.full((self.rows, width), np.nan)
        strength = np.ones((self.rows, 1))
        for places, each in said:
            point[places] = each.point_bytes
            errors[places[:, None], np.arange(width - each.log_error.shape[1], width)] = each.log_error
            strength[places] = each.prior_strength
        return Hindcast(point, errors, strength)
