"""From what both sides of `bench/coord.py` wrote down to rows.

In: what the agents saw (`plimsoll-loadgen`), what the operator's process saw of itself each second and of
each lease (`coord_server.py`); moments of either are of the machine's monotonic clock. Out: rows. What is
counted lies in a window in which all agents attended. Where the machine did not carry the load that was asked
for, a figure that depends on it has no value, and says why and what it was.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from report import Row

COMMAND = "make bench-coord"
SETTLING_SECONDS = 5.0  # all attend, and what waited meanwhile is said
LEAST_SECONDS = 5.0  # of a window
CARRIED = 0.95  # of the samples that were asked for
CORES = len(os.sched_getaffinity(0))
# Rows of each size and their units.
STEADY = {
    "samples_per_second": "samples/s",
    "machine_cores": "cores",
    "cores": "cores",
    "cpu_ms_per_sample": "ms",
    "memory_mib": "MiB",
    "memory_kib_per_stream": "KiB",
    "open_files": "files",
    "lease_p50_ms": "ms",
    "lease_p99_ms": "ms",
    "lease_inside_p50_ms": "ms",
    "lease_inside_p99_ms": "ms",
}
Seen = Mapping[str, Any]  # JSON of either side
Points = Sequence[tuple[float, float]]  # a moment and a figure


@dataclass(frozen=True)
class Load:
    """How many agents there were, and how many samples each was to say a second (of others a tenth)."""

    agents: int
    per_second: float = 1.0

    @property
    def name(self) -> str:
        """Of its rows."""
        return f"coord.{self.agents}" + ("" if self.per_second == 1.0 else ".rarely")

    @property
    def note(self) -> str:
        """How to read its rows."""
        return f"each agent says {self.per_second:g} samples a second, and a tenth as many leases and deltas"


@dataclass(frozen=True)
class Window:
    """From one look to another, and what the process used between them."""

    begins: float
    ends: float
    cores: float
    machine_cores: float
    samples: int
    memory_mib: float
    open_files: int

    @property
    def samples_per_second(self) -> float:
        """How many samples were heard."""
        return self.samples / (self.ends - self.begins)

    def within(self, points: Points) -> list[float]:
        """The figures whose moments lie in it."""
        return [each for at, each in points if self.begins <= at <= self.ends]


def window(looks: Sequence[Seen], agents: int, silent_at: float) -> Window | str:
    """From when all attend until they fall silent; else why there is none."""
    whole = [each for each in looks if each["attending"] >= agents]
    if not whole:
        most = max((each["attending"] for each in looks), default=0)
        return f"{most} of {agents} agents attended at most"
    found = [each for each in whole if whole[0]["at"] + SETTLING_SECONDS <= each["at"] <= silent_at]
    if len(found) < 2 or found[-1]["at"] - found[0]["at"] < LEAST_SECONDS:
        return f"all {agents} agents attended for less than {LEAST_SECONDS + SETTLING_SECONDS:.0f} s"
    first, last = found[0], found[-1]
    seconds = last["at"] - first["at"]
    return Window(
        begins=first["at"],
        ends=last["at"],
        cores=(last["cpu_seconds"] - first["cpu_seconds"]) / seconds,
        machine_cores=(last["machine_busy_seconds"] - first["machine_busy_seconds"]) / seconds,
        samples=last["samples"] - first["samples"],
        memory_mib=last["memory_mib"],
        open_files=max(each["open_files"] for each in found),
    )


def not_carried(found: Window, load: Load) -> str:
    """Why figures of this load cannot be told; empty where it was carried."""
    asked = load.agents * load.per_second
    if found.samples_per_second >= CARRIED * asked:
        return ""
    return (
        f"{found.samples_per_second:.0f} of {asked:.0f} samples a second arrived: agents and operator share"
        f" {CORES} cores, of which {found.machine_cores:.2f} were busy"
    )


def steady_rows(name: str, load: Load, said: Seen, heard: Seen, idle_mib: float) -> list[Row]:
    """One size, without trouble."""
    found = window(heard["looks"], load.agents, said["silent_at"])
    if isinstance(found, str):
        return [*absent(name, load.agents, found), *counted_rows(name, said, [heard])]
    why = not_carried(found, load)
    row = _Rows(name, max(1, found.samples), why, load.note)
    used = found.cores / found.samples_per_second if found.samples else None
    return [
        row.always("samples_per_second", found.samples_per_second),
        row.always("machine_cores", found.machine_cores),
        row.carried("cores", found.cores),
        row.always("cpu_ms_per_sample", None if used is None else used * 1e3),
        row.always("memory_mib", found.memory_mib),
        row.always("memory_kib_per_stream", (found.memory_mib - idle_mib) * 1024 / load.agents),
        row.always("open_files", float(found.open_files)),
        *row.trips("lease", found.within(said["round_trips"])),
        *row.trips("lease_inside", found.within(heard["leases"])),
        Row(
            f"{name}.leases_unanswered",
            float(said["leases_asked"] - said["leases"]),
            "leases",
            said["leases_asked"],
            COMMAND,
        ),
        *counted_rows(name, said, [heard]),
    ]


def carried(rows: Sequence[Row]) -> bool:
    """Whether the machine carried the load of these rows."""
    return any(row.name.endswith(".cores") and row.value is not None for row in rows)


def absent(name: str, agents: int, why: str) -> list[Row]:
    """The rows of a size that could not be measured."""
    return [Row(f"{name}.{each}", None, unit, agents, COMMAND, why=why) for each, unit in STEADY.items()]


@dataclass(frozen=True)
class _Rows:
    name: str
    n: int
    why: str
    note: str

    def always(self, name: str, value: float | None) -> Row:
        """What is true whatever the load was."""
        why = "no sample arrived" if value is None else None
        rounded = None if value is None else _rounded(value)
        return Row(f"{self.name}.{name}", rounded, STEADY[name], self.n, COMMAND, why=why, note=self.note)

    def carried(self, name: str, value: float) -> Row:
        """What is told of the load that was asked for, and of no other."""
        if not self.why:
            return self.always(name, value)
        why = f"{self.why}; it was {_rounded(value)} {STEADY[name]} then"
        return Row(f"{self.name}.{name}", None, STEADY[name], self.n, COMMAND, why=why, note=self.note)

    def trips(self, of: str, seconds: Sequence[float]) -> list[Row]:
        """How long leases took."""
        names = {each: f"{of}_p{each}_ms" for each in (50, 99)}
        if not seconds:
            why = "no lease was answered"
            return [Row(f"{self.name}.{each}", None, "ms", 0, COMMAND, why=why) for each in names.values()]
        made = replace(self, n=len(seconds))
        return [made.carried(name, float(np.percentile(seconds, each)) * 1e3) for each, name in names.items()]


def relay_rows(load: Load, said: Seen, heard: Seen, why: str) -> list[Row]:
    """What a replica costs that carries all streams to the one that leads; `why` nothing is told of it."""
    found = window(heard["looks"], load.agents, said["silent_at"])
    why = why or (found if isinstance(found, str) else "")
    made = {"relay_cores": "cores", "relay_memory_mib": "MiB", "relay_open_files": "files"}
    values = (
        (None,) * 3
        if why or isinstance(found, str)
        else (_rounded(found.cores), _rounded(found.memory_mib), float(found.open_files))
    )
    return [
        Row(f"coord.relayed.{name}", value, unit, load.agents, COMMAND, why=why or None)
        for (name, unit), value in zip(made.items(), values, strict=True)
    ]


def storm_rows(load: Load, said: Seen, heard: Sequence[Seen], killed_at: float, back_at: float) -> list[Row]:
    """The operator was killed, and listened again: how long until all were back, and half of them."""
    changes = [(float(at), int(now)) for at, now in said["attending"]]
    before = next((now for at, now in reversed(changes) if at <= killed_at), 0)
    rows, n = [], load.agents
    for name, share in (("storm_half_seconds", 0.5), ("reconnect_storm_seconds", 1.0)):
        enough = math.ceil(share * n)
        at = next((at for at, now in changes if at >= back_at and now >= enough), None)
        why = None
        if before < n:
            at, why = None, f"{before} of {n} agents attended when the operator was killed"
        elif at is None:
            most = max((now for at, now in changes if at >= back_at), default=0)
            why = f"{most} of {n} were back by the end"
        took = None if at is None else round(at - back_at, 2)
        rows.append(Row(f"coord.{name}", took, "s", n, COMMAND, why=why, note=load.note))
    return [
        *rows,
        Row("coord.storm.refused", float(heard[1]["refusals"].get("rate", 0)), "streams", n, COMMAND),
        Row("coord.storm.reviews", float(heard[1]["reviews"]), "TokenReviews", n, COMMAND),
        *counted_rows("coord.storm", said, heard),
    ]


def counted_rows(name: str, said: Seen, heard: Sequence[Seen]) -> list[Row]:
    """Lost: offered, heard by none, not waiting either. Repeated: heard twice by one operator process."""
    everything = [set(each["deltas"]) for each in heard]
    lost = len(set(said["deltas"]).difference(*everything, said["deltas_waiting"]))
    repeated = sum(len(each["deltas"]) - len(kept) for each, kept in zip(heard, everything, strict=True))
    n = len(said["deltas"])
    return [
        Row(f"{name}.lost", float(lost), "messages", n, COMMAND),
        Row(f"{name}.repeated", float(repeated), "messages", n, COMMAND),
        Row(f"{name}.samples_given_up", float(said["samples_given_up"]), "batches", said["samples"], COMMAND),
    ]


def named(rows: Sequence[Row], largest: int) -> list[Row]:
    """The rows that are known by name elsewhere, of the largest size."""
    by_name = {row.name: row for row in rows}
    pairs = {
        "coord.lease_p99_ms": f"coord.{largest}.lease_p99_ms",
        f"coord.cores_at_{largest}": f"coord.{largest}.cores",
        f"coord.memory_mib_at_{largest}": f"coord.{largest}.memory_mib",
    }
    found = [
        Row(name, by_name[of].value, by_name[of].unit, by_name[of].n, COMMAND, why=by_name[of].why)
        for name, of in pairs.items()
    ]
    return [Row("coord.agents", float(largest), "agents", 1, COMMAND), *found]


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
