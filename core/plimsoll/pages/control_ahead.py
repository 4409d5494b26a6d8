"""What the law would take in the time to come, if things stay as they are: for a dry run.

In: a container's law as it stands, what a minute touches, how long, how often it is asked. Out: bytes, and
what it would say at last. The law itself is not changed: a copy of it is asked again and again, with readings
in which nothing stalls more than now, nothing of what was taken comes back, and all that is asked for is
taken. The node's own bounds (`control_share`) are not in it.
"""

from copy import deepcopy
from dataclasses import dataclass, replace

from plimsoll.pages.control_law import ReclaimLaw
from plimsoll.pages.control_types import ContainerReading, ReclaimDecision

MINUTE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Ahead:
    """What would be taken, all in all, and the last decision; None where it was never read."""

    taken_bytes: int
    decision: ReclaimDecision | None


def ahead(
    law: ReclaimLaw, touched_bytes_per_minute: float | None, seconds: float, interval_seconds: float
) -> Ahead:
    """Ask a copy of the law for so long, once in an interval."""
    law, taken, decision = deepcopy(law), 0, None
    reading = law.last_reading
    if reading is None:
        return Ahead(0, None)
    for _ in range(max(1, round(seconds / interval_seconds))):
        reading = _later(reading, touched_bytes_per_minute, interval_seconds)
        decision = law.step(reading)
        if decision.holds:
            continue
        law.settle(decision.reclaim_bytes, decision.reclaim_bytes)
        taken += decision.reclaim_bytes
        reading = _without(reading, decision.reclaim_bytes)
    return Ahead(taken, decision)


def _later(
    reading: ContainerReading, touched_bytes_per_minute: float | None, interval_seconds: float
) -> ContainerReading:
    """The same container an interval later: it stalls on as it did."""
    touched = touched_bytes_per_minute
    stalled = reading.stall_seconds_total
    return replace(
        reading,
        now_seconds=reading.now_seconds + interval_seconds,
        stall_seconds_total=(
            None if stalled is None else stalled + (reading.pressure_avg10_ratio or 0.0) * interval_seconds
        ),
        touched_bytes=None if touched is None else int(touched * min(1.0, interval_seconds / MINUTE_SECONDS)),
    )


def _without(reading: ContainerReading, taken_bytes: int) -> ContainerReading:
    """After so much has gone: swapped out first, as far as there is room, then file pages."""
    room = reading.swap_room_bytes or 0
    swapped = min(room, taken_bytes)
    cold, file = reading.cold_bytes, reading.file_bytes
    return replace(
        reading,
        usage_bytes=max(0, reading.usage_bytes - taken_bytes),
        cold_bytes=None if cold is None else max(0, cold - taken_bytes),
        swap_room_bytes=None if reading.swap_room_bytes is None else room - swapped,
        file_bytes=None if file is None else max(0, file - (taken_bytes - swapped)),
    )
