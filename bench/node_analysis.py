"""From the guest's lines to rows: blocks are paired within their round, cells of the stress within theirs.

In: lines as bench/node/guest writes them. Out: rows of `node.*` and `pressure.*`. Intervals: bootstrap
over rounds, since the arms of a round share the state of machine and host; the arms' difference is taken
within a round first. A figure that the lines do not give is a row without a value that says why. Pure: no
file, no clock.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from report import Row

DRAWS = 4000
OFF, SENPAI, AGENT = "off", "senpai", "agent"
SERVICES = ("redis", "jvm", "web")
JUDGED_SERVICES = ("redis", "jvm")
WIDE_PERCENT = 1.0
CORES = 2
JUDGED_LEVEL = 95  # of the stress, in percent: its rows are there even where it was not run
MIB = 1 << 20
BANDS = ("0-50", "50-75", "75-90", "90-95", "95-100")
# Of allocating tasks, of kcompactd; asked for before pressure came, and after.
COMPACTIONS = ("compact_stall", "compact_daemon_wake", "compact_proactive", "compact_late")
FEWEST = 20  # forecasts in a band; fewer say nothing

Line = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95 % interval, over so many pairs."""

    value: float
    low: float
    high: float
    n: int

    @property
    def width(self) -> float:
        """From low to high."""
        return self.high - self.low


def bootstrapped(differences: Sequence[float], seed: int, draws: int = DRAWS) -> Interval | None:
    """Mean over rounds with its interval; None of none, no width can be told of one."""
    values = np.array([each for each in differences if math.isfinite(each)])
    if not len(values):
        return None
    random = np.random.default_rng(seed)
    means = values[random.integers(0, len(values), (draws, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5]) if len(values) > 1 else (math.nan, math.nan)
    return Interval(float(values.mean()), float(low), float(high), len(values))


def rounds(blocks: Iterable[Line]) -> list[dict[str, Line]]:
    """Blocks by round, then by arm."""
    found: dict[object, dict[str, Line]] = defaultdict(dict)
    for block in blocks:
        found[block["round"]][str(block["arm"])] = block
    return [found[number] for number in sorted(found, key=lambda each: int(str(each)))]


def paired(
    blocks: Iterable[Line], arm: str, figure: Callable[[Line, Line], float | None], base: str = OFF
) -> list[float]:
    """`figure(block of the arm, block of the base)` of each round that has both and gives one."""
    pairs = [(each[arm], each[base]) for each in rounds(blocks) if arm in each and base in each]
    found = [figure(block, other) for block, other in pairs]
    return [each for each in found if each is not None]


def usage_bytes(block: Line) -> float:
    """Resident memory of all containers."""
    return float(sum(block["usage_bytes"].values()))


def saved_percent(block: Line, off: Line) -> float:
    """What the containers' usage is below that of the round's block without anybody."""
    return 100 * (1 - usage_bytes(block) / usage_bytes(off))


def net_saved_percent(block: Line, off: Line) -> float:
    """The same with zram's store counted as used, and the arm's own processes."""
    held = [usage_bytes(each) + each["zram_bytes"] + each["arm_resident_bytes"] for each in (block, off)]
    return 100 * (1 - held[0] / held[1])


def latency_ms(block: Line, service: str, which: str) -> float | None:
    """One of a service's percentiles in a block."""
    found = block["latency"].get(service, {}).get(which)
    return None if not found else float(found)


def slowdown_percent(block: Line, off: Line, service: str, which: str) -> float | None:
    """By how much a service's percentile is above that of the round's block without anybody."""
    mine, other = latency_ms(block, service, which), latency_ms(off, service, which)
    return 100 * (mine / other - 1) if mine is not None and other else None


def mean_slowdown_percent(block: Line, off: Line) -> float | None:
    """Mean over the judged services of their p99's rise."""
    found = [slowdown_percent(block, off, service, "p99_ms") for service in JUDGED_SERVICES]
    known = [each for each in found if each is not None]
    return fmean(known) if len(known) == len(JUDGED_SERVICES) else None


def psi_percent(block: Line) -> float:
    """PSI some, the mean over the containers."""
    return fmean(block["measured"]["psi_some_percent"].values())


def per_second(block: Line, name: str) -> float:
    """A counter of the measured window as a rate."""
    return float(block["measured"][name]) / float(block["measured"]["seconds"])


def node_rows(lines: Sequence[Line], seed: int, command: str) -> list[Row]:
    """Everything of the mixed node."""
    blocks = [each for each in lines if each["kind"] == "block"]

    def against_off(name: str, unit: str, figure: Callable[[Line, Line], float | None]) -> Row:
        return _compared(
            name, unit, {arm: paired(blocks, arm, figure) for arm in (AGENT, SENPAI)}, seed, command
        )

    def of_arms(name: str, unit: str, figure: Callable[[Line], float | None]) -> Row:
        found = {
            arm: _known(figure(each) for each in blocks if each["arm"] == arm) for arm in (AGENT, SENPAI, OFF)
        }
        return _compared(name, unit, found, seed, command)

    rows = [
        against_off("node.saved_percent", "% of resident memory", saved_percent),
        against_off("node.saved_net_percent", "% of resident memory", net_saved_percent),
        against_off("node.p99_slowdown_percent", "%", mean_slowdown_percent),
    ]
    for service in SERVICES:
        for which in ("p50", "p99"):
            rows.append(of_arms(f"node.{service}.{which}_ms", "ms", _percentile_of(service, which)))
            rise = _rise_of(service, which)
            rows.append(against_off(f"node.{service}.{which}_slowdown_percent", "%", rise))
    rows += [
        of_arms("node.psi_some_percent", "% of time", psi_percent),
        of_arms("node.refaults_anon_per_second", "pages/s", lambda each: per_second(each, "refaults_anon")),
        of_arms("node.refaults_file_per_second", "pages/s", lambda each: per_second(each, "refaults_file")),
        of_arms("node.swap_ins_per_second", "pages/s", lambda each: per_second(each, "swap_ins")),
        of_arms("node.batch_chunks_per_second", "1/s", _batch_rate),
        of_arms("node.agent_cpu_percent", f"% of {CORES} emulated cores", _cpu_percent),
        of_arms("node.kernel_threads_cpu_percent", "% of a core", _threads_percent),
        of_arms("node.agent_rss_mib", "MiB", _resident_mib),
    ]
    return [*rows, *_container_rows(blocks, seed, command)]


def judgement(rows: Sequence[Row]) -> str:
    """What may be said of latency: its interval, or, where that is wide, what is counted instead."""
    found = {row.name: row for row in rows}
    row = found["node.p99_slowdown_percent"]
    if row.value is None or row.low is None or row.high is None:
        return f"p99 latency cannot be judged: {row.why or 'one round has no interval'}"
    width = row.high - row.low
    if width <= WIDE_PERCENT:
        return f"p99 latency is judged by itself: its interval is {width:.2f} % wide"
    counted = ("node.refaults_anon_per_second", "node.swap_ins_per_second", "node.psi_some_percent")
    figures = ", ".join(_counted(found[name]) for name in counted)
    wide = f"p99's interval is {width:.1f} % wide, more than {WIDE_PERCENT:.0f} %"
    return f"{wide}: judged by counters instead: {figures}"


def stress_rows(lines: Sequence[Line], ours: str, seed: int, command: str) -> list[Row]:
    """Everything of the pressure stress; `ours` is the arm that the others are compared with."""
    cells = [each for each in lines if each["kind"] == "cell"]
    arms = list(dict.fromkeys(str(each["arm"]) for each in cells))
    levels = sorted({JUDGED_LEVEL, *(int(each["level"]) for each in cells)})
    rows: list[Row] = []
    for level in levels:
        here = [each for each in cells if each["level"] == level]
        for name, unit, figure in CELL_FIGURES:
            found = {arm: _known(figure(each) for each in here if each["arm"] == arm) for arm in arms}
            rows.append(
                _compared(
                    f"pressure.{name}.{level}", unit, {ours: found.pop(ours, []), **found}, seed, command
                )
            )
        rows += [
            _reduction(f"pressure.oom_reduction_percent.{level}", here, ours, _ooms, seed, command),
            _reduction(
                f"pressure.compaction_reduction_percent.{level}", here, ours, _compactions, seed, command
            ),
            _reduction(
                f"pressure.response_reduction_percent.{level}", here, ours, _response_ms, seed, command
            ),
        ]
    rows.append(_proactive(cells, ours, arms, command))
    rows += [_accuracy(cells, ours, each, command) for each in BANDS]
    return rows


# -- parts of the mixed node --------------------------------------------------------------------------------


def _percentile_of(service: str, which: str) -> Callable[[Line], float | None]:
    return lambda block: latency_ms(block, service, f"{which}_ms")


def _rise_of(service: str, which: str) -> Callable[[Line, Line], float | None]:
    return lambda block, off: slowdown_percent(block, off, service, f"{which}_ms")


def _batch_rate(block: Line) -> float:
    return float(block["batch_chunks"]) / float(block["measured"]["seconds"])


def _cpu_percent(block: Line) -> float | None:
    found = block["measured"]["cpu_percent_of_a_core"].get(block["arm"])
    return None if found is None else float(found) / CORES


def _threads_percent(block: Line) -> float:
    return float(block["measured"]["kernel_threads_cpu_percent"])


def _resident_mib(block: Line) -> float | None:
    return float(block["arm_resident_bytes"]) / MIB if block["arm"] != OFF else None


def _container_rows(blocks: Sequence[Line], seed: int, command: str) -> list[Row]:
    """What was saved of each container."""
    names = list(dict.fromkeys(name for each in blocks for name in each["usage_bytes"]))

    def figure(name: str) -> Callable[[Line, Line], float]:
        return lambda block, off: 100 * (1 - block["usage_bytes"][name] / off["usage_bytes"][name])

    return [
        _compared(
            f"node.saved_percent.{name}",
            "% of resident memory",
            {arm: paired(blocks, arm, figure(name)) for arm in (AGENT, SENPAI)},
            seed,
            command,
        )
        for name in names
    ]


def _counted(row: Row) -> str:
    value = "unknown" if row.value is None else f"{row.value:.3g}"
    off = row.against.get(OFF)
    return f"{row.name.removeprefix('node.')} {value} ({'unknown' if off is None else f'{off:.3g}'} when off)"


def _known(found: Iterable[float | None]) -> list[float]:
    return [each for each in found if each is not None]


def _compared(name: str, unit: str, found: Mapping[str, Sequence[float]], seed: int, command: str) -> Row:
    """A row of the first arm's figures with the others' means against it."""
    (ours, values), *others = found.items()
    against = {arm: (fmean(each) if each else None) for arm, each in others}
    interval = bootstrapped(values, seed)
    if interval is None:
        return Row(name, None, unit, 0, command, against=against, why=f"no block of the arm `{ours}` gave it")
    return Row(name, interval.value, unit, interval.n, command, interval.low, interval.high, against)


# -- parts of the stress ------------------------------------------------------------------------------------


def _ooms(cell: Line) -> float:
    return float(cell["oom_kill"])


def _compactions(cell: Line) -> float:
    """All there were."""
    return float(sum(cell[name] for name in COMPACTIONS))


def _stalls(cell: Line) -> float:
    return float(cell["compact_stall"])


def _response_ms(cell: Line) -> float | None:
    """Mean time of a MiB, over the bursts that came to an end."""
    bursts = cell["bursts"]
    mib = sum(each[0] for each in bursts)
    return sum(each[1] for each in bursts) / 1000 / mib if mib else None


def _bursts(cell: Line) -> float:
    return float(len(cell["bursts"]))


CELL_FIGURES: tuple[tuple[str, str, Callable[[Line], float | None]], ...] = (
    ("ooms", "OOM kills a cell", _ooms),
    ("compactions", "a cell", _compactions),
    ("compaction_stalls", "a cell", _stalls),
    ("response_ms_per_mib", "ms", _response_ms),
    ("bursts", "a cell", _bursts),
)


def _reduction(
    name: str,
    cells: Sequence[Line],
    ours: str,
    figure: Callable[[Line], float | None],
    seed: int,
    command: str,
) -> Row:
    """By how much each arm is below the reactive kernel; sums over rounds, rounds drawn for the interval."""
    by_round = rounds(cells)
    sums = {
        arm: [
            (figure(each[arm]), figure(each["reactive"]))
            for each in by_round
            if arm in each and "reactive" in each
        ]
        for arm in dict.fromkeys(str(each["arm"]) for each in cells)
        if arm != "reactive"
    }
    pairs = {arm: [pair for pair in each if None not in pair] for arm, each in sums.items()}
    against = {arm: _below(each) for arm, each in pairs.items() if arm != ours}
    value = _below(pairs.get(ours, []))
    if value is None:
        why = f"the reactive kernel had none, or no round has both it and `{ours}`"
        return Row(name, None, "%", len(pairs.get(ours, [])), command, against=against, why=why)
    mine, random = pairs[ours], np.random.default_rng(seed)
    drawn = [_below([mine[at] for at in row]) for row in random.integers(0, len(mine), (DRAWS, len(mine)))]
    known = _known(drawn)
    low, high = np.percentile(known, [2.5, 97.5]) if len(mine) > 1 else (None, None)
    return Row(name, value, "%", len(mine), command, low, high, against)


def _below(pairs: Sequence[tuple[float, float]]) -> float | None:
    base = sum(other for _, other in pairs)
    return 100 * (1 - sum(mine for mine, _ in pairs) / base) if base else None


def _proactive(cells: Sequence[Line], ours: str, arms: Sequence[str], command: str) -> Row:
    """Share of compactions that came before anybody had to wait for one."""

    def share(arm: str) -> float | None:
        mine = [each for each in cells if each["arm"] == arm]
        total = sum(_compactions(each) for each in mine)
        return 100 * sum(float(each["compact_proactive"]) for each in mine) / total if total else None

    value, n = share(ours), sum(each["arm"] == ours for each in cells)
    against = {arm: share(arm) for arm in arms if arm != ours}
    why = None if value is not None else "there was no compaction"
    return Row("pressure.proactive_percent", value, "%", n, command, against=against, why=why)


def _accuracy(cells: Sequence[Line], ours: str, band: str, command: str) -> Row:
    """Hits of all predictors in the arm in which nobody acted: an action changes what comes."""
    found: dict[str, list[int]] = {}
    for cell in cells:
        if cell["arm"] != "reactive":
            continue
        for name, bands in cell["forecasts"].items():
            counts = found.setdefault(name, [0, 0, 0, 0])
            found[name] = [a + b for a, b in zip(counts, bands.get(band, [0, 0, 0, 0]), strict=True)]
    name, counts = f"pressure.accuracy_percent.{band}", found.get(ours, [0, 0, 0, 0])
    against = {f"{arm}": _share(each) for arm, each in found.items() if arm != ours}
    against["always the commoner"] = _commoner(counts)
    if counts[0] < FEWEST:
        why = f"{counts[0]} forecasts were made in this band, of {FEWEST} that are needed"
        return Row(name, None, "%", counts[0], command, against=against, why=why)
    return Row(name, _share(counts), "%", counts[0], command, against=against)


def _share(counts: Sequence[int]) -> float | None:
    return 100 * counts[1] / counts[0] if counts[0] >= FEWEST else None


def _commoner(counts: Sequence[int]) -> float | None:
    """What a predictor would get that says the same always: accuracy alone flatters where little happens."""
    return 100 * max(counts[2], counts[0] - counts[2]) / counts[0] if counts[0] >= FEWEST else None
