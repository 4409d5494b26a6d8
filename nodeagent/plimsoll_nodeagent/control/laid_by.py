"""Refault accounts of containers that are not reclaimed from now: kept for when they are again.

In: containers that were left alone in this tick, and which were read. Out: their laws, as they were, with
what was found by probing. An account that began anew whenever a policy says Off and On would lend, and spend,
what it owes already. What else was known of a container is looked at anew. Bounded: a container that is gone
takes its account with it, none is kept for longer than what is out is believed to be, and of too many those
go that were laid by first.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from plimsoll.coordinate.steady import SteadyClock
from plimsoll.pages.control_budget import OUT_SECONDS
from plimsoll.pages.control_law import ReclaimLaw
from plimsoll.pages.refault_set import RefaultSet
from plimsoll_nodeagent.control.controlled import Controlled
from plimsoll_nodeagent.discover.tracker import Container, ContainerId
from plimsoll_nodeagent.kernelfs import Absence, KernelFs

KEPT_SECONDS = OUT_SECONDS  # of steady time: no clock that leaps forgets them
MOST_KEPT = 512  # of the node's containers; each is about a kilobyte


@dataclass(frozen=True, slots=True)
class Account:
    """What came of all that was ever taken from one container."""

    container: Container
    law: ReclaimLaw
    refault_set: RefaultSet
    since_seconds: float


class LaidBy:
    """Those of one node. `step` once a tick."""

    def __init__(self, fs: KernelFs) -> None:
        self._fs = fs
        self._clock = SteadyClock()
        self._accounts: dict[ContainerId, Account] = {}

    def __len__(self) -> int:
        return len(self._accounts)

    def of(self, container: Container) -> Account | None:
        """The account of a container that is reclaimed from again; None where none was kept."""
        return self._accounts.get(container.key)

    def step(
        self,
        before: Mapping[ContainerId, Controlled],
        now: Mapping[ContainerId, Controlled],
        read: AbstractSet[ContainerId],
        now_seconds: float,
    ) -> None:
        """Lay by the accounts of who was reclaimed from before and is not now.

        `read`: who surely is there.
        """
        seconds = self._clock.read(now_seconds)
        for key in before.keys() - now.keys():
            each = before[key]
            self._accounts[key] = Account(each.container, each.law, each.refault_set, seconds)
        for key, account in list(self._accounts.items()):
            kept = seconds - account.since_seconds <= KEPT_SECONDS and key not in now
            if not kept or not (key in read or self._is_there(account.container)):
                del self._accounts[key]
        for key in list(self._accounts)[: max(0, len(self._accounts) - MOST_KEPT)]:
            del self._accounts[key]

    def _is_there(self, container: Container) -> bool:
        """Whether its cgroup is; one that cannot be read for a moment is."""
        return self._fs.read(f"{container.path}/memory.current") is not Absence.GONE
