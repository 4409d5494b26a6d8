"""How one container stands, as its law is told: what of it is cold, what may still go to swap.

In: samples, idle ages or a plan by address, the name of a page policy. Out: a `ContainerReading`. What nobody
can tell stays None.
"""

import math

from plimsoll.pages.cold import ADDRESS_POLICIES, by_ages, page_policy
from plimsoll.pages.control_share import NodeRoom
from plimsoll.pages.control_types import ContainerReading
from plimsoll_nodeagent.act.container import opened
from plimsoll_nodeagent.control.controlled import (
    Aged,
    Controlled,
    SwapRoom,
    cold_by_refaults,
    reading_of,
)
from plimsoll_nodeagent.control.idle_ages import Looked
from plimsoll_nodeagent.control.swap_store import SwapStore
from plimsoll_nodeagent.control.taking import Taker
from plimsoll_nodeagent.kernelfs import Answer, KernelFs
from plimsoll_nodeagent.kernelfs.process import PAGE_BYTES
from plimsoll_nodeagent.loop import Snapshot
from plimsoll_nodeagent.sample.formats import parse_pressure, parsed
from plimsoll_nodeagent.sample.reading import ContainerSample
from plimsoll_nodeagent.sample.swap import ContainerSwap, swap_max_bytes

FILES_BACK_BYTES = 256 << 10  # a read-ahead window or two that came back say nothing of io
SWAP_MAX_SECONDS = 30.0  # the kernel keeps to memory.swap.max itself, whatever we believe


class Readings:
    """Readings of the containers of a node."""

    def __init__(self, fs: KernelFs, taker: Taker) -> None:
        self._fs, self._taker = fs, taker
        self.store = SwapStore(fs)

    def of(
        self,
        each: Controlled,
        sample: ContainerSample,
        snapshot: Snapshot,
        page_policy_name: str,
        *,
        pressed: bool,
    ) -> ContainerReading:
        """One container's reading, by a page policy; `pressed`: pressure is expected in it."""
        now = snapshot.taken_seconds
        each.swap = self._swap_room(each, sample, snapshot)
        each.io_ratio = self._io_ratio(each, sample)
        room = each.swap.bytes_
        cold = self._cold(each, sample, now, by_ages(page_policy_name))
        if room and page_policy_name in ADDRESS_POLICIES and self._taker.knows(each, now):
            known = 0 if each.addresses is None else each.addresses.cold_bytes
            cold = max(cold or 0, min(known + each.probed_bytes, sample.usage_bytes))
        return reading_of(each, sample, now, room, cold, 1.0 if pressed else None)

    def _cold(self, each: Controlled, sample: ContainerSample, now_seconds: float, name: str) -> int | None:
        """What is cold by its idle ages, and by probing where nobody knows them; a policy by address has
        another one for what it does not know.
        """
        looked, budget = each.looked, each.law.policy.refault_budget_ratio
        probed = cold_by_refaults(each, sample, now_seconds)  # at every reading: it learns
        each.probed_bytes = 0
        if looked is None:
            each.aged = None
            return None if name == "lru" else probed
        known = each.aged
        if (
            known is None
            or known.looked is not looked
            or (known.policy, known.budget_ratio) != (name, budget)
        ):
            minute = max(0.0, looked.ages.working_set_bytes(60.0))
            cold = page_policy(name)(looked.ages, each.survival, budget * minute / 60.0)
            each.aged = Aged(looked, name, budget, minute, cold)
            each.cold_age_seconds = math.nan if cold is None else cold.threshold_seconds
        if each.aged_cold_bytes is None:
            return None
        each.probed_bytes = min(probed or 0, looked.untold_bytes)
        return min(each.cold_besides_bytes, sample.usage_bytes)

    def _io_ratio(self, each: Controlled, sample: ContainerSample) -> float | None:
        """How much it stalled on io, if pages of files came back since the reading before.

        A page that was not in the working set is waited for on io, and not on memory.
        """
        before = each.file_refaults
        each.file_refaults = None if sample.stat is None else sample.stat.refault_file_pages
        if before is None or each.file_refaults is None:
            return None
        if (each.file_refaults - before) * PAGE_BYTES <= FILES_BACK_BYTES:
            return None
        with opened(self._fs, sample.container) as cgroup:
            io = None if isinstance(cgroup, Answer) else parsed(cgroup.read("io.pressure"), parse_pressure)
        return None if io is None else io.some.avg10_ratio

    def _swap_room(self, each: Controlled, sample: ContainerSample, snapshot: Snapshot) -> SwapRoom:
        """What may still be swapped out. Its bound is read twice a minute."""
        memory, now = snapshot.kube_node.memory, snapshot.taken_seconds
        if memory is None:
            return SwapRoom()
        if not memory.swap_total_bytes:
            return SwapRoom(0, shut=True)
        if sample.swap_bytes is None:
            return SwapRoom()
        if each.swap_max is None or not 0.0 <= now - each.swap_max[0] < SWAP_MAX_SECONDS:
            with opened(self._fs, sample.container) as cgroup:
                most = None if isinstance(cgroup, Answer) else swap_max_bytes(cgroup)
            each.swap_max = None if most is None else (now, most)
        if each.swap_max is None:
            return SwapRoom()
        swap = ContainerSwap(sample.swap_bytes, each.swap_max[1])
        room = swap.headroom_bytes(memory.swap_free_bytes) if self.store.pays else 0
        return SwapRoom(room, shut=swap.most_bytes <= sample.swap_bytes)


def node_room(snapshot: Snapshot) -> NodeRoom:
    """What the node has for all of its containers together in one tick."""
    memory = snapshot.kube_node.memory
    return NodeRoom() if memory is None else NodeRoom(memory.swap_total_bytes, memory.swap_free_bytes)


def ages_by_address(each: Controlled, now_seconds: float) -> Looked | None:
    """Idle ages by DAMON, where the kernel keeps no generations."""
    plan = each.addresses
    if plan is None or not plan.speaks(now_seconds):
        return None
    held = each.looked
    if held is not None and held.by_address and held.taken_seconds == plan.planned_seconds:
        return held
    ages = plan.idle_ages(plan.planned_seconds)
    if ages is None:
        return None
    return Looked(
        plan.planned_seconds,
        ages,
        {},
        by_address=True,
        reclaimed_total_bytes=plan.gone_bytes_total,
        untold_bytes=each.unmapped_cache_bytes,
    )
