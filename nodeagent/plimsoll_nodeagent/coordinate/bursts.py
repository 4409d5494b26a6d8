"""Who reaches a limit within seconds: usage read four times a second, leases asked for.

In: the containers that are near their limits. Out: lease requests, in a thread of its own, for a burst does
not wait for the loop. Only containers above half of their memory.max are read; all others are far from it by
`BurstSettings.horizon_seconds`, at any rate of growth seen so far. Where a policy lets a container be
reclaimed, file cache that is clean is no burst: the kernel takes it back before it kills.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from plimsoll.coordinate.burst import BurstAsk, BurstSettings, BurstWatch
from plimsoll_nodeagent.act.container import opened
from plimsoll_nodeagent.discover.tracker import Container, ContainerId
from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelFs
from plimsoll_nodeagent.loop import Snapshot
from plimsoll_nodeagent.sample.formats import parse_flat_keyed, parsed

logger = logging.getLogger(__name__)

EVERY_SECONDS = 0.25
RAISED_SECONDS = 60.0  # a raise that comes later has another cause
NEAR_FRACTION = 0.5  # of memory.max; below it there is time until the next tick
MOST_NEAR = 256  # containers read so often: each costs about 50 microseconds


@dataclass(frozen=True, slots=True)
class Raised:
    """Raises of memory.max that came after a lease was asked for: from the request to the kernel's file."""

    count: int = 0
    seconds: float = 0.0  # of all together
    last_seconds: float | None = None


class Bursts:
    """The bursts of a node."""

    def __init__(
        self,
        fs: KernelFs,
        settings: BurstSettings | None = None,
        may_reclaim: Callable[[ContainerId], bool] = lambda _: False,
    ) -> None:
        """`may_reclaim`: whether a policy lets a container's memory be taken."""
        self._fs, self._may_reclaim = fs, may_reclaim
        self._watch = BurstWatch(settings)
        self._near: tuple[Container, ...] = ()
        self._guard = threading.Lock()  # of the watch: the loop and the looking thread share it
        self._asked: dict[ContainerId, tuple[float, int]] = {}  # when, and memory.max as it was then
        self.raised = Raised()

    def follow(self, snapshot: Snapshot) -> None:
        """Choose whom to read, from a tick's samples: those with the least room first."""
        found = []
        for sample in snapshot.samples:
            most = sample.memory_max_bytes
            if most is None or not 0 < most < float("inf"):
                continue
            # One that room was asked for is looked at until that has come, however far its limit is then.
            if sample.usage_bytes >= NEAR_FRACTION * most or sample.container.key in self._asked:
                found.append((most - sample.usage_bytes, sample.container))
        found.sort(key=lambda each: each[0])
        self._near = tuple(container for _, container in found[:MOST_NEAR])
        with self._guard:
            keys = frozenset(each.key for each in self._near)
            self._watch.keep_only(keys)
            self._asked = {key: each for key, each in self._asked.items() if key in keys}

    def look(self, now_seconds: float) -> Iterator[tuple[ContainerId, BurstAsk]]:
        """Read once."""
        for container in self._near:
            read = self._read(container)
            if read is None:
                continue
            with self._guard:
                self._seen(container.key, now_seconds, read[1])
                ask = self._watch.see(container.key, now_seconds, *read)
            if ask is not None:
                yield container.key, ask

    def asked(self, key: ContainerId, now_seconds: float, memory_max_bytes: int) -> None:
        """Room was asked for: from when on a raise is waited for; of two asks from the first on."""
        with self._guard:
            at_seconds, before = self._asked.get(key, (now_seconds, memory_max_bytes))
            waits = 0.0 <= now_seconds - at_seconds < RAISED_SECONDS and memory_max_bytes <= before
            self._asked[key] = (at_seconds, before) if waits else (now_seconds, memory_max_bytes)

    def _seen(self, key: ContainerId, now_seconds: float, memory_max_bytes: int) -> None:
        at_seconds, before = self._asked.get(key, (now_seconds, memory_max_bytes))
        took_seconds = now_seconds - at_seconds
        if memory_max_bytes > before and 0.0 <= took_seconds < RAISED_SECONDS:
            self.raised = Raised(self.raised.count + 1, self.raised.seconds + took_seconds, took_seconds)
        if memory_max_bytes > before or not 0.0 <= took_seconds < RAISED_SECONDS:
            self._asked.pop(key, None)

    def limit_reached_seconds(self, key: ContainerId) -> float | None:
        """When a container meets its limit at its present growth."""
        with self._guard:
            return self._watch.limit_reached_seconds(key)

    def _read(self, container: Container) -> tuple[int, int] | None:
        """What meets the limit, and memory.max; None where there is none, or it cannot be read."""
        with opened(self._fs, container) as cgroup:
            if isinstance(cgroup, Answer):
                return None
            texts = [cgroup.read(name) for name in ("memory.current", "memory.max")]
            stat = cgroup.read("memory.stat") if self._may_reclaim(container.key) else Absence.UNSUPPORTED
        numbers = [int(text) for text in texts if not isinstance(text, Absence) and text.strip().isdecimal()]
        if len(numbers) != 2 or numbers[1] <= 0:
            return None
        return max(0, numbers[0] - clean_cache_bytes(parsed(stat, parse_flat_keyed) or {})), numbers[1]


def clean_cache_bytes(stat: Mapping[str, int]) -> int:
    """File cache that the kernel can drop without writing it first; 0 where memory.stat does not say."""
    if not {"active_file", "inactive_file", "file_dirty", "file_writeback"} <= stat.keys():
        return 0
    held = stat["file_dirty"] + stat["file_writeback"]
    return max(0, stat["active_file"] + stat["inactive_file"] - held)


def keep_looking(
    look: Callable[[], Iterable[object]], stop: threading.Event, every_seconds: float = EVERY_SECONDS
) -> threading.Thread:
    """Look again and again in a daemon thread until `stop` is set; a look that fails is logged once."""

    def run() -> None:
        said = False
        while not stop.wait(every_seconds):
            try:
                for _ in look():
                    pass
            except Exception:
                if not said:
                    logger.exception("a look for bursts failed")
                said = True

    thread = threading.Thread(target=run, name="bursts", daemon=True)
    thread.start()
    return thread
