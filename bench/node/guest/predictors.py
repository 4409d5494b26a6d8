"""Pressure predictors beside each other: asked at each sample, told what came, counted by band of use.

In: names of predictors. Out: forecasts for the machine and for each NUMA node; and, of the machine, hits
in each band of how full memory was when the forecast was made.
"""

from collections import deque
from collections.abc import Iterable, Mapping

from readings import MACHINE

from plimsoll.pressure.outcome import Outcomes, Realised
from plimsoll.pressure.protocol import PressureForecast, PressurePredictor
from plimsoll.pressure.registry import predictor
from plimsoll.pressure.sample import PressureSample, ScopeKind
from plimsoll.pressure.weights import shipped

BANDS = ((0.0, 0.5), (0.5, 0.75), (0.75, 0.9), (0.9, 0.95), (0.95, 1.01))
YES_ABOVE = 0.5
KEPT = 512


def kind_of(scope: str) -> ScopeKind:
    """The machine is a kube node; everything else is a NUMA node."""
    return ScopeKind.KUBE_NODE if scope == MACHINE else ScopeKind.NUMA_NODE


def band(used_ratio: float) -> str:
    """The name of the band, in percent."""
    low, high = next(each for each in BANDS if used_ratio < each[1])
    return f"{100 * low:.0f}-{min(100.0, 100 * high):.0f}"


class Shadow:
    """One predictor of one scope with its outcomes."""

    def __init__(self, predictor: PressurePredictor) -> None:
        self._predictor = predictor
        self._outcomes = Outcomes()
        self._used: deque[tuple[float, float]] = deque(maxlen=KEPT)
        self._hits: dict[str, list[int]] = {}

    def begin(self) -> None:
        """Count anew; promises before another filling are forgotten, what was learned is kept."""
        self._outcomes, self._hits = Outcomes(), {}
        self._used.clear()

    def tick(self, sample: PressureSample) -> PressureForecast:
        """Learn from what came, then forecast."""
        for realised in self._outcomes.see(sample):
            self._predictor.update(realised.forecast, realised.pressure)
            self._count(realised)
        forecast = self._predictor.predict(sample, sample.seconds)
        self._outcomes.expect(forecast)
        self._used.append((forecast.seconds, 1.0 - sample.available_ratio))
        return forecast

    def hits(self) -> dict[str, list[int]]:
        """Band -> forecasts judged, right ones, those that met pressure, pressure foretold rightly."""
        return self._hits

    def _count(self, realised: Realised) -> None:
        used = next((used for seconds, used in self._used if seconds == realised.forecast.seconds), None)
        if used is None:
            return
        said, came = realised.forecast.probability >= YES_ABOVE, realised.pressure == 1.0
        counts = self._hits.setdefault(band(used), [0, 0, 0, 0])
        for place, hit in enumerate((True, said == came, came, said and came)):
            counts[place] += hit


class Shadows:
    """One predictor by name, for every scope."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._scopes: dict[str, Shadow] = {}

    def begin(self) -> None:
        """Count anew."""
        for shadow in self._scopes.values():
            shadow.begin()

    def tick(self, samples: Mapping[str, PressureSample]) -> dict[str, PressureForecast]:
        """A forecast for each scope."""
        return {scope: self._of(scope).tick(sample) for scope, sample in samples.items()}

    def hits(self) -> dict[str, list[int]]:
        """The machine's."""
        return self._of(MACHINE).hits()

    def _of(self, scope: str) -> Shadow:
        if scope not in self._scopes:
            self._scopes[scope] = Shadow(predictor(self._name, kind_of(scope), shipped()))
        return self._scopes[scope]


def shadows(names: Iterable[str]) -> dict[str, Shadows]:
    """One of each."""
    return {name: Shadows(name) for name in names}
