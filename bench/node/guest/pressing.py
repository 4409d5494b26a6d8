"""The pressure stress: memory filled to a level, a program that takes bursts of it, who foresees the
shortage.

In: levels in percent of the machine's memory, the arms, seconds a cell. Out: for each cell OOM kills,
compactions (of allocating tasks, of kcompactd, asked for beforehand), the bursts' times, and each
predictor's hits by band of use. Arms: `reactive` is the kernel alone; in the others the core's
`PressurePolicy` acts, on that predictor's forecasts for the machine and its NUMA nodes, so that only the
forecasts differ. What it may reclaim is what the filling program holds. All predictors are asked in all
arms, and learn in all.
"""

import contextlib
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from kernel import Cgroup, Reporter, keyed, made, zram_bytes
from predictors import Shadows, kind_of, shadows
from readings import MACHINE, readings, unusable_ratio

from plimsoll.pressure.policy import ActionKind, PlannedAction, PressurePolicy, ScopeView
from plimsoll.pressure.protocol import PressureForecast
from plimsoll.pressure.sample import PressureSample, sample_between

HERE = Path(__file__).parent
CGROUPS = Path("/sys/fs/cgroup")
NUMA_NODES = Path("/sys/devices/system/node")
MIB = 1 << 20
TICK_SECONDS = 0.5
READ_BYTES = 1 << 16
FILL_SECONDS = 180.0
HOLD_SCORE, BURST_SCORE = "-500", "1000"  # who is killed for want of memory: the burst
Samples = Mapping[str, PressureSample]
ACTED = ("compact_proactive", "compact_late", "reclaim_proactive", "reclaim_late", "reclaimed_bytes")
COUNTED = ("oom_kill", "compact_stall", "compact_daemon_wake", "pswpout", "pswpin")


def counters() -> dict[str, int]:
    """The machine's counters that a cell is judged by."""
    found = keyed(Path("/proc/vmstat").read_text())
    stalls = sum(value for name, value in found.items() if name.startswith("allocstall_"))
    return {name: found.get(name, 0) for name in COUNTED} | {"direct_reclaims": stalls}


class Lines:
    """What a program prints, line by line and without waiting for more."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        self._descriptor = process.stdout.fileno()
        os.set_blocking(self._descriptor, False)
        self._rest = ""

    def new(self) -> list[str]:
        """Whole lines since the last time."""
        with contextlib.suppress(BlockingIOError):
            while found := os.read(self._descriptor, READ_BYTES):
                self._rest += found.decode()
        whole, _, self._rest = self._rest.rpartition("\n")
        return whole.splitlines()


class Held:
    """A program that fills memory to a level."""

    def __init__(self, cgroup: Cgroup, mib: int, hot_mib: int) -> None:
        self._process = cgroup.start(
            [str(HERE / "stress"), "hold", str(hot_mib)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        scored(self._process, HOLD_SCORE)
        assert self._process.stdin
        self._process.stdin.write(f"{mib}\n")
        self._process.stdin.flush()
        self.reached = self._wait(mib)

    def stop(self) -> None:
        """Give all of it back."""
        self._process.kill()
        self._process.wait()

    def _wait(self, mib: int) -> bool:
        """Whether it got there in time."""
        lines = Lines(self._process)
        deadline = time.monotonic() + FILL_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if f"holding {mib}" in lines.new():
                return True
            time.sleep(0.2)
        return False


class Bursts:
    """The allocating program, started again when it was killed; what it printed."""

    def __init__(self, cgroup: Cgroup, least_mib: int, most_mib: int, seed: int) -> None:
        self._cgroup, self._sizes, self._seed = cgroup, (least_mib, most_mib), seed
        self.found: list[tuple[int, float]] = []
        self.ended = 0
        self._process = self._started()

    def look(self) -> None:
        """Take what it said; start it again where it ended."""
        for line in self._lines.new():
            mib, _, microseconds = line.partition(" ")
            if mib.isdigit() and microseconds.isdigit():
                self.found.append((int(mib), float(microseconds)))
        if self._process.poll() is not None:
            self.ended += 1
            self._process = self._started()

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def _started(self) -> subprocess.Popen[str]:
        least, most = self._sizes
        command = [
            str(HERE / "stress"),
            "burst",
            str(least),
            str(most),
            "200",
            "200",
            str(self._seed + self.ended),
        ]
        process = self._cgroup.start(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        scored(process, BURST_SCORE)
        self._lines = Lines(process)
        return process


def scored(process: subprocess.Popen[str], score: str) -> None:
    """Say who is to be killed first."""
    Path(f"/proc/{process.pid}/oom_score_adj").write_text(score)


class Actor:
    """Carries out what the core's policy plans; the same for every predictor."""

    def __init__(self, held: Cgroup) -> None:
        self._held = held
        self._policy = PressurePolicy()
        self.counts: Counter[str] = Counter()

    def act(self, samples: Samples, forecasts: Mapping[str, PressureForecast]) -> None:
        """Plan with what is known now, do it, tell the policy what came of it."""
        views = [self._view(scope, samples[scope], forecast) for scope, forecast in forecasts.items()]
        for action in self._policy.plan(views, samples[MACHINE].seconds):
            effective = self._compact(action) if action.kind is ActionKind.COMPACT else self._reclaim(action)
            self._policy.outcome(action.scope, effective, samples[MACHINE].seconds)

    def _view(self, scope: str, sample: PressureSample, forecast: PressureForecast) -> ScopeView:
        reclaimable = float(self._held.usage_bytes()) if scope == MACHINE else 0.0
        return ScopeView(scope, kind_of(scope), sample, forecast, reclaimable)

    def _compact(self, action: PlannedAction) -> bool:
        number = int(action.scope.removeprefix("node"))
        before = unusable_ratio(number)
        (NUMA_NODES / action.scope / "compact").write_text("1")
        self.counts["compact_proactive" if action.proactive else "compact_late"] += 1
        return unusable_ratio(number) < before

    def _reclaim(self, action: PlannedAction) -> bool:
        before = self._held.usage_bytes()
        with contextlib.suppress(OSError):  # EAGAIN: less could be taken
            self._held.write("memory.reclaim", str(action.reclaim_bytes))
        taken = max(0, before - self._held.usage_bytes())
        self.counts["reclaim_proactive" if action.proactive else "reclaim_late"] += 1
        self.counts["reclaimed_bytes"] += taken
        return taken > 0


class Stress:
    """The benchmark under pressure."""

    def __init__(self, config: Mapping[str, object]) -> None:
        self._config = config
        self._hold, self._burst = made(CGROUPS / "stress/hold"), made(CGROUPS / "stress/burst")
        self._shadows: dict[str, Shadows] = shadows(config["predictors"])

    def run(self, reporter: Reporter) -> None:
        """Round after round, level after level, arm after arm; the arms in an order that is drawn."""
        names = ["reactive", *self._shadows]
        order = random.Random(self._config["seed"])
        for number in range(self._config["rounds"]):
            for level in self._config["levels"]:
                for name in order.sample(names, len(names)):
                    cell = {"round": number, "level": level, "arm": name}
                    try:
                        reporter.say("cell", **cell, **self._cell(number, level, name))
                    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                        reporter.say("error", **cell, error=str(error))

    def _cell(self, number: int, level: int, name: str) -> dict[str, object]:
        idle = readings(time.monotonic())[MACHINE]
        total_mib = int(idle.total_bytes) // MIB
        mib = int(idle.total_bytes * level / 100 - (idle.total_bytes - idle.available_bytes)) // MIB
        began = time.monotonic()
        held = Held(self._hold, mib, int(self._config["hot_ratio"] * mib))
        filled = time.monotonic() - began
        least, most = (max(1, int(share * total_mib)) for share in self._config["burst_ratio"])
        bursts = Bursts(self._burst, least, most, 1000 * number + level)
        actor, before = Actor(self._hold), counters()
        try:
            seconds = self._follow(name, actor, bursts)
        finally:
            bursts.stop()
            store = zram_bytes()
            held.stop()
        changed = {key: value - before[key] for key, value in counters().items()}
        return {
            "held_mib": mib,
            "reached": held.reached,
            "fill_seconds": round(filled, 1),
            "seconds": round(seconds, 2),
            "zram_bytes": store,
            **changed,
            **{name: actor.counts[name] for name in ACTED},
            "bursts": bursts.found,
            "bursts_ended": bursts.ended,
            "forecasts": {key: shadow.hits() for key, shadow in self._shadows.items()},
        }

    def _follow(self, name: str, actor: Actor, bursts: Bursts) -> float:
        """Look twice a second until the cell is over; returns how long it took."""
        for shadow in self._shadows.values():
            shadow.begin()
        began = time.monotonic()
        last, due = readings(began), began
        while time.monotonic() - began < self._config["cell_seconds"]:
            due = max(due + TICK_SECONDS, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
            now = readings(time.monotonic())
            found = {scope: sample_between(last[scope], each) for scope, each in now.items()}
            last = now
            bursts.look()
            samples = {scope: sample for scope, sample in found.items() if sample is not None}
            if MACHINE not in samples:
                continue
            said = {key: shadow.tick(samples) for key, shadow in self._shadows.items()}
            if name in said:
                actor.act(samples, said[name])
        bursts.look()
        return time.monotonic() - began
