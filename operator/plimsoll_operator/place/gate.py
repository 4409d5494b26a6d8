"""The gate that holds a new pod for some seconds, until room has been made for it: its name and its time.

In: a raw pod. Out: whether our gate is on it and when it must be gone, and the patch that lifts it. Gates can
only be taken away once a pod exists. The sweeper shares this module and must stay small: nothing but the
standard library is imported here.

Source: `spec.schedulingGates` (Pod Scheduling Readiness), a list merged by name in strategic patches.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

GATE = "plimsoll.dev/room"
GATE_ANNOTATION = "plimsoll.dev/room-until"
GATE_SECONDS = 6.0  # from the decision on; with the sweeper's period, nobody waits for longer than ten
# A pod whose gate was first seen so long ago is let go, whatever its annotation says: clocks differ.
LONGEST_SECONDS = 8.0

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Gate:
    """Our gate on a pod."""

    until_seconds: float | None  # None: nobody can read it, so it must go at once


def gate_of(raw: Raw) -> Gate | None:
    """The gate on a raw pod; None where it has none of ours. Raises nothing."""
    spec, meta = raw.get("spec"), raw.get("metadata")
    gates = spec.get("schedulingGates") if isinstance(spec, Mapping) else None
    ours = isinstance(gates, list | tuple) and any(
        isinstance(each, Mapping) and each.get("name") == GATE for each in gates
    )
    if not ours:
        return None
    annotations = meta.get("annotations") if isinstance(meta, Mapping) else None
    return Gate(_seconds(annotations.get(GATE_ANNOTATION) if isinstance(annotations, Mapping) else None))


def overdue(gate: Gate, now_seconds: float, waited_seconds: float) -> bool:
    """Whether a gate must go, by the annotation and by how long it has been seen."""
    if gate.until_seconds is None or waited_seconds >= LONGEST_SECONDS:
        return True
    return now_seconds >= gate.until_seconds


def lifted(uid: str) -> dict[str, Any]:
    """The strategic merge patch that takes our gate away from this very pod, and no other gate."""
    return {"metadata": {"uid": uid}, "spec": {"schedulingGates": [{"$patch": "delete", "name": GATE}]}}


def told(until_seconds: float) -> str:
    """The annotation's value."""
    return datetime.fromtimestamp(until_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _seconds(value: object) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at.timestamp() if at.tzinfo is not None else None
