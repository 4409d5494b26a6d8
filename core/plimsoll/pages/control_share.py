"""Several containers on one kube node: what each may really take, when together they want too much.

In: what every container's own law decided, its importance, and what the node has room for (swap space that
all share, and the reclaim work of one tick). Out: bytes for each, never more than it asked for. The least
important go first and are served whole; equals share in proportion. What one container is refused is not made
up for elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from plimsoll.api.effective import Importance

# Reclaim work of one tick for a whole node: at 100-200 MiB/s of zram it is over within a second.
MOST_BYTES_PER_TICK = 128 << 20
SWAP_KEPT_RATIO = 0.10  # of the node's swap: kept for the kernel's own need

_ORDER = (Importance.LOW, Importance.NORMAL, Importance.HIGH, Importance.CRITICAL)


@dataclass(frozen=True, slots=True)
class Claim:
    """What one container's law wants to take, and how much of that can only go to swap."""

    wanted_bytes: int
    importance: Importance
    file_bytes: int = 0


@dataclass(frozen=True, slots=True)
class NodeRoom:
    """What the node has for all of them together."""

    swap_total_bytes: int = 0
    swap_free_bytes: int = 0
    most_bytes: int = MOST_BYTES_PER_TICK

    @property
    def swap_bytes(self) -> int:
        """What may be swapped out in this tick."""
        return max(0, self.swap_free_bytes - int(SWAP_KEPT_RATIO * self.swap_total_bytes))


def share_out(claims: Sequence[Claim], room: NodeRoom) -> list[int]:
    """Bytes for each claim, in the same order."""
    given = [0] * len(claims)
    left, swap_left = room.most_bytes, room.swap_bytes
    for importance in _ORDER:
        rows = [row for row, each in enumerate(claims) if each.importance is importance]
        swap_wanted = [max(0, claims[row].wanted_bytes - claims[row].file_bytes) for row in rows]
        for_swap = _in_proportion(swap_wanted, swap_left)
        wanted = [
            claims[row].wanted_bytes - lacking + got
            for row, lacking, got in zip(rows, swap_wanted, for_swap, strict=True)
        ]
        for row, got in zip(rows, _in_proportion(wanted, left), strict=True):
            given[row] = got
        swap_left -= sum(for_swap)
        left -= sum(given[row] for row in rows)
    return given


def _in_proportion(wanted: Sequence[int], room: int) -> list[int]:
    total = sum(wanted)
    if total <= room:
        return list(wanted)
    return [each * max(0, room) // total for each in wanted]
