"""What refitting the forecast's last layer to a fleet's own hours is worth: `make bench-own`.

In: the judged half of the traces, networks of the training half. Out: bench/results/own.json: for
containers and for Bitbrains' machines, taken as one cluster each, the log loss that own weights gain over
the shipped ones on workloads held out, with its interval, and whether the guard keeps them. Machines are no
containers: a fleet of them is one that the shipped weights were not made for.

    python bench/own.py --traces DIRECTORY
"""

import time
import zlib
from collections.abc import Iterator

import numpy as np

from forecast import CORE, SEED, Dataset, datasets, judging_brain, read_options
from plimsoll.forecast.hazard import HazardPeak, Network
from plimsoll.forecast.own import Lessons, RefitTask, refit
from prior_rows import rows_of
from report import Row, write_results

COMMAND = "make bench-own"
FLEETS = {CORE: 1, "bitbrains": 4}  # every so many hours of each series


def main() -> None:
    """Refit, judge, write."""
    options = read_options()
    begun = time.monotonic()
    brain, weights = judging_brain()
    if not isinstance(brain.model, HazardPeak):
        raise TypeError("the judging brain has no networks")
    networks = tuple(brain.model.networks)
    judged = [each for each in datasets(options.traces, options.fraction) if each.name in FLEETS]
    rows = [row for fleet in judged for row in rows_about(fleet, networks)]
    for row in rows:
        print(f"{row.name:32} {row.value} ({row.low} to {row.high}) {row.unit} {row.why or ''}")
    print(write_results("own", rows, SEED, time.monotonic() - begun, {"weights": weights}))


def rows_about(fleet: Dataset, networks: tuple[Network, ...]) -> Iterator[Row]:
    """Gain and verdict of one fleet."""
    seen = rows_of(list(fleet.batches), (0,), FLEETS[fleet.name])
    workload = np.array([zlib.crc32(group.encode()) for group in seen.group])
    answer = refit(RefitTask(0, Lessons(seen.row, seen.level, seen.need, workload)), networks)
    found, name = answer.evidence, f"own.{fleet.name}"
    if found is None:
        yield Row(f"{name}.gain", None, "share of the log loss", 0, COMMAND, why=answer.verdict)
        return
    low, high = (-each / found.shipped_loss for each in reversed(found.difference))
    gain, n = 1 - found.own_loss / found.shipped_loss, found.judges
    yield Row(f"{name}.gain", gain, "share of the log loss (98 % interval)", n, COMMAND, low, high)
    tail = 1 - found.tail[1] / found.tail[0]
    yield Row(f"{name}.gain_beyond_10_percent", tail, "share of that part's log loss", n, COMMAND)
    yield Row(f"{name}.kept", float(answer.own is not None), "1: the guard keeps them", n, COMMAND)


if __name__ == "__main__":
    main()
