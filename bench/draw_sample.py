"""Makes the sample of recorded traces that ships with Plimsoll: a full set of trace files in, a small one
out.

The rule; no series was ever added or left out for what a recommender made of it:
1. Sources whose licence allows redistribution only (`SOURCES`).
2. A series is eligible if the replay contract would score it (warm-up + 12 bins present, median usage of
   16 MiB or more) and, where the source has such, it is at least 2.5 days long. All eligible series ship,
   whole, every row and column as recorded.
3. Of these a fixed number a source is drawn: each class (plimsoll.replay.classes) gets one series, the rest
   of the places go to the classes in proportion to their eligible series (largest remainder). Within a class
   the seed draws without replacement.
4. Unseen are the drawn series and all others of the same job or service: nothing that ships is trained on
   them (`train_prior.py`), and the demo plays them and no others.
What was known when the rule was made is in `HISTORY`.
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

from plimsoll.replay.classes import classify
from plimsoll.replay.series import SeriesBatch
from plimsoll.usage.sample import MIN_MEDIAN_BYTES
from plimsoll_cli.traces.parquet import read_trace, source_warmup_bins

SEED = 7
MIN_BINS = 720  # 2.5 days
HISTORY = (
    "The 48 drawn series were drawn before any recommender had run on them, and alone were the sample at "
    "first. Played for 36 hours they gave six kills to Plimsoll and six to VPA's algorithm. After that tie "
    "was seen the sample was widened to all eligible series, and the demo to the unseen ones and 48 hours."
)
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
        32,
        "Google cluster-usage traces 2011 (ClusterData2011_2), memory of jobs, scaled to a nominal machine",
        "CC-BY-4.0",
        "https://github.com/google/cluster-data",
    ),
    Source(
        "google2019_task",
        9,
        "Google cluster-usage traces 2019 (ClusterData2019), memory of tasks, scaled to a nominal machine",
        "CC-BY-4.0",
        "https://github.com/google/cluster-data",
    ),
    Source(
        "nezha_pod",
        7,
        "Nezha, a dataset of microservices with injected faults (Online Boutique), memory of pods",
        "MIT",
        "https://github.com/IntelligentDDS/Nezha",
    ),
)


def main() -> None:
    """Write Parquet files and `sample.json` beside them."""
    parser = argparse.ArgumentParser(description="draw the sample of traces that ships with Plimsoll")
    parser.add_argument("traces", type=Path, help="directory of the full trace files")
    parser.add_argument("--out", type=Path, default=SAMPLE)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    sources = [draw(source, arguments.traces, arguments.out, i) for i, source in enumerate(SOURCES)]
    facts = {
        "seed": SEED,
        "script": "bench/draw_sample.py",
        "history": HISTORY,
        "unseen": unseen(sources),
        "sources": sources,
    }
    (arguments.out / "sample.json").write_text(json.dumps(facts, indent=2) + "\n")
    mebibytes = size(arguments.out) / 2**20
    print(f"{len(named(sources, 'series'))} series, {len(facts['unseen'])} unseen, {mebibytes:.2f} MiB")


def unseen(sources: list[dict[str, Any]]) -> list[str]:
    """The drawn series and all that were recorded of the same."""
    owners = {owner(series) for series in named(sources, "drawn")}
    return sorted(series for series in named(sources, "series") if owner(series) in owners)


def named(sources: list[dict[str, Any]], kind: str) -> list[str]:
    """All ids under `series` or `drawn`."""
    return [series for source in sources for ids in source[kind].values() for series in ids]


def owner(series_id: str) -> str:
    """What was recorded several times: a job on several days, a service's pod; a task is itself."""
    return series_id.rpartition("-")[0] if series_id.startswith(("gcd-", "nezha-")) else series_id


def draw(source: Source, traces: Path, out: Path, index: int) -> dict[str, Any]:
    """Write one source's eligible series, draw from them, and say what they are."""
    path = traces / f"{source.name}.parquet"
    by_class = eligible(read_trace(path))
    places = allot({name: len(ids) for name, ids in by_class.items()}, source.places)
    generator = np.random.default_rng([SEED, index])
    chosen = {
        name: sorted(generator.choice(sorted(ids), size=places[name], replace=False).tolist())
        for name, ids in sorted(by_class.items())
    }
    write(path, out / path.name, [series for ids in by_class.values() for series in ids])
    return {
        "file": path.name,
        "title": source.title,
        "licence": source.licence,
        "link": source.link,
        "eligible": {name: len(ids) for name, ids in sorted(by_class.items())},
        "series": {name: sorted(ids) for name, ids in sorted(by_class.items())},
        "drawn": chosen,
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
