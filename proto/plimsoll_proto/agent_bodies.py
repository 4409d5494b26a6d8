"""What an agent says, on the wire and back: a writer and a reader for each kind.

In: bodies of `plimsoll.coordinate.messages`. Out: `REQUESTS` (type to field and writer) and `REQUESTS_OF`
(field to reader). A reader raises MessageError or ColumnError for what no honest agent says.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from plimsoll.coordinate import messages as core
from plimsoll.coordinate.columns import MOST_ROWS
from plimsoll.coordinate.messages import MessageError
from plimsoll_proto.cells import column, milliseconds, seconds, table
from plimsoll_proto.v1 import agent_pb2

UNKNOWN_KERNEL = 0
NO_LIMIT = -1
_STAGES = {
    core.ShrinkStage.RECLAIMING: agent_pb2.SHRINK_STAGE_RECLAIMING,
    core.ShrinkStage.REACHED: agent_pb2.SHRINK_STAGE_REACHED,
    core.ShrinkStage.STOPPED: agent_pb2.SHRINK_STAGE_STOPPED,
    core.ShrinkStage.OBSERVED: agent_pb2.SHRINK_STAGE_OBSERVED,
}
_STAGE_OF = {number: stage for stage, number in _STAGES.items()}


def roster(known: core.Roster) -> agent_pb2.Roster:
    """Put a roster on the wire."""
    made = agent_pb2.Roster(removed_container_indexes=known.removed)
    for each in known.added:
        made.added_entries.add(
            container_index=each.index,
            pod_uid=each.pod_uid,
            container_id=each.container_id,
            container_name=each.container_name,
        )
    return made


def roster_of(found: agent_pb2.Roster) -> core.Roster:
    """Read a roster. Raises MessageError."""
    if len(found.added_entries) > MOST_ROWS:
        raise MessageError(f"a roster of {len(found.added_entries)} entries")
    added = tuple(
        core.RosterEntry(each.container_index, each.pod_uid, each.container_id, each.container_name)
        for each in found.added_entries
    )
    known = core.Roster(added, tuple(found.removed_container_indexes))
    core.check_roster(known)
    return known


def _samples(batch: core.SampleBatch) -> agent_pb2.SampleBatch:
    return agent_pb2.SampleBatch(
        taken_unix_milliseconds=milliseconds(batch.taken_seconds),
        kube_node_available_bytes=batch.available_bytes,
        dropped_batch_count_total=batch.dropped_total,
        container_index=column(batch.indexes.astype(np.float64)),
        **{name: column(batch.columns[name]) for name in core.SAMPLE_COLUMNS if name in batch.columns},
    )


def _samples_of(found: agent_pb2.SampleBatch) -> core.SampleBatch:
    indexes, columns = table(found, core.SAMPLE_COLUMNS)
    core.check_amounts(found.kube_node_available_bytes)
    return core.SampleBatch(
        seconds(found.taken_unix_milliseconds),
        indexes,
        columns,
        found.kube_node_available_bytes,
        found.dropped_batch_count_total,
    )


def _forecasts(batch: core.ForecastBatch) -> agent_pb2.ForecastBatch:
    pressure = -1 if batch.kube_node_pressure is None else round(batch.kube_node_pressure * 1e6)
    return agent_pb2.ForecastBatch(
        made_unix_milliseconds=milliseconds(batch.made_seconds),
        horizon_milliseconds=milliseconds(batch.horizon_seconds),
        kube_node_pressure_probability_ppm=pressure,
        container_index=column(batch.indexes.astype(np.float64)),
        **{name: column(batch.columns[name]) for name in core.FORECAST_COLUMNS if name in batch.columns},
    )


def _forecasts_of(found: agent_pb2.ForecastBatch) -> core.ForecastBatch:
    indexes, columns = table(found, core.FORECAST_COLUMNS)
    ppm = found.kube_node_pressure_probability_ppm
    return core.ForecastBatch(
        seconds(found.made_unix_milliseconds),
        seconds(found.horizon_milliseconds),
        indexes,
        columns,
        None if ppm < 0 else min(ppm, 1_000_000) / 1e6,
    )


def _outcomes(batch: core.OutcomeBatch) -> agent_pb2.OutcomeBatch:
    return agent_pb2.OutcomeBatch(
        taken_unix_milliseconds=milliseconds(batch.taken_seconds),
        container_index=column(batch.indexes.astype(np.float64)),
        **{name: column(batch.columns[name]) for name in core.OUTCOME_COLUMNS if name in batch.columns},
    )


def _outcomes_of(found: agent_pb2.OutcomeBatch) -> core.OutcomeBatch:
    return core.OutcomeBatch(seconds(found.taken_unix_milliseconds), *table(found, core.OUTCOME_COLUMNS))


def _delta(delta: core.ModelDelta) -> agent_pb2.ModelDelta:
    return agent_pb2.ModelDelta(
        delta_checksum=delta.checksum,
        model_kind_name=delta.kind,
        class_name=delta.class_name,
        schema_version_number=delta.schema_version,
        base_checksum=delta.base_checksum,
        observation_count=delta.observations,
        payload_content=delta.payload,
    )


def _delta_of(found: agent_pb2.ModelDelta) -> core.ModelDelta:
    for text in (found.delta_checksum, found.model_kind_name, found.class_name, found.base_checksum):
        if len(text) > core.MOST_NAME:
            raise MessageError("a model's name or checksum is too long")
    return core.ModelDelta(
        found.delta_checksum,
        found.model_kind_name,
        found.class_name,
        found.schema_version_number,
        found.base_checksum,
        found.observation_count,
        found.payload_content,
    )


def _report(report: core.ShrinkReport) -> agent_pb2.ShrinkReport:
    kernel = report.memory_max_bytes
    return agent_pb2.ShrinkReport(
        shrink_id=report.shrink_id,
        shrink_stage=_STAGES[report.stage],
        remaining_bytes=report.remaining_bytes,
        memory_max_bytes=UNKNOWN_KERNEL if kernel is None else kernel or NO_LIMIT,
        stop_reason=report.reason,
        oom_kill_count_total=report.oom_kills_total,
    )


def _report_of(found: agent_pb2.ShrinkReport) -> core.ShrinkReport:
    if found.shrink_stage not in _STAGE_OF:
        raise MessageError(f"a shrink stage {found.shrink_stage}")
    core.check_amounts(found.remaining_bytes, max(0, found.memory_max_bytes))
    kernel = None if found.memory_max_bytes == UNKNOWN_KERNEL else max(0, found.memory_max_bytes)
    return core.ShrinkReport(
        found.shrink_id,
        _STAGE_OF[found.shrink_stage],
        found.remaining_bytes,
        kernel,
        found.stop_reason[: core.MOST_TEXT],
        found.oom_kill_count_total,
    )


def _lease(asked: core.LeaseRequest) -> agent_pb2.LeaseRequest:
    return agent_pb2.LeaseRequest(
        lease_id=asked.lease_id,
        container_index=asked.index,
        wanted_bytes=asked.wanted_bytes,
        memory_max_bytes=asked.memory_max_bytes,
        growth_bytes_per_second=asked.growth_bytes_per_second,
        limit_reached_milliseconds=milliseconds(asked.limit_reached_seconds),
        asked_unix_milliseconds=milliseconds(asked.asked_seconds),
    )


def _lease_of(found: agent_pb2.LeaseRequest) -> core.LeaseRequest:
    core.check_amounts(found.wanted_bytes, found.memory_max_bytes, found.growth_bytes_per_second)
    return core.LeaseRequest(
        found.lease_id,
        found.container_index,
        found.wanted_bytes,
        found.memory_max_bytes,
        found.growth_bytes_per_second,
        seconds(found.limit_reached_milliseconds),
        seconds(found.asked_unix_milliseconds),
    )


REQUESTS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    core.Roster: ("roster", roster),
    core.SampleBatch: ("sample_batch", _samples),
    core.ForecastBatch: ("forecast_batch", _forecasts),
    core.OutcomeBatch: ("outcome_batch", _outcomes),
    core.ModelDelta: ("model_delta", _delta),
    core.ShrinkReport: ("shrink_report", _report),
    core.LeaseRequest: ("lease_request", _lease),
}
REQUESTS_OF: dict[str, Callable[[Any], Any]] = {
    "roster": roster_of,
    "sample_batch": _samples_of,
    "forecast_batch": _forecasts_of,
    "outcome_batch": _outcomes_of,
    "model_delta": _delta_of,
    "shrink_report": _report_of,
    "lease_request": _lease_of,
}
