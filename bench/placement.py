"""What placing by forecast is worth: nodes needed, shortages, gap to the optimum, time, wrong forecasts.

In: recorded series as pods on one daily clock, drawn with replacement: two days of past, two days to live
through. Out: `bench/results/placement.json`. Every arm sees the same pods in the same order; the rules are
those of `plimsoll.replay.placement`.

    python bench/placement.py [--traces DIRECTORY] [--pods N] [--draws N] [--part
    nodes|optimum|speed|large|recorded|...]
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from placement_fates import fate_rows
from placement_model import large_rows
from placement_moves import moves_rows
from placement_nodes import (
    ARMS,
    COMMAND,
    equally_packed,
    fewest,
    fewest_at_all,
    fewest_by_sum,
    interval_of,
    outcome_of,
    percent_fewer,
    ratio,
)
from placement_numa import measured_rows
from placement_pods import (
    ALONE,
    NODE_BYTES,
    PLACED,
    SEED,
    SHUFFLED,
    VPA,
    Drawn,
    draws,
)
from placement_recorded import DRAWS, PODS, recorded_rows
from plimsoll.placement import lanes
from plimsoll.placement.choose import COMFORT, Chooser
from plimsoll.placement.fit import NodeLoads, empty_nodes, margin, put, short_probability
from plimsoll.placement.lanes import LANES, FloatArray, Loads, loads_of
from plimsoll.placement.optimum import fewest_nodes
from plimsoll.placement.preference import nodes_to_score, terms_for
from plimsoll.placement.stack import pack
from plimsoll.replay.split import Half
from report import Row, bench_options, write_results

LARGE_NODES, LARGE_PODS = 10_000, 100_000  # more than a bench here can hold as objects
MEASURED = ("nodes", "fates", "moves", "calibration", "optimum", "speed", "large", "numa")
RECORDED = "recorded"  # a result of its own, done in minutes
LOOKED_AT = ("lanes", "priors", "rules")  # what constants stand on


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="placing by forecast")
    parser.add_argument("--traces", type=Path, default=Path("sample"))
    parser.add_argument("--pods", type=int, help="default: 1000, 300 for `recorded`")
    parser.add_argument("--draws", type=int, help="default: 8, 6 for `recorded`")
    parser.add_argument("--part", choices=["all", *MEASURED, *LOOKED_AT, RECORDED], default="all")
    options = bench_options(parser)
    few = options.part == RECORDED
    options.pods = options.pods or (PODS if few else 1000)
    options.draws = options.draws or (DRAWS if few else 8)
    begun, rows = time.monotonic(), []
    parts: dict[str, Callable[[], list[Row]]] = {
        "nodes": lambda: nodes_rows(draws(options.traces, options.pods, options.draws, Half.JUDGED)),
        "fates": lambda: fate_rows(options.traces, options.pods, options.draws),
        "moves": lambda: moves_rows(draws(options.traces, options.pods, options.draws, Half.JUDGED)),
        RECORDED: lambda: recorded_rows(draws(options.traces, options.pods, options.draws, Half.JUDGED)),
        "calibration": lambda: calibration_rows(options.traces),
        "optimum": optimum_rows,
        "speed": speed_rows,
        "large": lambda: large_rows(options.traces, LARGE_NODES, LARGE_PODS),
        "numa": measured_rows,
        "lanes": lambda: lanes_table(options.traces),
        "priors": lambda: priors_table(options.traces),
        "rules": lambda: rules_table(draws(options.traces, options.pods, 4, Half.TRAINING)),
    }
    chosen = MEASURED if options.part == "all" else [options.part]
    for name in chosen:
        rows += parts[name]()
    if options.part == RECORDED:
        print(write_results("placement_recorded", rows, SEED, time.monotonic() - begun))
    if options.part == "all":
        print(write_results("placement", rows, SEED, time.monotonic() - begun))


# -- nodes and shortages ---------------------------------------------------------------------------------


def nodes_rows(drawn: Sequence[Drawn]) -> list[Row]:
    """How many nodes each arm needs, and its shortages where the packing is the same."""
    needed: dict[str, list[int]] = {arm: [] for arm in ARMS}
    short: dict[str, list[int]] = {ALONE: [], PLACED: []}
    possible = [fewest_at_all(one) for one in drawn]
    for number, one in enumerate(drawn):
        allowed = 0
        for arm in ARMS:
            outcome = fewest(one, arm, allowed)
            allowed = outcome.short_node_bins if arm == VPA else allowed
            needed[arm].append(outcome.nodes)
        for arm, bins in equally_packed(one).items():
            short[arm].append(bins)
        print(f"draw {number}: nodes", {arm: counts[-1] for arm, counts in needed.items()}, end="; ")
        print("short bins on the same nodes", {arm: counts[-1] for arm, counts in short.items()}, flush=True)
    return node_figures(needed, short, possible, n=len(drawn) * len(drawn[0].own_bytes))


def node_figures(
    needed: dict[str, list[int]], short: dict[str, list[int]], possible: list[int], n: int
) -> list[Row]:
    """Rows of what was counted; `possible` are the nodes that no placing gets below."""

    def row(name: str, unit: str, figure: tuple[float, float, float], **fields: object) -> Row:
        value, low, high = figure
        return Row(f"placement.{name}", value, unit, n, COMMAND, low, high, **fields)

    over = {arm: percent_fewer(needed[PLACED], needed[arm]) for arm in (VPA, ALONE)}
    lost = interval_of([needed[SHUFFLED], needed[ALONE]], lambda a, b: 100.0 * (a.sum() / b.sum() - 1.0))
    of_shortages = interval_of([short[PLACED], short[ALONE]], ratio)
    means = {arm: interval_of([counts], np.mean) for arm, counts in needed.items()}
    peers = {arm: means[arm][0] for arm in (VPA, ALONE)}
    return [
        row("nodes_saved_percent", "%", over[VPA]),
        row("nodes_saved_over_requests_percent", "%", over[ALONE]),
        row("nodes_savable_percent", "%", percent_fewer(possible, needed[VPA])),
        row("nodes_savable_over_requests_percent", "%", percent_fewer(possible, needed[ALONE])),
        row("nodes", "nodes", means[PLACED], against=peers),
        row("shortages_ratio", "", of_shortages),
        row("wrong_forecast_loss_percent", "%", lost),
    ]


# -- the optimum, and time -------------------------------------------------------------------------------


def optimum_rows(cases: int = 40) -> list[Row]:
    """Both heuristics against HiGHS on small cases; unproven ones count against their lower bound.

    `pack` sees all pods at once, as `plimsoll plan` does; `one_by_one` is what the webhook does. In the best
    of many orders the same rule tells what of its gap is the order's, which nobody who answers at once knows.
    """
    rng = np.random.default_rng(SEED)
    found: dict[str, list[int]] = {
        "gap_to_optimum_percent": [],
        "gap_to_optimum_one_by_one_percent": [],
        "gap_to_optimum_best_order_percent": [],
    }
    best, proven = [], 0
    for _ in range(cases):
        load = small_case(rng)
        capacity = float(load.max() * rng.uniform(1.3, 2.5))
        nothing = np.zeros_like(load)
        pods = Loads(load, nothing, nothing)
        nodes = int(pack(pods, capacity).max()) + 1
        optimum = fewest_nodes(load, capacity, nodes, seconds=8.0)
        proven += optimum.proven
        found["gap_to_optimum_percent"].append(nodes)
        found["gap_to_optimum_one_by_one_percent"].append(one_by_one(pods, capacity))
        found["gap_to_optimum_best_order_percent"].append(in_best_order(pods, capacity, optimum.least_nodes))
        best.append(optimum.least_nodes)
    note = f"{proven} of {cases} optima are proven, the others count with their lower bound; made-up cases"
    rows = []
    for name, nodes_of in found.items():
        gap, low, high = interval_of([nodes_of, best], lambda a, b: 100.0 * (a.sum() / b.sum() - 1.0))
        print(f"{name} {gap:.2f} [{low:.2f}, {high:.2f}], {note}")
        rows.append(Row(f"placement.{name}", gap, "%", cases, COMMAND, low, high, note=note))
    return rows


def one_by_one(pods: Loads, capacity: float) -> int:
    """Nodes in use when each pod is given the node of its choice as it comes."""
    chooser, used = Chooser(empty_nodes(np.full(len(pods), capacity), LANES)), set()
    for pod in range(len(pods)):
        one = pods.take([pod])
        choice = chooser.choose(one)
        if choice is None:
            raise RuntimeError("a pod that fits on an empty node was given none")
        chooser.add(choice.place, one)
        used.add(choice.place)
    return len(used)


def in_best_order(pods: Loads, capacity: float, least: int, orders: int = 40) -> int:
    """The fewest nodes of `one_by_one` over several orders, the largest first and shaken; `least`: enough."""
    needs, rng = pods.mean_bytes.max(axis=1), np.random.default_rng(SEED)
    best = one_by_one(pods.take(np.argsort(-needs)), capacity)
    for _ in range(orders):
        if best <= least:
            break
        shaken = needs * np.exp(rng.normal(0.0, 0.25, len(needs)))
        best = min(best, one_by_one(pods.take(np.argsort(-shaken)), capacity))
    return best


def small_case(rng: np.random.Generator) -> FloatArray:
    """18 to 26 pods with a day's rhythm, some by day and some by night."""
    n = int(rng.integers(18, 27))
    level = rng.lognormal(0.0, 0.6, (n, 1))
    phase = rng.choice([0.0, np.pi], (n, 1)) + rng.normal(0.0, 0.5, (n, 1))
    wave = 1.0 + rng.uniform(0.2, 0.8, (n, 1)) * np.sin(2 * np.pi * np.arange(LANES) / 24 + phase)
    return np.asarray(level * wave)


def speed_rows(nodes: int = 5000, decisions: int = 2000) -> list[Row]:
    """One decision after the other on many nodes: of 20 pods each, nearly full, and all full."""
    rows = []
    for suffix, pods in (("", 20 * nodes), (".nearly_full", 104 * nodes), (".all_full", 180 * nodes)):
        wall, cpu = decided(nodes, pods, decisions)
        told = {
            "decide_p99_ms": (float(np.quantile(wall, 0.99)), "ms"),
            "decide_p50_ms": (float(np.quantile(wall, 0.5)), "ms"),
            "decide_cpu_p99_ms": (float(np.quantile(cpu, 0.99)), "ms of a CPU"),
            "pods_per_second": (1000.0 * decisions / sum(wall), "pods/s"),
            "pods_per_cpu_second": (1000.0 * decisions / sum(cpu), "pods per second of a CPU"),
        }
        print(f"{pods} pods on {nodes} nodes: " + ", ".join(f"{k} {v:.2f}" for k, (v, _) in told.items()))
        rows += [
            Row(f"placement.{name}{suffix}", value, unit, decisions, COMMAND)
            for name, (value, unit) in told.items()
        ]
    return rows


def decided(nodes: int, pods: int, decisions: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each decision by the clock and of the CPU, in a fleet of so many pods."""
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
    chooser, terms = Chooser(made, comfort=COMFORT), terms_for(nodes_to_score(nodes) / nodes)
    wall, cpu = [], []
    for pod in range(decisions):
        one = loads.take([pod])
        began, began_cpu = time.perf_counter(), time.thread_time()
        found = chooser.prefer(one, terms)
        if found:
            chooser.add(found[0].place, one)
        cpu.append(1000 * (time.thread_time() - began_cpu))
        wall.append(1000 * (time.perf_counter() - began))
    return wall, cpu


# -- what the constants stand on -------------------------------------------------------------------------


def lanes_table(traces: Path) -> list[Row]:
    """Squared error of nodes' sums against what requests tell, by the constants of `placement/lanes.py`."""
    (one,) = draws(traces, 500, 1, Half.TRAINING)
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


def priors_table(traces: Path) -> list[Row]:
    """Realised by promised, with other priors of containers (`placement/lanes.py`)."""
    drawn = draws(traces, 600, 4, Half.TRAINING)
    for deviation in (0.15, 0.25, 0.35):
        for skewness in (1.0, 3.0, 5.0):
            lanes.PRIOR_DEVIATION, lanes.PRIOR_SKEWNESS = deviation, skewness
            said = {bound: round(float(np.mean(each)), 4) for bound, each in shortages(drawn).items()}
            print(f"deviation {deviation}, skewness {skewness}: short by what was said {said}", flush=True)
    return []


def calibration_rows(traces: Path) -> list[Row]:
    """How often sums of recorded pods were short within a day, by what was said; each day once.

    The interval is over draws: days and sizes of nodes within one are the same pods.
    """
    rows = []
    for bound, of_draws in shortages(draws(traces, 600, 4, Half.JUDGED)).items():
        value, low, high = interval_of([of_draws], np.mean)
        print(f"short with chance {bound}: {value:.4f} [{low:.4f}, {high:.4f}] of node-days were")
        name = f"placement.calibration.{bound}.realised"
        against = {"promised": bound}
        rows.append(Row(name, value, "of node-days", len(of_draws), COMMAND, low, high, against=against))
    return rows


def shortages(drawn: Sequence[Drawn]) -> dict[float, list[float]]:
    """By bound, of each draw the share of node-days on which nodes of such a bound were short."""
    said: dict[float, list[float]] = {bound: [] for bound in (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)}
    for one in drawn:
        chances = np.concatenate([chances_of(one, size, hour) for size in (10, 20, 50) for hour in (48, 72)])
        for bound, counts in said.items():
            counts.append(float((chances < bound).mean()))
    return said


def chances_of(one: Drawn, size: int, hour: int) -> FloatArray:
    """[N] of nodes of so many pods, the chance that was given to what came in the day after an hour."""
    hourly, pods = one.fleet(ALONE).hourly_bytes, len(one.own_bytes) // size * size
    groups = np.random.default_rng(SEED).permutation(pods).reshape(-1, size)
    loads = loads_of(hourly[:, :hour], one.kin)
    used = one.usage_bytes[groups, hour * 12 : (hour + LANES) * 12].sum(axis=1)
    nodes = empty_nodes(used.max(axis=1), LANES)
    put(nodes, loads.take(groups.ravel()), np.repeat(np.arange(len(groups)), size))
    return day_chances(nodes, used)


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
