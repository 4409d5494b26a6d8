"""Several containers on one kube node: what each may really take, when together they want too much.

In: what every container's own law decided, its importance, whether it is a batch job, what of its memory is
expected back, and what the node has room for (swap space that all share, and the reclaim work of one tick).
Out: bytes for each, never more than it asked for. The least important go first, of equal importance batch
jobs before services, then those of whose memory least comes back: it costs least. Each is served whole before
the next; equals share in proportion. What one container is refused is not made up for elsewhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from plimsoll.api.effective import Importance

# Reclaim work of one tick for a whole node: at 100-200 MiB/s of zram it is over within a second.
MOST_BYTES_PER_TICK = 128 << 20
SWAP_KEPT_RATIO = 0.10  # of the node's swap: kept for the kernel's own need

# Of what is taken: shares that come back which differ by less are one, for they are estimates.
SAME_COST_RATIO = 0.02

_ORDER = (Importance.LOW, Importance.NORMAL, Importance.HIGH, Importance.CRITICAL)


@dataclass(frozen=True, slots=True)
class Claim:
    """What one container's law wants to take, and how much of that can only go to swap."""

    wanted_bytes: int
    importance: Importance
    file_bytes: int = 0
    batch: bool = False  # nobody waits for its answers
    return_ratio: float = 1.0  # forecast: of what is taken, so much is touched again and must be brought back


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
    for rows in _turns(claims):
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


def _turns(claims: Sequence[Claim]) -> Iterator[list[int]]:
    """Rows that are served together, those whose memory costs least first."""
    for importance in _ORDER:
        for batch in (True, False):
            rows = [
                row
                for row, each in enumerate(claims)
                if each.importance is importance and each.batch is batch
            ]
            rows.sort(key=lambda row: claims[row].return_ratio)
            while rows:
                bound = claims[rows[0]].return_ratio + SAME_COST_RATIO
                turn = [row for row in rows if claims[row].return_ratio <= bound]
                yield turn
                rows = rows[len(turn) :]


def _in_proportion(wanted: Sequence[int], room: int) -> list[int]:
    total = sum(wanted)
    if total <= room:
        return list(wanted)
    return [each * max(0, room) // total for each in wanted]
