"""What a tick tells the operator: samples, forecasts and outcomes as columns.

In: a report of the agent's loop, the indexes of its containers. Out: batches of `plimsoll.coordinate`. What
could not be read is NaN and travels as missing; `memory_max_bytes` 0 is the kernel's `max`.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from plimsoll.coordinate.columns import LARGEST, MOST_ROWS
from plimsoll.coordinate.messages import ForecastBatch, OutcomeBatch, SampleBatch
from plimsoll_nodeagent.control.reports import ContainerReport, Report
from plimsoll_nodeagent.coordinate.roster import Numbered
from plimsoll_nodeagent.discover.tracker import ContainerId
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES
from plimsoll_nodeagent.sample.reading import ContainerSample

NAN = math.nan
HORIZON_SECONDS = 5.0  # of the pressure forecasts


def sample_batch(report: Report, numbered: Numbered, dropped_total: int) -> SampleBatch:
    """Usage of every container that is watched."""
    rows = [each for each in report.snapshot.samples if numbered.index(each.container.key) is not None]
    rows = rows[:MOST_ROWS]
    needs = {each.container_id: each for each in report.containers}
    told = [needs.get(each.container.container_id) for each in rows]
    memory = report.snapshot.kube_node.memory
    columns = {
        "usage_bytes": _column([each.usage_bytes for each in rows]),
        "working_set_bytes": _column([each.working_set_bytes for each in rows]),
        "memory_max_bytes": _column([_most(each) for each in rows]),
        "needed_bytes": _column([None if each is None else each.needed_bytes for each in told]),
        "cold_bytes": _column([None if each is None else each.cold_bytes for each in told]),
        "refault_bytes_total": _column([_refaulted(each) for each in rows]),
        "stall_microseconds_total": _column(
            [None if each.pressure is None else each.pressure.some.total_seconds * 1e6 for each in rows]
        ),
        "oom_kill_count_total": _column([(each.events or {}).get("oom_kill") for each in rows]),
        "unsure_bytes": _column([None if each is None else each.unsure_bytes for each in told]),
    }
    return SampleBatch(
        report.snapshot.taken_seconds,
        _indexes([each.container.key for each in rows], numbered),
        columns,
        0 if memory is None else memory.available_bytes,
        dropped_total,
    )


def forecast_batch(
    report: Report,
    numbered: Numbered,
    probability: dict[ContainerId, float],
    limit_reached: Callable[[ContainerId], float | None],
) -> ForecastBatch:
    """Pressure ahead, and who reaches a limit."""
    keys = [each.container.key for each in report.snapshot.samples]
    said = [
        key
        for key in keys
        if numbered.index(key) is not None and (key in probability or limit_reached(key) is not None)
    ][:MOST_ROWS]
    seconds = [limit_reached(key) for key in said]
    columns = {
        "pressure_probability_ppm": _column([probability.get(key, NAN) * 1e6 for key in said]),
        "limit_reached_milliseconds": _column([None if each is None else each * 1e3 for each in seconds]),
    }
    return ForecastBatch(
        report.snapshot.taken_seconds,
        HORIZON_SECONDS,
        _indexes(said, numbered),
        columns,
        report.node.pressure_forecast,
    )


def outcome_batch(report: Report, numbered: Numbered) -> OutcomeBatch:
    """What reclaim has done since the start: totals, so that any of them may be lost or heard twice."""
    by_id = {each.container_id: each for each in report.containers}
    found = [
        (each.container.key, by_id[each.container.container_id])
        for each in report.snapshot.samples
        if each.container.container_id in by_id and numbered.index(each.container.key) is not None
    ][:MOST_ROWS]
    columns = {
        "asked_bytes_total": _column([each.asked_bytes for _, each in found]),
        "taken_bytes_total": _column([each.taken_bytes for _, each in found]),
        "returned_bytes_total": _column([each.returned_bytes for _, each in found]),
    }
    return OutcomeBatch(report.snapshot.taken_seconds, _indexes([key for key, _ in found], numbered), columns)


def acted(containers: Sequence[ContainerReport]) -> int:
    """All that was ever asked of the kernel: outcomes are told when it has changed."""
    return sum(each.asked_bytes + each.returned_bytes for each in containers)


def _most(sample: ContainerSample) -> float | None:
    if sample.memory_max_bytes is None:
        return None
    return 0.0 if math.isinf(sample.memory_max_bytes) else float(sample.memory_max_bytes)


def _refaulted(sample: ContainerSample) -> float | None:
    stat = sample.stat
    if stat is None or stat.refault_file_pages is None:
        return None
    return float(((stat.refault_anon_pages or 0) + stat.refault_file_pages) * PAGE_BYTES)


def _column(values: Sequence[float | None]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A column as it can be told: a total beyond what the wire holds (4 PiB) is missing."""
    found = np.array([NAN if each is None else each for each in values], dtype=np.float64)
    return np.where(np.abs(found) <= LARGEST, found, NAN)


def _indexes(keys: Sequence[ContainerId], numbered: Numbered) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([numbered.index(key) for key in keys], dtype=np.int64)
