"""Our own objects: policies, profiles, the control ConfigMap.

In: raw objects. Out: records; a profile's checkpoints are read apart, for no index keeps them.
"""

import sys
from collections.abc import Mapping

from pydantic import ValidationError

from plimsoll.api.fields import Condition
from plimsoll.api.policy import PolicyStatus
from plimsoll.api.precedence import read_policy
from plimsoll.api.profile import RecommendationSummary
from plimsoll.coordinate.lease import Lent
from plimsoll_operator.parse.scalars import Raw, listed, part, quantity, seconds, version, whole
from plimsoll_operator.records import (
    ControlRecord,
    PolicyRecord,
    ProfileRecord,
    RememberedContainer,
    RememberedDecision,
)


def policy(raw: Raw) -> PolicyRecord | None:
    """A policy and its status, None where it speaks for nothing."""
    effective = read_policy(raw)
    if effective is None:
        return None
    try:
        status = PolicyStatus.model_validate(raw.get("status") or {})
    except ValidationError:
        status = PolicyStatus()  # rewritten whole
    return PolicyRecord(effective, str(part(raw, "metadata").get("uid", "")), status)


def profile(raw: Raw) -> ProfileRecord:
    """A profile without its checkpoints."""
    meta, spec, status = part(raw, "metadata"), part(raw, "spec"), part(raw, "status")
    target = part(spec, "targetRef")
    return ProfileRecord(
        namespace=str(meta.get("namespace", "")),
        name=str(meta.get("name", "")),
        uid=str(meta.get("uid", "")),
        resource_version=version(meta),
        kind=sys.intern(str(target.get("kind", ""))),
        target=str(target.get("name", "")),
        node_class=str(spec.get("nodeClass") or ""),
        restore=spec.get("restore") is True,
        updated_seconds=seconds(status.get("updatedTime")),
        containers=tuple(_remembered(each) for each in listed(status, "containers")),
        conditions=_conditions(status),
        generation=whole(meta.get("generation")) or 1,
        policy=sys.intern(str(status.get("policy") or "")),
        pods=whole(status.get("pods")) or 0,
        leases=tuple(lent for each in listed(status, "leases") if (lent := _lent(each)) is not None),
    )


def checkpoints(raw: Raw) -> dict[str, str]:
    """The base64 checkpoints of a profile by container."""
    each = listed(part(raw, "status"), "containers")
    return {
        str(one.get("name", "")): one["checkpoint"] for one in each if isinstance(one.get("checkpoint"), str)
    }


def control(raw: Raw) -> ControlRecord:
    """The control ConfigMap; anything but a plain `true` runs on."""
    return ControlRecord(str((raw.get("data") or {}).get("paused", "")).strip().lower() == "true")


def _lent(raw: Raw) -> Lent | None:
    """A lease; None for one that says too little to be ended."""
    before, limit = quantity(raw.get("before")), quantity(raw.get("limit"))
    until, uid = seconds(raw.get("untilTime")), (raw.get("podUid"), raw.get("container"))
    if before is None or limit is None or until is None or not all(isinstance(each, str) for each in uid):
        return None
    return Lent((str(uid[0]), str(uid[1])), before, limit, until)


def _remembered(raw: Raw) -> RememberedContainer:
    decision, oom, original = part(raw, "lastDecision"), part(raw, "oom"), raw.get("originalResources")
    kept = None
    if isinstance(original, Mapping):
        kept = (quantity(original.get("limit")), quantity(original.get("request")))
    return RememberedContainer(
        name=sys.intern(str(raw.get("name", ""))),
        original=kept,
        decision=_decision(decision) if decision else None,
        oom_count=whole(oom.get("count")),
        oom_seconds=seconds(oom.get("lastTime")),
        oom_limit_bytes=quantity(oom.get("limit")),
        oom_floor_bytes=quantity(oom.get("floor")),
        recommended=_recommended(part(raw, "recommendation")),
        moved=_moved(part(raw, "moved")),
    )


def _moved(raw: Raw) -> tuple[int, float] | None:
    limit, when = quantity(raw.get("limit")), seconds(raw.get("time"))
    return None if limit is None or when is None else (limit, when)


def _decision(raw: Raw) -> RememberedDecision:
    return RememberedDecision(
        kind=sys.intern(str(raw.get("kind", ""))),
        reason=sys.intern(str(raw.get("reason", ""))),
        message=str(raw.get("message", "")),
        at_seconds=seconds(raw.get("time")),
        from_bytes=quantity(raw.get("from")),
        to_bytes=quantity(raw.get("to")),
    )


def _conditions(status: Raw) -> tuple[Condition, ...]:
    try:
        return tuple(Condition.model_validate(each) for each in listed(status, "conditions"))
    except ValidationError:
        return ()


def _recommended(raw: Raw) -> RecommendationSummary | None:
    try:
        return RecommendationSummary.model_validate(raw) if raw else None
    except ValidationError:
        return None
