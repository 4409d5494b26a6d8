"""What the operator does without for now, in one sentence for its Lease and `plimsoll status`.

In: how many agents attend and are away, why the memory's Redis is not asked. Out: a sentence; "" where all is
there. What goes on without each of them is in docs/coordination.md and docs/memory.md.
"""

from plimsoll.coordinate.attendance import Presence
from plimsoll_operator.parts import Parts


def sentence(present: int, away: int, redis: str, waiting: int = 0, unlearned: str = "") -> str:
    """One part for each that is away."""
    parts = []
    if away:
        of = f"{away} of {present + away} agents are away"
        parts.append(f"{of}: there limits fall by half steps, from metrics alone")
    if redis:
        parts.append(f"the memory is not shared ({redis}): {waiting} records wait in its file")
    if unlearned:
        parts.append(f"patterns are not learned ({unlearned})")
    return "; ".join(parts)


def degraded(parts: Parts, now_seconds: float) -> str:
    """Of the operator as it is."""
    counts = {} if parts.desk is None else parts.desk.presences(now_seconds)
    memory = parts.keeper.memory
    redis = "" if memory is None else memory.away()
    waiting = memory.waiting if memory is not None and redis else 0
    unlearned = "" if memory is None else memory.unlearned()
    return sentence(counts.get(Presence.PRESENT, 0), counts.get(Presence.AWAY, 0), redis, waiting, unlearned)
