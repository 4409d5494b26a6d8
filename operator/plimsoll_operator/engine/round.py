"""What one tick gathers on its way through the stages.

In: stages, each run under its name. Out: their times, and what goes into the `Tick` beside the numbers. A
stage that fails becomes a problem, so that everything holds, and those after it still run: a forecast that
trips must not keep a raise after an OOM kill from being told.
"""

import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from plimsoll.recommend.recommendation import Recommendations
from plimsoll_operator.engine.messages import (
    NodeUse,
    PodRaises,
    RowBases,
    RowLoads,
    RowShapes,
    RowUsage,
    Tick,
    no_loads,
    no_raises,
    no_recommendations,
    no_shapes,
    no_usage,
)
from plimsoll_operator.engine.rows import RowArray
from plimsoll_operator.forecasters.desks import FitReport

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Round:
    """One tick in the making."""

    now_seconds: float
    recommendations: Recommendations = field(default_factory=no_recommendations)
    raises: PodRaises = field(default_factory=no_raises)
    usage: RowUsage = field(default_factory=no_usage)
    stages: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    holds: dict[str, RowArray] = field(default_factory=dict)
    covered: RowArray = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    shapes: RowShapes = field(default_factory=no_shapes)
    loads: RowLoads = field(default_factory=no_loads)
    node_use: NodeUse = field(default_factory=NodeUse)
    bases: RowBases = field(default_factory=RowBases)
    fits: FitReport = field(default_factory=FitReport)
    used_bytes: float = 0.0
    limit_bytes: float = 0.0
    samples: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    doubted: RowArray = field(default_factory=lambda: np.empty(0, dtype=np.int32))  # for their samples' unit
    price_factors: dict[str, float] = field(default_factory=dict)
    stand_ins: dict[int, str] = field(default_factory=dict)
    kept: dict[str, tuple[float, float]] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, *, holds: bool = True) -> Iterator[None]:
        """Time a stage (or a part of it); its failure is a problem of the tick, or a notice."""
        began = time.perf_counter()
        try:
            yield
        except Exception as error:
            log.exception("engine stage failed", extra={"stage": name})
            said = self.problems if holds else self.notices
            said.append(f"engine stage {name}: {type(error).__name__}: {error}")
        finally:
            self.stages[name] = self.stages.get(name, 0.0) + time.perf_counter() - began

    def reject(self, reason: str, count: int) -> None:
        """Count samples that were dropped."""
        if count:
            self.rejected[reason] = self.rejected.get(reason, 0) + count

    def doubt(self, rows: RowArray) -> None:
        """Name rows of which all samples seem to be in another unit."""
        self.doubted = np.union1d(self.doubted, rows).astype(np.int32)

    def hold(self, reason: str, rows: RowArray) -> None:
        """Name rows that hold."""
        if len(rows):
            self.holds[reason] = np.asarray(rows, dtype=np.int32)

    def steered(self, factors: Mapping[str, float]) -> None:
        """Factors of prices by objective; of two histories' that which is further from the table's."""
        for objective, factor in factors.items():
            known = self.price_factors.get(objective, 1.0)
            self.price_factors[objective] = max(known, factor, key=lambda each: abs(math.log(each)))

    def keep(self, kept: Mapping[str, tuple[float, float]]) -> None:
        """Add up exceedances promised and come, by class, over histories."""
        for name, (promised, came) in kept.items():
            before = self.kept.get(name, (0.0, 0.0))
            self.kept[name] = (before[0] + promised, before[1] + came)

    def tick(self) -> Tick:
        """Return what crosses the pipe."""
        return Tick(
            now_seconds=self.now_seconds,
            recommendations=self.recommendations,
            raises=self.raises,
            usage=self.usage,
            stages=self.stages,
            problems=tuple(self.problems),
            notices=tuple(self.notices),
            holds=self.holds,
            covered=self.covered,
            shapes=self.shapes,
            loads=self.loads,
            node_use=self.node_use,
            bases=self.bases,
            fits=self.fits,
            used_bytes=self.used_bytes,
            limit_bytes=self.limit_bytes,
            samples=self.samples,
            rejected=self.rejected,
            price_factors=self.price_factors,
            stand_ins=self.stand_ins,
            kept=self.kept,
        )
