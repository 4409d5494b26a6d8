"""What the engine knows of one row, in plain numbers, for `plimsoll explain`.

In: the tables and a row. Out: a dictionary of JSON types with units in its names; a number that is not
known is None. It only reads: asking does not change the next decision.
"""

import math

import numpy as np

from plimsoll.usage.sample import Float32Array
from plimsoll_operator.engine.members import MemberTable
from plimsoll_operator.engine.rows import RowTable

HOURS_PER_DAY = 24
HOURS_PER_WEEK = 168


def explain_row(rows: RowTable, members: MemberTable, row: int, now_seconds: float) -> dict[str, object]:
    """Return the row's summary."""
    history, place = rows.store(row).history, rows.place(row)
    hourly = history.hourly(place)[0]
    recent = history.five_minute(place)[0]
    ooms = history.ooms(place)
    seen = np.isfinite(ooms.seconds[0])
    slots = np.flatnonzero(members.rows == row)
    return {
        "key": str(rows.keys[row]),
        "quantity": str(rows.quantity(row)),
        "now_seconds": _plain(now_seconds),
        "first_seen_seconds": _plain(history.first_seen_seconds(place)[0]),
        "last_seen_seconds": _plain(history.last_seen_seconds(place)[0]),
        "present_bytes": _peak(recent[-2:]),
        "peak_hour_bytes": _peak(recent[-12:]),
        "peak_day_bytes": _peak(hourly[-HOURS_PER_DAY:]),
        "peak_week_bytes": _peak(hourly[-HOURS_PER_WEEK:]),
        "peak_history_bytes": _peak(hourly),
        "hours_seen": int(np.count_nonzero(np.isfinite(hourly))),
        "hours_kept": len(hourly),
        "oom_count": int(ooms.count[0]),
        "oom_seconds": [float(at) for at in ooms.seconds[0][seen]],
        "oom_price_container_days": _plain(rows.store(row).pipeline.oom_prices(place)[0]),
        "oom_limit_bytes": [_plain(limit) for limit in ooms.limit_bytes[0][seen]],
        "prophet": _prophet(rows, row),
        "restart_count": int(history.restarts(place).count[0]),
        "pods": [
            {
                "uid": members.uid_of(slot)[0],
                "limit_bytes": _plain(members.limit_bytes[slot]),
                "used_bytes": _plain(members.last_bytes(slots[place_ : place_ + 1])[0]),
            }
            for place_, slot in enumerate(slots.tolist())
        ],
    }


def _prophet(rows: RowTable, row: int) -> dict[str, object] | None:
    """State of the row's fits ("": an answer is there); None where its policy asks for another model."""
    known = rows.store(row).prophet.state(int(rows.place(row)[0]))
    if known is None:
        return None
    return {"state": known.state, "asked_seconds": known.asked_seconds, "remarks": list(known.remarks)}


def _peak(values: Float32Array) -> float | None:
    return _plain(np.fmax.reduce(values))


def _plain(value: float | np.floating) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
