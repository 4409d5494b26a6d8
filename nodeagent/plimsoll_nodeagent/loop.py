"""One look at the node, again and again: discover, sample, keep the result for whoever asks.

In: the kernel's files, settings, a clock that is passed in. Out: an immutable `Snapshot` a tick, which the
server and the table show; the newest replaces the one before in one step, so that readers need no lock.
Nothing here writes to the kernel and nothing says how much memory anything gets.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from plimsoll_nodeagent.discover.hierarchy import PodsRoot, find_memory_cgroup
from plimsoll_nodeagent.discover.tracker import Container, Follows, Tracker
from plimsoll_nodeagent.kernelfs import Absence, KernelFs
from plimsoll_nodeagent.sample.features import Features, find_features
from plimsoll_nodeagent.sample.reading import ContainerSample, KubeNodeSample, Sampler

logger = logging.getLogger(__name__)

MOST_CONTAINERS = 2000  # bounds the series served; a kubelet's own default is 110 pods


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one tick found. Counts named `_total` are since the start."""

    taken_seconds: float
    took_seconds: float
    features: Features
    roots: tuple[PodsRoot, ...]
    pods: int
    kube_node: KubeNodeSample
    samples: tuple[ContainerSample, ...]
    left_out: int
    ticks_total: int
    added_total: int
    removed_total: int
    failures_total: Counter[Absence]

    @property
    def sees_pods(self) -> bool:
        """Whether there is a kubelet's root of pods; without one a look is at nothing."""
        return bool(self.roots)


class Watch:
    """Looks at the node: one `tick` at a time, each a whole look."""

    def __init__(
        self,
        fs: KernelFs,
        cgroup_root: str,
        most_containers: int = MOST_CONTAINERS,
        monotonic: Callable[[], float] = time.monotonic,
        tracker: Follows | None = None,
    ) -> None:
        self._fs = fs
        self._cgroup_root = cgroup_root
        self._most_containers = most_containers
        self._monotonic = monotonic
        self._tracker: Follows = tracker or Tracker(fs, cgroup_root)
        self._began = 0.0
        self._sampler: Sampler | None = None
        self._features: Features | None = None
        self._ticks = self._added = self._removed = 0
        self._said: set[str] = set()
        self.latest: Snapshot | None = None

    def tick(self, now_seconds: float) -> Snapshot | None:
        """Look once; None as long as no cgroup has the memory controller, from which to learn the kernel."""
        return self.sample(now_seconds) if self.discover() else None

    def discover(self) -> bool:
        """Find the containers there are now; False where there is no kernel to learn from yet."""
        self._began = self._monotonic()
        if self._sampler is None and self._learn() is None:
            return False
        change = self._tracker.look()
        self._ticks += 1
        self._added += len(change.added)
        self._removed += len(change.removed)
        return True

    def sample(self, now_seconds: float) -> Snapshot | None:
        """Read what was discovered."""
        sampler = self._sampler
        if sampler is None or self._features is None:
            return None
        watched = self._watched()
        samples = tuple(each for each in map(sampler.container, watched) if each is not None)
        kube_node = sampler.kube_node()
        self.latest = Snapshot(
            taken_seconds=now_seconds,
            took_seconds=self._monotonic() - self._began,
            features=self._features,
            roots=self._tracker.roots,
            pods=self._tracker.pods,
            kube_node=kube_node,
            samples=samples,
            left_out=len(self._tracker.containers) - len(watched),
            ticks_total=self._ticks,
            added_total=self._added,
            removed_total=self._removed,
            failures_total=self._tracker.failures + sampler.failures,
        )
        self._say(self.latest)
        return self.latest

    def look_at(self, container: Container) -> ContainerSample | None:
        """Sample one container now, between two looks."""
        return None if self._sampler is None else self._sampler.container(container)

    def unread(self) -> list[str]:
        """Cgroups that are there, but whose memory the latest look could not read."""
        read = {each.container.key for each in self.latest.samples} if self.latest else set()
        missed = [each.path for each in self._watched() if each.key not in read]
        return [path for path in missed if self._fs.read(f"{path}/memory.current") is not Absence.GONE]

    def _watched(self) -> list[Container]:
        """The containers to sample: of too many, those with the lowest cgroup ids, which are the oldest."""
        found = sorted(self._tracker.containers.values(), key=lambda each: each.key)
        return found[: self._most_containers]

    def _learn(self) -> Sampler | None:
        """Find out once what this kernel offers, and say what it does not."""
        cgroup = self._tracker.memory_cgroup() or find_memory_cgroup(self._fs, self._cgroup_root)
        if cgroup is None:
            self._once("no cgroup with the memory controller yet", under=self._cgroup_root)
            return None
        features = find_features(self._fs, cgroup)
        if not features.has("memory.current"):  # that cgroup went away meanwhile
            return None
        self._features = features
        self._sampler = Sampler(self._fs, self._features)
        logger.info("kernel learnt", extra={"kernel": self._features.kernel, "from_cgroup": cgroup})
        for each in self._features.missing:
            logger.warning(
                "this kernel lacks %s: %s", each.what, each.without, extra={"reason": each.why.value}
            )
        return self._sampler

    def _say(self, snapshot: Snapshot) -> None:
        """Each kind of trouble is logged when it is first seen; its count is a metric."""
        if not snapshot.sees_pods:
            self._once(
                "no kubepods cgroup: no kubelet runs here, or its root is elsewhere", under=self._cgroup_root
            )
        if snapshot.left_out:
            self._once("more containers than are watched", most=self._most_containers)
        for reason in snapshot.failures_total:
            if reason is not Absence.GONE:  # a cgroup that goes away is no trouble
                self._once(f"a kernel file was {reason.value}", reason=reason.value)

    def _once(self, message: str, **details: object) -> None:
        if message not in self._said:
            self._said.add(message)
            logger.warning(message, extra=details)
