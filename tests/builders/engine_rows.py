"""What an engine's tables hold of one row, in plain numbers, for tests that look inside.

In: a core and a row. Out: a dictionary with units in its names; a number that is not known is None, a row
that does not exist gives an empty one.
"""

import math

import numpy as np

from plimsoll.forecast.workload_class import WorkloadClass


def inside(core, row):
    if not core.rows.known(row):
        return {}
    store, place = core.rows.store(row), core.rows.place(row)
    hourly = store.history.hourly(place)[0]
    asked = store.prophet.state(int(place[0]))  # None: its policy names another model
    members, mine = core.members, np.array([row], dtype=np.int32)
    return {
        "present_bytes": plain(np.fmax.reduce(store.history.five_minute(place)[0][-2:])),
        "peak_history_bytes": plain(np.fmax.reduce(hourly)),
        "hours_seen": int(np.count_nonzero(np.isfinite(hourly))),
        "oom_count": int(store.history.ooms(place).count[0]),
        "prophet": asked,
        "workload_class": WorkloadClass(core._shapes._classes.told(mine)[0]).label,
        "leaks_since_seconds": plain(core._shapes._leaks.since_seconds(mine)[0]),
        "pods": [
            {
                "uid": members.uid_of(slot)[0],
                "limit_bytes": plain(members.limit_bytes[slot]),
                "used_bytes": plain(members.last_bytes(np.array([slot]))[0]),
            }
            for slot in np.flatnonzero(members.rows == row).tolist()
        ],
    }


def plain(value):
    return float(value) if math.isfinite(value) else None
