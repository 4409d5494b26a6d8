"""What placing by forecast is worth: nodes needed, shortages, gap to the optimum, time, wrong forecasts.

In: recorded series as pods on one daily clock, drawn with replacement: two days of past, two days to live
through. Out: `bench/results/placement.json`. Every arm sees the same pods in the same order; the rules are
those of `plimsoll.replay.placement`.

    python bench/placement.py [--traces DIRECTORY] [--pods N] [--draws N] [--part
    nodes|optimum|speed|large|...]
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from plimsoll.pipeline import PipelineSettings
from plimsoll.placement import lanes
from plimsoll.placement.choose import Chooser
from plimsoll.placement.fit import NodeLoads, empty_nodes, margin, put, short_probability
from plimsoll.placement.lanes import LANES, FloatArray, Loads, loads_of
from plimsoll.placement.optimum import fewest_nodes
from plimsoll.placement.stack import pack
from plimsoll.replay.limits import BatchFacts, ObservedBin
from plimsoll.replay.live import LiveRecommender
from plimsoll.replay.peers.vpa import Vpa
from plimsoll.replay.placement import Fleet, PlacementOutcome, PlacementSettings, replay_placement
from plimsoll.replay.series import BINS_PER_DAY, SeriesBatch
from plimsoll_cli.traces.parquet import read_trace, trace_files
from report import Row, bench_options, write_results

COMMAND = "make bench-placement"
SEED = 7
DAYS, PAST_DAYS = 4, 2
NODE_BYTES = 128.0 * 2**30
OVERCOMMITTED = 0.85  # of the requests, where shortages are compared: equal packing, too tight for comfort
LARGEST = 0.25  # of a node: larger pods are a packing problem of their own
MOST_GROWTH = 2.0  # of the fewest nodes there could be: no arm is looked at beyond
VPA, ALONE, PLACED, SHUFFLED = "vpa", "requests", "plimsoll", "shuffled"
LARGE_NODES, LARGE_PODS = 10_000, 100_000
MEASURED = ("nodes", "calibration", "optimum", "speed", "large", "numa")
LOOKED_AT = ("lanes", "rules")  # what constants stand on
ARMS = {
    VPA: PlacementSettings(placing=False),
    ALONE: PlacementSettings(placing=False),
    PLACED: PlacementSettings(),
    SHUFFLED: PlacementSettings(shuffled=True),
}


@dataclass(frozen=True)
class Drawn:
    """One draw: pods, and what two recommenders request for them when the past is over."""

    usage_bytes: FloatArray  # [P, bins]
    vpa_bytes: FloatArray  # [P]
    own_bytes: FloatArray  # [P]

    def fleet(self, arm: str) -> Fleet:
        """The pods with the requests of an arm."""
        requests = self.vpa_bytes if arm == VPA else self.own_bytes
        return Fleet(self.usage_bytes, PAST_DAYS * BINS_PER_DAY, requests)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="placing by forecast")
    parser.add_argument("--traces", type=Path, default=Path("sample"))
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--part", choices=["all", *MEASURED, *LOOKED_AT], default="all")
    options = bench_options(parser)
    begun, rows = time.monotonic(), []
    parts: dict[str, Callable[[], list[Row]]] = {
        "nodes": lambda: nodes_rows(list(draws(options.traces, options.pods, options.draws))),
        "calibration": lambda: calibration_rows(options.traces),
        "optimum": optimum_rows,
        "speed": speed_rows,
        "large": lambda: large(options.traces),
        "numa": numa_rows,
        "lanes": lambda: lanes_table(options.traces),
        "rules": lambda: rules_table(list(draws(options.traces, options.pods, 4))),
    }
    chosen = MEASURED if options.part == "all" else [options.part]
    for name in chosen:
        rows += parts[name]()
    if options.part == "all":
        print(write_results("placement", rows, SEED, time.monotonic() - begun))


# -- the pods --------------------------------------------------------------------------------------------


def draws(traces: Path, pods: int, count: int) -> "Sequence[Drawn]":
    """`count` draws of so many pods; sources weigh the same."""
    bank = [series for file in trace_files([traces]) if len(series := long_enough(read_trace(file)))]
    made = []
    for number in range(count):
        rng = np.random.default_rng(SEED + number)
        usage = np.stack([piece(bank[rng.integers(len(bank))], rng) for _ in range(pods)])
        past = usage[:, : PAST_DAYS * BINS_PER_DAY]
        made.append(Drawn(usage, vpa_requests(past), own_requests(past)))
    return made


def long_enough(batch: SeriesBatch) -> list[FloatArray]:
    """Series from their first midnight on, gaps filled with what was last seen, that last DAYS whole days."""
    found = []
    for row, length in enumerate(batch.length_bins.tolist()):
        first = int(-(batch.start_seconds[row] // 300) % BINS_PER_DAY)
        usage = batch.usage_bytes[row, first:length]
        seen = np.isfinite(usage)
        if len(usage) < DAYS * BINS_PER_DAY or seen.mean() < 0.9 or not seen[0]:
            continue
        if np.nanmax(usage) > LARGEST * NODE_BYTES:
            continue
        last = np.maximum.accumulate(np.where(seen, np.arange(len(usage)), 0))
        found.append(usage[last])
    return found


def piece(bank: Sequence[FloatArray], rng: np.random.Generator) -> FloatArray:
    """DAYS whole days of one series."""
    usage = bank[rng.integers(len(bank))]
    day = int(rng.integers(len(usage) // BINS_PER_DAY - DAYS + 1))
    return usage[day * BINS_PER_DAY : (day + DAYS) * BINS_PER_DAY]


def observed(usage: FloatArray) -> "Sequence[ObservedBin]":
    """Bins of a past in which nothing was limited."""
    unlimited, no = np.full(len(usage), np.inf), np.zeros(len(usage), dtype=np.bool_)
    return [ObservedBin(bin_, usage[:, bin_], unlimited, no) for bin_ in range(usage.shape[1])]


def vpa_requests(past: FloatArray) -> FloatArray:
    """What VPA would request, [P]."""
    vpa = Vpa()
    vpa.start(BatchFacts(len(past), 0, 12, 1))
    for each in observed(past):
        vpa.observe(each)
    return vpa.decide(past.shape[1], np.full(len(past), np.nan)).limit_bytes


def own_requests(past: FloatArray) -> FloatArray:
    """What the pipeline would request, [P]."""
    live = LiveRecommender(PipelineSettings())
    live.start(BatchFacts(len(past), past.shape[1], 12, 1))
    for each in observed(past):
        live.observe(each)
    return live.recommend(past.shape[1]).request_bytes


# -- nodes and shortages ---------------------------------------------------------------------------------


def nodes_rows(drawn: Sequence[Drawn]) -> list[Row]:
    """How many nodes each arm needs, and its shortages where the packing is the same."""
    needed: dict[str, list[int]] = {arm: [] for arm in ARMS}
    short: dict[str, list[int]] = {ALONE: [], PLACED: []}
    for number, one in enumerate(drawn):
        allowed = 0
        for arm in ARMS:
            outcome = fewest(one, arm, allowed)
            allowed = outcome.short_node_bins if arm == VPA else allowed
            needed[arm].append(outcome.nodes)
        packed = needed[PLACED][-1] - 1  # where nodes begin to be short
        found = equally_packed(one, packed)
        for arm, counts in short.items():
            counts.append(found[arm].short_node_bins)
        print(f"draw {number}: nodes", {arm: counts[-1] for arm, counts in needed.items()}, end="; ")
        print(f"short bins on {packed} nodes", {arm: counts[-1] for arm, counts in short.items()}, flush=True)
    return node_figures(needed, short, n=len(drawn) * len(drawn[0].own_bytes))


def equally_packed(one: Drawn, nodes: int) -> dict[str, PlacementOutcome]:
    """Both arms on so many nodes, with requests cut so that all pods have a place with either."""
    cut = replace(one, own_bytes=OVERCOMMITTED * one.own_bytes)
    return {arm: outcome_of(cut, arm, nodes) for arm in (ALONE, PLACED)}


def node_figures(needed: dict[str, list[int]], short: dict[str, list[int]], n: int) -> list[Row]:
    """Rows of what was counted."""

    def row(name: str, unit: str, figure: tuple[float, float, float], **fields: object) -> Row:
        value, low, high = figure
        return Row(f"placement.{name}", value, unit, n, COMMAND, low, high, **fields)

    over = {arm: percent_fewer(needed[PLACED], needed[arm]) for arm in (VPA, ALONE)}
    lost = interval_of([needed[SHUFFLED], needed[ALONE]], lambda a, b: 100.0 * (a.sum() / b.sum() - 1.0))
    ratio = interval_of([short[PLACED], short[ALONE]], lambda a, b: a.sum() / max(b.sum(), 1))
    means = {arm: interval_of([counts], np.mean) for arm, counts in needed.items()}
    peers = {arm: means[arm][0] for arm in (VPA, ALONE)}
    return [
        row("nodes_saved_percent", "%", over[VPA]),
        row("nodes_saved_over_requests_percent", "%", over[ALONE]),
        row("nodes", "nodes", means[PLACED], against=peers),
        row("shortages_ratio", "", ratio),
        row("wrong_forecast_loss_percent", "%", lost),
    ]


def fewest_by_sum(one: Drawn, arm: str) -> int:
    """Nodes that the sums of requests and of usage would fill: fewer there cannot be."""
    requests = one.fleet(arm).request_bytes
    return int(np.ceil(max(requests.sum(), one.usage_bytes.sum(axis=0).max()) / NODE_BYTES))


def outcome_of(one: Drawn, arm: str, nodes: int) -> PlacementOutcome:
    """One arm on so many nodes."""
    return replay_placement(one.fleet(arm), nodes, NODE_BYTES, replace(ARMS[arm], seed=SEED))


def fewest(one: Drawn, arm: str, allowed: int) -> PlacementOutcome:
    """The fewest nodes on which all pods have a place and no more bins are short than allowed.

    VPA's own shortages are not bounded: they are what the others are allowed.
    """
    start = fewest_by_sum(one, arm)
    for nodes in range(start, int(start * MOST_GROWTH) + 2):
        outcome = outcome_of(one, arm, nodes)
        if not outcome.unplaced and (arm == VPA or outcome.short_node_bins <= allowed):
            return outcome
    raise RuntimeError(f"{arm} does not get along with {MOST_GROWTH} times the fewest nodes")


def percent_fewer(mine: Sequence[int], other: Sequence[int]) -> tuple[float, float, float]:
    """How many percent fewer nodes, with the interval over draws."""
    return interval_of([mine, other], lambda a, b: 100.0 * (1.0 - a.sum() / b.sum()))


def interval_of(
    columns: Sequence[Sequence[float]], figure: Callable[..., float], count: int = 2000
) -> tuple[float, float, float]:
    """A figure of paired columns, and its 95 % interval by the bootstrap over draws."""
    values = [np.asarray(each, dtype=np.float64) for each in columns]
    rng = np.random.default_rng(SEED)
    picked = rng.integers(len(values[0]), size=(count, len(values[0])))
    spread = [figure(*(each[at] for each in values)) for at in picked]
    low, high = np.quantile(spread, [0.025, 0.975])
    return float(figure(*values)), float(low), float(high)


# -- the optimum, and time -------------------------------------------------------------------------------


def optimum_rows(cases: int = 40) -> list[Row]:
    """The heuristic against HiGHS on small cases; unproven ones count against their lower bound."""
    rng = np.random.default_rng(SEED)
    found, best, proven = [], [], 0
    for _ in range(cases):
        load = small_case(rng)
        capacity = float(load.max() * rng.uniform(1.3, 2.5))
        nothing = np.zeros_like(load)
        nodes = int(pack(Loads(load, nothing, nothing), capacity).max()) + 1
        optimum = fewest_nodes(load, capacity, nodes, seconds=8.0)
        proven += optimum.proven
        found.append(nodes)
        best.append(optimum.least_nodes)
    gap, low, high = interval_of([found, best], lambda a, b: 100.0 * (a.sum() / b.sum() - 1.0))
    print(f"gap to the optimum {gap:.2f} % [{low:.2f}, {high:.2f}], {proven} of {cases} proven")
    return [Row("placement.gap_to_optimum_percent", gap, "%", cases, COMMAND, low, high)]


def small_case(rng: np.random.Generator) -> FloatArray:
    """18 to 26 pods with a day's rhythm, some by day and some by night."""
    n = int(rng.integers(18, 27))
    level = rng.lognormal(0.0, 0.6, (n, 1))
    phase = rng.choice([0.0, np.pi], (n, 1)) + rng.normal(0.0, 0.5, (n, 1))
    wave = 1.0 + rng.uniform(0.2, 0.8, (n, 1)) * np.sin(2 * np.pi * np.arange(LANES) / 24 + phase)
    return np.asarray(level * wave)


def speed_rows(nodes: int = 5000, pods: int = 100_000, decisions: int = 2000) -> list[Row]:
    """One decision after the other on many loaded nodes."""
    rng = np.random.default_rng(SEED)
    hour = np.arange(2 * LANES)
    level = rng.lognormal(20.0, 1.0, (decisions, 1))
    phase = rng.uniform(0, 2 * np.pi, (decisions, 1))
    loads = loads_of(
        level * (1.2 + np.sin(2 * np.pi * hour / 24 + phase)) * rng.lognormal(0, 0.1, (decisions, 48))
    )
    made = empty_nodes(np.full(nodes, NODE_BYTES), LANES)
    where, which = rng.integers(nodes, size=pods), rng.integers(decisions, size=pods)
    put(made, loads.take(which), where)
    chooser, took = Chooser(made), []
    for pod in range(decisions):
        one = loads.take([pod])
        began = time.perf_counter()
        choice = chooser.choose(one)
        if choice is not None:
            chooser.add(choice.place, one)
        took.append(time.perf_counter() - began)
    p50, p99 = (1000 * float(np.quantile(took, each)) for each in (0.5, 0.99))
    rate = decisions / sum(took)
    print(f"a decision with {nodes} nodes: p50 {p50:.2f} ms, p99 {p99:.2f} ms; {rate:.0f} pods/s one by one")
    return [
        Row("placement.decide_p99_ms", p99, "ms", decisions, COMMAND),
        Row("placement.decide_p50_ms", p50, "ms", decisions, COMMAND),
        Row("placement.pods_per_second", rate, "pods/s", decisions, COMMAND),
    ]


def large(traces: Path) -> list[Row]:
    """A cluster that no bench here can hold as objects, by the model that agrees with kube-scheduler."""
    from placement_model import large_rows  # noqa: PLC0415 -- which imports from here

    return large_rows(traces, LARGE_NODES, LARGE_PODS)


def numa_rows() -> list[Row]:
    """What moving memory to the CPUs is worth, in a model: see `bench/placement_numa.py`."""
    from placement_numa import measured_rows  # noqa: PLC0415

    return measured_rows()


# -- what the constants stand on -------------------------------------------------------------------------


def lanes_table(traces: Path) -> list[Row]:
    """Squared error of nodes' sums against what requests tell, by the constants of `placement/lanes.py`."""
    (one,) = draws(traces, 500, 1)
    hourly = one.fleet(ALONE).hourly_bytes
    groups = np.random.default_rng(SEED).permutation(500).reshape(25, 20)
    for fade in (0.5, 0.5**0.5, 0.5**0.25):
        lanes.DAY_FADE = fade
        ratios = []
        for hour in (48, 60, 72):
            came = hourly[:, hour : hour + LANES][groups].sum(axis=1)
            said = loads_of(hourly[:, :hour]).mean_bytes[groups].sum(axis=1)
            told = one.own_bytes[groups].sum(axis=1)[:, None] * (came.sum() / (LANES * one.own_bytes.sum()))
            ratios.append(((said - came) ** 2).sum() / ((told - came) ** 2).sum())
        print(f"fade {fade:.2f}: {np.mean(ratios):.3f} of the requests' error")
    return []


def rules_table(drawn: Sequence[Drawn]) -> list[Row]:
    """Pods without a node, and short bins, by what the room that is left weighs; on few nodes and on more."""
    from plimsoll.placement import choose  # noqa: PLC0415

    for weight in (1.0, 0.1, 0.0, -0.1, -0.3, -1.0):
        choose.ROOM_WEIGHT = weight
        found = {}
        for more in (0, 1, 3):
            runs = [outcome_of(one, PLACED, fewest_by_sum(one, PLACED) + more) for one in drawn]
            found[more] = (sum(each.unplaced for each in runs), sum(each.short_node_bins for each in runs))
        print(f"room weighs {weight}: unplaced and short by nodes beyond the sum: {found}", flush=True)
    return []


def calibration_rows(traces: Path) -> list[Row]:
    """How often sums of recorded pods were short within a day, by what was said; each day once."""
    said = {bound: [0, 0] for bound in (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)}
    for one in draws(traces, 600, 4):
        hourly = one.fleet(ALONE).hourly_bytes
        for size in (10, 20, 50):
            groups = np.random.default_rng(SEED).permutation(600).reshape(-1, size)
            for hour in (48, 72):
                loads = loads_of(hourly[:, :hour])
                sums = (each[groups].sum(axis=1) for each in (loads.mean_bytes, loads.variance, loads.third))
                used = one.usage_bytes[groups, hour * 12 : (hour + LANES) * 12].sum(axis=1)
                nodes = NodeLoads(used.max(axis=1), *sums, np.ones(len(groups)))
                chances = day_chances(nodes, used)
                for bound, counts in said.items():
                    counts[0] += int((chances < bound).sum())
                    counts[1] += len(chances)
    rows = []
    for bound, (short, days) in said.items():
        print(f"short with chance {bound}: {short / days:.4f} of {days} node-days were")
        name = f"placement.calibration.{bound}.realised"
        rows.append(Row(name, short / days, "of node-days", days, COMMAND, against={"promised": bound}))
    return rows


def day_chances(nodes: NodeLoads, used: FloatArray) -> FloatArray:
    """[N] the chance that was given to what came: of being short with just so much less than was used."""
    came = used.reshape(len(used), LANES, -1).max(axis=2)
    worst = np.full(len(used), np.inf)
    for lane in range(LANES):
        columns = (each[:, [lane]] for each in (nodes.mean_bytes, nodes.variance, nodes.third))
        # The less likely the hour was, the wider its margin: the day's least likely hour is what counts.
        wide = margin(NodeLoads(came[:, lane], *columns, nodes.inflation))
        worst = np.where(np.isinf(worst), wide, np.maximum(worst, wide))
    return short_probability(worst)


if __name__ == "__main__":
    main()
