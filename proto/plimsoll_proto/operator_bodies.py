"""What the operator says, on the wire and back: a writer and a reader for each kind.

In: bodies of `plimsoll.coordinate.messages`. Out: `RESPONSES` (type to field and writer) and `RESPONSES_OF`
(field to reader). `UNSAID` is what no operator says: agents move memory between NUMA nodes by what they see
themselves (0126). Its number stays taken.
"""

from collections.abc import Callable
from typing import Any

from plimsoll.api.effective import Importance
from plimsoll.api.policy import NumaPlacement
from plimsoll.api.reclaim import ReclaimMode
from plimsoll.coordinate import messages as core
from plimsoll.coordinate.columns import MOST_ROWS
from plimsoll.pages.control_types import ReclaimPolicy
from plimsoll_proto.cells import milliseconds, seconds
from plimsoll_proto.v1 import operator_pb2


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


def _policies(snapshot: core.PolicySnapshot) -> operator_pb2.PolicySnapshot:
    made = operator_pb2.PolicySnapshot(policy_version_number=snapshot.version)
    for each in snapshot.policies:
        policy = each.policy
        made.container_policies.add(
            pod_uid=each.pod_uid,
            container_id=each.container_id,
            container_name=each.container_name,
            policy_name=policy.source,
            reclaim_mode_name=policy.mode.value,
            max_pressure_ratio=policy.max_pressure_ratio,
            refault_budget_ratio=policy.refault_budget_ratio,
            importance_name=policy.importance.value,
            prefetch_allowed=policy.prefetch,
            numa_placement_name=policy.numa.value,
            huge_pages_allowed=policy.huge_pages,
            workload_class_name=each.workload,
            image_class_name=each.shared_class,
        )
    return made


def _policies_of(found: operator_pb2.PolicySnapshot) -> core.PolicySnapshot:
    snapshot = core.PolicySnapshot(
        found.policy_version_number, tuple(map(_policy_of, found.container_policies[: MOST_ROWS + 1]))
    )
    core.check_policies(snapshot)
    return snapshot


def _policy_of(found: operator_pb2.ContainerPolicy) -> core.ContainerPolicy:
    """A word that this version does not know is the most careful one: a newer operator may have more."""
    modes, placements = set(ReclaimMode), set(NumaPlacement)
    known = found.reclaim_mode_name in modes and found.importance_name in set(Importance)
    policy = ReclaimPolicy(
        ReclaimMode(found.reclaim_mode_name) if known else ReclaimMode.OFF,
        found.max_pressure_ratio,
        found.refault_budget_ratio,
        Importance(found.importance_name) if known else Importance.CRITICAL,
        found.prefetch_allowed,
        found.policy_name[: core.MOST_TEXT],
        NumaPlacement(found.numa_placement_name)
        if found.numa_placement_name in placements
        else NumaPlacement.OFF,
        found.huge_pages_allowed,
    )
    return core.ContainerPolicy(
        found.pod_uid,
        found.container_id,
        found.container_name,
        policy,
        found.workload_class_name[: core.MOST_TEXT],
        found.image_class_name[: core.MOST_TEXT],
    )


UNSAID = frozenset({"placement_moves"})

RESPONSES: dict[type, tuple[str, Callable[[Any], Any]]] = {
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
            lasts_milliseconds=max(0, milliseconds(each.lasts_seconds)),
            refusal_reason=each.refusal,
        ),
    ),
    core.ModelVersion: ("model_version", _models),
    core.PolicySnapshot: ("policy_snapshot", _policies),
    core.Drain: (
        "drain",
        lambda each: operator_pb2.Drain(
            reconnect_after_milliseconds=milliseconds(each.reconnect_after_seconds), drain_reason=each.reason
        ),
    ),
}
RESPONSES_OF: dict[str, Callable[[Any], Any]] = {
    "shrink_request": _shrink_of,
    "shrink_cancel": lambda each: core.ShrinkCancel(each.shrink_id, each.cancel_reason),
    "lease_answer": lambda each: core.LeaseAnswer(
        each.lease_id, each.limit_bytes, seconds(each.lasts_milliseconds), each.refusal_reason
    ),
    "model_version": _models_of,
    "policy_snapshot": _policies_of,
    "drain": lambda each: core.Drain(seconds(each.reconnect_after_milliseconds), each.drain_reason),
}
