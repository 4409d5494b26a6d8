"""What a run was worth, counted from what happened to containers: OOM kills, slack, limit changes.

In: each bin's records of one arm (the operator's world, or a baseline's). Out: an `ArmOutcome`, by the
rules of the replay contract: OOM kills per 1000 container-days, mean slack of the bins without one, a limit
more than 1 % from the last one counted is a change.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plimsoll.replay.score import count_changes
from plimsoll.replay.series import BINS_PER_DAY, FloatArray
from plimsoll_cli.sandbox.kubelet import BinRecord


@dataclass(frozen=True, slots=True)
class ArmOutcome:
    """One line of the outcome table."""

    arm: str
    container_days: float
    ooms: int
    oom_per_1000cd: float
    slack: float
    changes_per_cd: float

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Ledger:
    """Limits in force and OOM kills of every container, bin by bin."""

    def __init__(self, arm: str, names: Sequence[str], bins: int) -> None:
        self.arm = arm
        self._row = {name: row for row, name in enumerate(names)}
        self.limit_bytes: FloatArray = np.full((len(names), bins), np.nan)
        self.usage_bytes: FloatArray = np.full((len(names), bins), np.nan)
        self.oom = np.zeros((len(names), bins), dtype=np.bool_)

    def record(self, live_bin: int, records: Iterable[BinRecord]) -> None:
        """Enter one bin."""
        for record in records:
            row = self._row[record.container]
            self.usage_bytes[row, live_bin] = record.usage_bytes
            self.limit_bytes[row, live_bin] = record.limit_bytes
            self.oom[row, live_bin] = record.oom

    def ooms_of(self, name: str) -> int:
        """OOM kills of one container so far."""
        return int(self.oom[self._row[name]].sum())

    def standing(self, scored: Sequence[bool]) -> dict[str, Any]:
        """Kills and slack so far, cheap enough for a live table."""
        rows = np.flatnonzero(scored)
        slack = self._slack(rows)
        return {
            "arm": self.arm,
            "ooms": int(self.oom[rows].sum()),
            "slack": float(slack.mean()) if slack.size else 0.0,
        }

    def _slack(self, rows: npt.NDArray[np.intp]) -> FloatArray:
        usage, limit = self.usage_bytes[rows], self.limit_bytes[rows]
        found: FloatArray = ((limit - usage) / limit)[np.isfinite(usage) & ~self.oom[rows]]
        return found

    def outcome(self, scored: Sequence[bool]) -> ArmOutcome:
        """The figures over the scored containers."""
        rows = np.flatnonzero(scored)
        usage, limit, oom = self.usage_bytes[rows], self.limit_bytes[rows], self.oom[rows]
        present = np.isfinite(usage)
        days = present.sum() / BINS_PER_DAY
        slack = self._slack(rows)
        return ArmOutcome(
            arm=self.arm,
            container_days=float(days),
            ooms=int(oom.sum()),
            oom_per_1000cd=float(1000 * oom.sum() / days) if days else float("nan"),
            slack=float(slack.mean()) if slack.size else float("nan"),
            changes_per_cd=float(count_changes(limit, present).sum() / days) if days else float("nan"),
        )
