"""The operator's loop at 1k, 10k and 100k containers, beside the real VPA recommender: `make bench-loop`.

In: nothing (a seed). Out: a table and bench/results/loop.json. The operator is the shipped one, a child
process, on the sandbox's API loaded with half as many pods of two containers, each its own workload. VPA's
recommender is the real one (v1.8.1) on a real API server. In the first loop every container is due: samples,
forecast, price, guards, writes. It is told whole (`first_loop`) and in its two parts: taking histories back
from the profiles (`restore`), as only a start does, and the rest (`refresh`). What could not be measured is
a row without a value that says why.
"""

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

import operator_run
import vpa
from fleet import Fleet
from operator_run import OperatorRun
from plimsoll.pipeline import LimitPipeline
from plimsoll.usage.history import History
from plimsoll.usage.sample import Quantity
from plimsoll_cli.output import OutputFormat, print_rows
from report import Row, bench_options, write_results

SEED = 7
COMMAND = "make bench-loop"
SIZES = (1_000, 10_000, 100_000)
# Seconds between two loops, and seconds a size may take altogether.
INTERVALS = {1_000: 10.0, 10_000: 15.0, 100_000: 60.0}
BUDGETS = {1_000: 90.0, 10_000: 150.0, 100_000: 480.0}
LOOPS = 4  # the first refreshes everything, the others are ordinary ones
VPAS = 1_000
VPA_SECONDS = 240.0
# Requests a second the recommender allows itself, and how many of its loops are measured. Its default is 50
# (a loop takes the better part of a minute then); 2000 takes the limit away.
RATES = {2_000.0: 2, 50.0: 1}
UPDATES = 200
BOOTSTRAPS = 1000


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="50 containers, no VPA: does it run at all")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--no-vpa", action="store_true")
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = bench_options(parser)
    begun = time.monotonic()
    sizes = (50,) if arguments.quick else tuple(arguments.sizes)
    runs = [_run(size, arguments.seed, quick=arguments.quick) for size in sizes]
    peers, why = ([], "not asked for") if arguments.quick or arguments.no_vpa else _vpa(arguments.seed)
    rows = [*_rows(runs, peers), *_vpa_rows(peers, why), *update_rows(max(sizes), arguments.seed)]
    print_rows([_shown(row) for row in rows], OutputFormat.TABLE, title="the operator's loop")
    seconds = time.monotonic() - begun
    name = "loop-quick" if arguments.quick else "loop"
    print(f"{write_results(name, rows, arguments.seed, seconds)} ({seconds:.0f} s)")


def _run(size: int, seed: int, *, quick: bool) -> OperatorRun:
    interval = 1.0 if quick else INTERVALS.get(size, 30.0)
    budget = BUDGETS.get(size, 300.0)
    run = operator_run.measure(Fleet(size, seed), interval, LOOPS, time.monotonic() + budget)
    print(
        f"{size} containers: loops {[round(s, 2) for s in run.loop_seconds]} s {run.problem or ''}",
        flush=True,
    )
    for number, stages in enumerate(run.stages):
        print(
            f"  loop {number + 1}: " + ", ".join(f"{name} {s:.2f}" for name, s in stages.items()), flush=True
        )
    return run


def _vpa(seed: int) -> tuple[list[vpa.VpaRun], str | None]:
    if why := vpa.why_not():
        return [], why
    try:
        return vpa.measure(VPAS, RATES, seed, time.monotonic() + VPA_SECONDS), None
    except (RuntimeError, AssertionError, OSError) as error:
        return [], f"{type(error).__name__}: {str(error).splitlines()[0]}"


def _rows(runs: Sequence[OperatorRun], peers: Sequence[vpa.VpaRun]) -> Iterator[Row]:
    for run in runs:
        n, loops = run.containers, run.loop_seconds
        against = (
            {f"vpa at {peer.qps:g} qps": _median(peer.loop_seconds) for peer in peers} if n == VPAS else {}
        )
        yield _row(f"loop.refresh_seconds.{n}", _refresh(run), "s", 1, run, against)
        yield _row(f"loop.first_loop_seconds.{n}", loops[0] if loops else None, "s", 1, run, against)
        yield _row(f"loop.restore_seconds.{n}", run.stages[0]["tell"] if run.stages else None, "s", 1, run)
        yield _row(f"loop.ordinary_seconds.{n}", _median(loops[1:]), "s", len(loops) - 1, run)
        yield _row(f"loop.start_seconds.{n}", run.start_seconds or None, "s", 1, run)
        memory = run.memory_mib[-1] if run.memory_mib else None
        yield _row(f"loop.memory_mib.{n}", memory, "MiB", len(run.memory_mib), run, _memory(run, peers))
        yield _row(
            f"loop.memory_highest_mib.{n}", max(run.memory_mib, default=None), "MiB", len(run.memory_mib), run
        )
        yield _row(
            f"loop.api_writes_per_minute.{n}", run.writes_per_minute, "1/min", sum(run.writes.values()), run
        )
    yield from _webhook_rows(runs[-1])
    yield from _growth_rows(runs)


def _refresh(run: OperatorRun) -> float | None:
    """Seconds of the first loop without the stage that takes histories back."""
    return run.loop_seconds[0] - run.stages[0]["tell"] if run.loop_seconds else None


def _memory(run: OperatorRun, peers: Sequence[vpa.VpaRun]) -> dict[str, float | None]:
    return {"vpa": peers[0].memory_mib} if peers and run.containers == VPAS else {}


def _webhook_rows(run: OperatorRun) -> Iterator[Row]:
    times = run.webhook_ms
    p99 = float(np.percentile(times, 99)) if times else None
    yield _row("loop.webhook_p99_ms", p99, "ms", len(times), run)
    yield _row("loop.webhook_median_ms", _median(times), "ms", len(times), run)
    hold = None if run.hold_seconds is None else run.hold_seconds * 1000
    yield _row("loop.event_loop_hold_max_ms", hold, "ms", 1, run)
    cpu = None if run.hold_cpu_seconds is None else run.hold_cpu_seconds * 1000
    yield _row("loop.event_loop_hold_cpu_max_ms", cpu, "ms", 1, run)


def _growth_rows(runs: Sequence[OperatorRun]) -> Iterator[Row]:
    """How the refresh grows: the exponent b of seconds = a * containers^b between two sizes; 1 is linear."""
    for small, large in pairwise(runs):
        exponent = None
        first, second = _refresh(small), _refresh(large)
        if first and second:
            ratio = second / first
            exponent = math.log(ratio) / math.log(large.containers / small.containers)
        yield _row(f"loop.growth_exponent.{small.containers}.{large.containers}", exponent, "", 2, large)


def _vpa_rows(peers: Sequence[vpa.VpaRun], why: str | None) -> Iterator[Row]:
    if not peers:
        yield Row(f"loop.vpa_refresh_seconds.{VPAS}", None, "s", 0, COMMAND, why=why)
    for peer in peers:
        suffix = "" if peer.qps == max(RATES) else f".at_{peer.qps:g}_qps"
        name, n = f"loop.vpa_refresh_seconds.{peer.vpas}{suffix}", len(peer.loop_seconds)
        yield Row(name, _median(peer.loop_seconds), "s", n, COMMAND, why=peer.problem)
        # Not measured but extrapolated, linearly, to its own interval of a minute.
        seconds = _median(peer.loop_seconds)
        served = peer.vpas * 60.0 / seconds if seconds else None
        row = f"loop.vpa_served_in_a_minute{suffix}"
        yield Row(row, served, "VPAs (extrapolated linearly)", n, COMMAND, why=peer.problem)


def update_rows(size: int, seed: int) -> Iterator[Row]:
    """One container by itself, in a history of the largest size: milliseconds of an update and of a decision.

    An update is what each new sample costs: it is taken in and reacted to. `update` is the ordinary one, of
    usage within what the last forecast knew; `update_asking_again` is of usage above that, where the reaction
    asks the model once more. A decision comes once an hour. What issue 5 asks for in under a millisecond, an
    incremental update of one container, is `update`.
    """
    rng = np.random.default_rng(seed)
    now = 1_800_000_000.0
    history = History(Quantity.WORKING_SET, capacity=size)
    pipeline = LimitPipeline(history)
    rows = history.add_rows(size)
    base = rng.lognormal(np.log(256 * 2**20), 1.0, size)
    for bin_ in range(288):
        seconds = now - (288 - bin_) * 300
        history.advance(seconds)
        history.append(rows, np.full(size, seconds), base * rng.lognormal(0, 0.1, size), seconds)
    history.advance(now)
    pipeline.observe_limits(rows, base * 2)
    updates, decisions, again = [], [], []
    for row in rng.choice(rows, min(UPDATES, size), replace=False):
        one = np.array([row], dtype=rows.dtype)
        started = time.perf_counter()
        history.append(one, np.array([now]), base[one] * 1.1, now)
        pipeline.react(one, now)
        updated = time.perf_counter()
        pipeline.decide(one, now)
        updates.append((updated - started) * 1000)
        decisions.append((time.perf_counter() - updated) * 1000)
        # Far above the peak that the decision knew, and far below the limit: the model is asked.
        pipeline.observe_limits(one, base[one] * 8)
        started = time.perf_counter()
        history.append(one, np.array([now]), base[one] * 4, now)
        pipeline.react(one, now)
        again.append((time.perf_counter() - started) * 1000)
    both = (np.array(updates) + np.array(decisions)).tolist()
    told = (
        ("update", updates),
        ("update_asking_again", again),
        ("decide", decisions),
        ("update_and_decide", both),
    )
    for name, times in told:
        drawn = np.median(rng.choice(times, (BOOTSTRAPS, len(times))), axis=1)
        low, high = (float(np.percentile(drawn, q)) for q in (2.5, 97.5))
        yield Row(f"loop.{name}_one_ms", _median(times), "ms", len(times), COMMAND, low, high)


def _row(
    name: str,
    value: float | None,
    unit: str,
    n: int,
    run: OperatorRun,
    against: dict[str, float | None] | None = None,
) -> Row:
    why = None if value is not None else run.problem or "the run ended before it could be measured"
    return Row(name, value, unit, n, COMMAND, against=against or {}, why=why)


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if len(values) else None


def _shown(row: Row) -> dict[str, object]:
    value = "-" if row.value is None else f"{row.value:,.2f}"
    against = ", ".join(f"{peer} {value:,.2f}" for peer, value in row.against.items() if value is not None)
    return {
        "row": row.name,
        "value": value,
        "unit": row.unit,
        "n": row.n,
        "against": against,
        "why": row.why or "",
    }


if __name__ == "__main__":
    main()
