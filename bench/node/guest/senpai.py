"""The published Senpai, in its form with memory.high: python3 senpai.py STATE CGROUP ...

In: each cgroup's memory.pressure, once a second. Out: memory.high of each cgroup. The law and its
constants are facebookincubator/senpai's: the stall of an interval is summed up; above PRESSURE_US it backs
off at once, by ((stall/PRESSURE_US)/COEFF_BACKOFF)^2 but no more than doubles; otherwise, at the
interval's end, it lowers by ((PRESSURE_US/stall)/COEFF_PROBE)^2 of MAX_PROBE, at most MAX_PROBE. STATE
keeps the limits between two runs, so that the blocks of a benchmark continue where the last one ended; it
is gone back to by memory.reclaim, whose work nobody waits for.
"""

import contextlib
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

TICK_SECONDS = 1.0
INTERVAL_TICKS = 6
PRESSURE_US = 10_000.0
MAX_PROBE, MAX_BACKOFF = 0.01, 1.0
COEFF_PROBE, COEFF_BACKOFF = 10.0, 20.0
PAGE_BYTES = 4096


@dataclass
class Law:
    """One cgroup's: the limit, and the stall so far in this interval."""

    limit_bytes: float
    integral_us: float = 0.0
    ticks_left: int = INTERVAL_TICKS

    def tick(self, stalled_us: float) -> float | None:
        """Take one second's stall; returns the new limit when there is one."""
        self.integral_us += stalled_us
        self.ticks_left -= 1
        if self.integral_us > PRESSURE_US:
            error = self.integral_us / PRESSURE_US
            return self._moved(min((error / COEFF_BACKOFF) ** 2, MAX_BACKOFF))
        if self.ticks_left > 0:
            return None
        error = PRESSURE_US / max(self.integral_us, 1.0)
        return self._moved(-min((error / COEFF_PROBE) ** 2 * MAX_PROBE, MAX_PROBE))

    def _moved(self, adjustment: float) -> float:
        self.limit_bytes *= 1 + adjustment
        self.integral_us, self.ticks_left = 0.0, INTERVAL_TICKS
        return self.limit_bytes


def stalled_us(cgroup: Path) -> int:
    """Total of PSI some."""
    line = (cgroup / "memory.pressure").read_text().partition("\n")[0]
    return int(line.rpartition("total=")[2])


def begun(cgroup: Path, kept_bytes: float | None) -> Law:
    """Where the last run ended, else at what is used now."""
    usage_bytes = int((cgroup / "memory.current").read_text())
    if kept_bytes is not None and kept_bytes < usage_bytes:
        with contextlib.suppress(OSError):  # EAGAIN: it could not be taken whole
            (cgroup / "memory.reclaim").write_text(str(int(usage_bytes - kept_bytes)))
        usage_bytes = int((cgroup / "memory.current").read_text())
    limit = max(kept_bytes or 0.0, usage_bytes)
    set_limit(cgroup, limit)
    return Law(limit)


def set_limit(cgroup: Path, limit_bytes: float) -> None:
    """Write memory.high, in whole pages."""
    (cgroup / "memory.high").write_text(str(int(limit_bytes) // PAGE_BYTES * PAGE_BYTES))


def main() -> None:
    """Follow until killed."""
    state, cgroups = Path(sys.argv[1]), [Path(each) for each in sys.argv[2:]]
    kept = json.loads(state.read_text()) if state.exists() else {}
    laws = {cgroup: begun(cgroup, kept.get(str(cgroup))) for cgroup in cgroups}
    totals = {cgroup: stalled_us(cgroup) for cgroup in cgroups}
    while True:
        time.sleep(TICK_SECONDS)
        for cgroup, law in laws.items():
            total = stalled_us(cgroup)
            if (limit := law.tick(total - totals[cgroup])) is not None:
                set_limit(cgroup, limit)
            totals[cgroup] = total
        state.write_text(json.dumps({str(cgroup): law.limit_bytes for cgroup, law in laws.items()}))


if __name__ == "__main__":
    main()
