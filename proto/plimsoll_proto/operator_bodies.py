"""What the operator says, on the wire and back: a writer and a reader for each kind.

In: bodies of `plimsoll.coordinate.messages`. Out: `RESPONSES` (type to field and writer) and `RESPONSES_OF`
(field to reader).
"""

from collections.abc import Callable
from typing import Any

from plimsoll.coordinate import messages as core
from plimsoll_proto.cells import milliseconds, seconds
from plimsoll_proto.v1 import operator_pb2


def _snapshot(snapshot: core.PolicySnapshot) -> operator_pb2.PolicySnapshot:
    made = operator_pb2.PolicySnapshot(policy_version_number=snapshot.version)
    for each in snapshot.policies:
        made.container_policies.add(
            pod_uid=each.pod_uid,
            container_name=each.container_name,
            policy_name=each.policy,
            reclaim_mode_name=each.reclaim_mode,
            max_pressure_ratio=each.max_pressure_ratio,
            refault_budget_ratio=each.refault_budget_ratio,
            importance_name=each.importance,
            prefetch_allowed=each.prefetch,
        )
    return made


def _snapshot_of(found: operator_pb2.PolicySnapshot) -> core.PolicySnapshot:
    policies = tuple(
        core.ContainerPolicy(
            each.pod_uid,
            each.container_name,
            each.policy_name,
            each.reclaim_mode_name,
            each.max_pressure_ratio,
            each.refault_budget_ratio,
            each.importance_name,
            each.prefetch_allowed,
        )
        for each in found.container_policies
    )
    return core.PolicySnapshot(found.policy_version_number, policies)


def _shrink(asked: core.ShrinkRequest) -> operator_pb2.ShrinkRequest:
    return operator_pb2.ShrinkRequest(
        shrink_id=asked.shrink_id,
        pod_uid=asked.pod_uid,
        container_name=asked.container_name,
        limit_bytes=asked.limit_bytes,
        target_bytes=asked.target_bytes,
        deadline_milliseconds=milliseconds(asked.deadline_seconds),
        resize_written=asked.written,
        container_id=asked.container_id,
    )


def _shrink_of(found: operator_pb2.ShrinkRequest) -> core.ShrinkRequest:
    core.check_amounts(found.limit_bytes, found.target_bytes)
    return core.ShrinkRequest(
        found.shrink_id,
        found.pod_uid,
        found.container_name,
        found.limit_bytes,
        found.target_bytes,
        seconds(found.deadline_milliseconds),
        found.resize_written,
        found.container_id,
    )


def _models(model: core.ModelVersion) -> operator_pb2.ModelVersion:
    return operator_pb2.ModelVersion(
        model_kind_name=model.kind,
        class_name=model.class_name,
        model_version_number=model.version,
        schema_version_number=model.schema_version,
        model_checksum=model.checksum,
        payload_content=model.payload,
    )


def _models_of(found: operator_pb2.ModelVersion) -> core.ModelVersion:
    return core.ModelVersion(
        found.model_kind_name,
        found.class_name,
        found.model_version_number,
        found.schema_version_number,
        found.model_checksum,
        found.payload_content,
    )


def _moves(moves: core.PlacementMoves) -> operator_pb2.PlacementMoves:
    made = operator_pb2.PlacementMoves(placement_version_number=moves.version)
    for each in moves.moves:
        made.moves.add(
            pod_uid=each.pod_uid,
            container_name=each.container_name,
            from_numa_node_index=each.from_numa_node,
            to_numa_node_index=each.to_numa_node,
            most_bytes=each.most_bytes,
        )
    return made


def _moves_of(found: operator_pb2.PlacementMoves) -> core.PlacementMoves:
    moves = tuple(
        core.PlacementMove(
            each.pod_uid,
            each.container_name,
            each.from_numa_node_index,
            each.to_numa_node_index,
            each.most_bytes,
        )
        for each in found.moves
    )
    core.check_amounts(*(each.most_bytes for each in moves))
    return core.PlacementMoves(found.placement_version_number, moves)


RESPONSES: dict[type, tuple[str, Callable[[Any], Any]]] = {
    core.PolicySnapshot: ("policy_snapshot", _snapshot),
    core.ShrinkRequest: ("shrink_request", _shrink),
    core.ShrinkCancel: (
        "shrink_cancel",
        lambda each: operator_pb2.ShrinkCancel(shrink_id=each.shrink_id, cancel_reason=each.reason),
    ),
    core.LeaseAnswer: (
        "lease_answer",
        lambda each: operator_pb2.LeaseAnswer(
            lease_id=each.lease_id,
            limit_bytes=each.limit_bytes,
            lasts_milliseconds=milliseconds(each.lasts_seconds),
            refusal_reason=each.refusal,
        ),
    ),
    core.ModelVersion: ("model_version", _models),
    core.PlacementMoves: ("placement_moves", _moves),
    core.Drain: (
        "drain",
        lambda each: operator_pb2.Drain(
            reconnect_after_milliseconds=milliseconds(each.reconnect_after_seconds), drain_reason=each.reason
        ),
    ),
}
RESPONSES_OF: dict[str, Callable[[Any], Any]] = {
    "policy_snapshot": _snapshot_of,
    "shrink_request": _shrink_of,
    "shrink_cancel": lambda each: core.ShrinkCancel(each.shrink_id, each.cancel_reason),
    "lease_answer": lambda each: core.LeaseAnswer(
        each.lease_id, each.limit_bytes, seconds(each.lasts_milliseconds), each.refusal_reason
    ),
    "model_version": _models_of,
    "placement_moves": _moves_of,
    "drain": lambda each: core.Drain(seconds(each.reconnect_after_milliseconds), each.drain_reason),
}
