"""A fleet out of trace files: every series is one pod at its last moment, on its own past.

In: files, the pipeline's settings. Out: a `Fleet`. Recordings that ended at different times are laid so that
the hours of the day coincide, by each recording's own clock.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from plimsoll.pipeline import PipelineSettings
from plimsoll.usage.sample import BIN_SECONDS, HOUR_SECONDS
from plimsoll_cli.advice.judge import advise
from plimsoll_cli.advice.traces import NOW_SECONDS, subjects_in_traces
from plimsoll_cli.failure import CommandError
from plimsoll_cli.plan.fleet import HOURS_PER_DAY, Fleet, PodOf, Source, counted, fleet_of
from plimsoll_cli.progress import progress
from plimsoll_cli.traces.parquet import read_traces


def recorded_fleet(traces: Sequence[Path], settings: PipelineSettings) -> Fleet:
    """Read, and ask the pipeline about every series at its end."""
    batches = read_traces(traces)
    subjects = list(subjects_in_traces(batches))
    if not subjects:
        raise CommandError(f"no series in {', '.join(map(str, traces))}: nothing to plan")
    with progress("asking the pipeline") as report:
        advice = advise(subjects, settings, NOW_SECONDS, report)
    ends = np.concatenate([each.start_seconds + each.length_bins * BIN_SECONDS for each in batches])
    behind = np.rint((ends.max() - ends) / HOUR_SECONDS).astype(np.int64) % HOURS_PER_DAY
    files = counted(len(batches), "file")
    source = Source(
        f"{len(subjects)} recorded series of {files}, each as one pod at its last moment",
        hour_of_day=round(float(ends.max()) / HOUR_SECONDS) % HOURS_PER_DAY,
        clock="the recordings' own",
        in_force=False,
    )
    pods = [PodOf(f"series {each.key.workload.name}", (row,)) for row, each in enumerate(subjects)]
    return fleet_of(source, advice, pods, behind_hours=behind.tolist())
