"""What goes on where one side is away.

In: presence and how long ago. Out: what may be done. An agent without operator keeps its policies and asks
for nothing; it reclaims as before, and memory that comes too fast meets its limit as it would without
Plimsoll. An operator without an agent that was there works from metrics alone and takes half steps down, for
nobody gives memory back before a limit falls.
"""

from plimsoll.coordinate.attendance import Presence
from plimsoll.guard.proposal import whole_mebibytes

CAREFUL_FRACTION = 0.5  # of a step down, where an agent is away that was there


def lowered_with_care(presence: Presence, limit_bytes: int, wanted_bytes: int) -> int:
    """How far a limit may fall without an agent's help, bytes; never above what is in force."""
    if presence is not Presence.AWAY or wanted_bytes >= limit_bytes:
        return wanted_bytes
    return min(limit_bytes, whole_mebibytes(limit_bytes - (limit_bytes - wanted_bytes) * CAREFUL_FRACTION))


def operator_away(heard_seconds: float | None, now_seconds: float, away_after_seconds: float) -> bool:
    """True where the agent is on its own: nothing is asked of an operator that does not answer."""
    return heard_seconds is None or not 0.0 <= now_seconds - heard_seconds <= away_after_seconds
