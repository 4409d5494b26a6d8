"""Draws the sample of recorded traces that ships with Plimsoll: a full set of trace files in, a small one
out.

The rule, fixed before any recommender was run on the result, and never to be fitted to one:
1. Sources whose licence allows redistribution only, with a fixed number of series each (`SOURCES`).
2. A series is eligible if the replay contract would score it (warm-up + 12 bins present, median usage of
16 MiB or
   more) and, where the source has such, it is at least 2.5 days long.
3. Within a source: each class (plimsoll.replay.classes) gets one series, the rest of the places go to the
classes in
   proportion to their eligible series (largest remainder). Within a class the seed draws without replacement.
4. A series that is drawn is kept whole, every row and column as recorded.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from plimsoll.replay.classes import MIN_MEDIAN_BYTES, classify
from plimsoll.replay.series import SeriesBatch
from plimsoll_cli.traces.parquet import read_trace, source_warmup_bins

SEED = 7
MIN_BINS = 720  # 2.5 days
# All eligible series fit into the size that may ship, so none is left out and none is chosen; a smaller
# number of places would be drawn by the rule.
EVERY = 1_000_000
SAMPLE = Path(__file__).parent.parent / "cli" / "plimsoll_cli" / "sandbox" / "data"


@dataclass(frozen=True, slots=True)
class Source:
    """A source of traces, how many series are drawn from it, and by what right."""

    name: str
    places: int
    title: str
    licence: str
    link: str


SOURCES = (
    Source(
        "google2011_job",
        EVERY,
        "Google cluster-usage traces 2011 (ClusterData2011_2), memory of jobs, scaled to a nominal machine",
        "CC-BY-4.0",
        "https://github.com/google/cluster-data",
    ),
    Source(
        "google2019_task",
        EVERY,
        "Google cluster-usage traces 2019 (ClusterData2019), memory of tasks, scaled to a nominal machine",
        "CC-BY-4.0",
        "https://github.com/google/cluster-data",
    ),
    Source(
        "nezha_pod",
        EVERY,
        "Nezha, a dataset of microservices with injected faults (Online Boutique), memory of pods",
        "MIT",
        "https://github.com/IntelligentDDS/Nezha",
    ),
)


def main() -> None:
    """Draw, and write Parquet files and `sample.json` beside them."""
    parser = argparse.ArgumentParser(description="draw the sample of traces that ships with Plimsoll")
    parser.add_argument("traces", type=Path, help="directory of the full trace files")
    parser.add_argument("--out", type=Path, default=SAMPLE)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    drawn = [draw(source, arguments.traces, arguments.out, i) for i, source in enumerate(SOURCES)]
    (arguments.out / "sample.json").write_text(
        json.dumps({"seed": SEED, "script": "bench/draw_sample.py", "sources": drawn}, indent=2) + "\n"
    )
    mebibytes = size(arguments.out) / 2**20
    count = sum(len(ids) for source in drawn for ids in source["series"].values())
    print(f"{count} series, {mebibytes:.2f} MiB")


def draw(source: Source, traces: Path, out: Path, index: int) -> dict[str, Any]:
    """Draw one source's series, write them, and say what they are."""
    path = traces / f"{source.name}.parquet"
    by_class = eligible(read_trace(path))
    places = allot({name: len(ids) for name, ids in by_class.items()}, source.places)
    generator = np.random.default_rng([SEED, index])
    chosen = {
        name: sorted(generator.choice(sorted(ids), size=places[name], replace=False).tolist())
        for name, ids in sorted(by_class.items())
    }
    write(path, out / path.name, [series for ids in chosen.values() for series in ids])
    return {
        "file": path.name,
        "title": source.title,
        "licence": source.licence,
        "link": source.link,
        "eligible": {name: len(ids) for name, ids in sorted(by_class.items())},
        "series": chosen,
    }


def eligible(batch: SeriesBatch) -> dict[str, list[str]]:
    """Ids of the eligible series, by class."""
    long_enough = min(MIN_BINS, batch.bins // 2)
    by_class: dict[str, list[str]] = {}
    for row, series_id in enumerate(batch.series_ids):
        usage = batch.usage_bytes[row, : batch.length_bins[row]]
        present = usage[~np.isnan(usage)]
        scored = len(present) >= source_warmup_bins(batch) + 12 and np.median(present) >= MIN_MEDIAN_BYTES
        if scored and len(usage) >= long_enough:
            by_class.setdefault(classify(usage).value, []).append(series_id)
    return by_class


def allot(sizes: dict[str, int], places: int) -> dict[str, int]:
    """Places by class: one each, then by largest remainder, never more than there are series."""
    given = dict.fromkeys(sizes, 1)
    total = sum(sizes.values())
    for _ in range(min(places, total) - len(sizes)):
        open_classes = [name for name in sorted(sizes) if given[name] < sizes[name]]
        neediest = max(open_classes, key=lambda name: places * sizes[name] / total - given[name])
        given[neediest] += 1
    return given


def write(source: Path, target: Path, series_ids: list[str]) -> None:
    """Copy the rows of these series, in the order of the source."""
    table = pq.read_table(source)
    kept = table.filter(pc.is_in(table["series_id"], value_set=pa.array(series_ids, table["series_id"].type)))
    pq.write_table(kept.replace_schema_metadata(None), target, compression="zstd", compression_level=19)


def size(directory: Path) -> int:
    """Bytes of the Parquet files in a directory."""
    return sum(path.stat().st_size for path in directory.glob("*.parquet"))


if __name__ == "__main__":
    main()
