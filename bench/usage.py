"""What the usage history and VPA's histogram cost, one core: a table and bench/results/usage.json.

In: `--rows` containers with seeded noise, the worst input for a checkpoint. Each figure is the median of
`--repeat` runs; low and high are the fastest and the slowest of them.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np

from plimsoll.usage.histogram_bank import DecayingHistograms
from plimsoll.usage.history import History
from plimsoll.usage.sample import BIN_SECONDS, Quantity
from report import Row, bench_options, write_results

SEED = 7
SAMPLES = 10_000
NOW = 1_700_000_000.0


class Bench:
    """Collects one row a figure."""

    def __init__(self, count: int, repeat: int) -> None:
        self.count, self.repeat = count, repeat
        self.rows: list[Row] = []
        self.command = f".venv/bin/python bench/usage.py --rows {count} --repeat {repeat}"

    def time(self, name: str, call: Callable[[], object], units: int = 1, repeat: int | None = None) -> None:
        """Time a call, in milliseconds per unit."""
        times = []
        for _ in range(repeat or self.repeat):
            started = time.perf_counter()
            call()
            times.append((time.perf_counter() - started) * 1000 / units)
        self.add(name, statistics.median(times), "ms", len(times), min(times), max(times))

    def add(
        self,
        name: str,
        value: float,
        unit: str,
        n: int = 1,
        low: float | None = None,
        high: float | None = None,
    ) -> None:
        """Take a figure in and print it."""
        self.rows.append(Row(f"usage.{name}", value, unit, n, self.command, low, high))
        spread = "" if low is None or high is None else f"({low:.3f} to {high:.3f})"
        print(f"{name:32} {value:10.3f} {unit:4} {spread}")


def resident_mib() -> float:
    """The process's highest resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def bench_history(bench: Bench, rng: np.random.Generator) -> None:
    """Growing, appending, moving on, reading and checkpointing."""
    base, now = resident_mib(), [NOW]
    history = History(Quantity.USAGE)
    bench.time("add_rows_ms", lambda: history.add_rows(bench.count), repeat=1)
    bench.add("history_mib", resident_mib() - base, "MiB")
    rows = rng.integers(0, bench.count, SAMPLES).astype(np.int32)
    seconds, values = NOW - rng.uniform(0, 3600, SAMPLES), rng.lognormal(19, 1, SAMPLES)
    history.advance(NOW)
    bench.time("append_10k_ms", lambda: history.append(rows, seconds, values, NOW))

    def one_bin() -> None:
        now[0] += BIN_SECONDS
        history.advance(now[0])

    bench.time("advance_bin_ms", one_bin)
    block = np.arange(min(8192, bench.count))
    bench.time("hourly_8k_rows_ms", lambda: history.hourly(block))
    times = now[0] - np.arange(0, 27 * 86400, BIN_SECONDS)
    history.append(np.zeros(len(times), np.int32), times, rng.lognormal(19, 1, len(times)), now[0])
    data = history.checkpoint(0)
    bench.time("checkpoint_ms", lambda: [history.checkpoint(0) for _ in range(100)], units=100)
    bench.time("restore_ms", lambda: [history.restore(1, data) for _ in range(100)], units=100)
    bench.add("checkpoint_noise_bytes", len(data), "B")


def bench_histograms(bench: Bench, rng: np.random.Generator) -> None:
    """One sample for each container, one taken back, three percentiles."""
    bank, rows = DecayingHistograms(bench.count), np.arange(bench.count)
    values = rng.lognormal(19, 1, bench.count)
    bank.add(rows, values, 1.0, NOW)
    bench.time("histogram_add_ms", lambda: bank.add(rows, values, 1.0, NOW))
    bench.time("histogram_subtract_ms", lambda: bank.subtract(rows, values, 1.0, NOW))
    bench.time("histogram_percentiles_ms", lambda: bank.percentiles(rows, [0.5, 0.9, 0.95]))


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=20)
    options = bench_options(parser)
    started, bench = time.perf_counter(), Bench(options.rows, options.repeat)
    rng = np.random.default_rng(SEED)
    bench_history(bench, rng)
    bench_histograms(bench, rng)
    print(write_results("usage", bench.rows, SEED, time.perf_counter() - started))


if __name__ == "__main__":
    main()
