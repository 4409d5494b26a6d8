"""The worlds beside the operator's: the same containers and kubelets under a static limit, VPA's algorithm,
the oracle.

In: a scenario and a recommender as the replay has it. Out: its ledger, played bin by bin with the very same
kubelet model. As in the replay contract a decision is made every hour from what happened before, and after
an OOM kill at limit L the limit is at least max(1.2 L, L + 100 MiB) until that hour is over.
"""

from collections.abc import Callable

import numpy as np

from plimsoll.replay.limits import BatchFacts, ObservedBin, ReplayRecommender, raised_after_oom
from plimsoll.replay.peers.oracle import Oracle
from plimsoll.replay.peers.static import Static
from plimsoll.replay.peers.vpa import Vpa
from plimsoll.replay.series import BINS_PER_HOUR, FloatArray, batch_of
from plimsoll.usage.sample import BIN_SECONDS
from plimsoll_cli.sandbox.kubelet import KubeletModel, Resources
from plimsoll_cli.sandbox.ledger import Ledger
from plimsoll_cli.sandbox.scenario import FIRST_REQUEST_SHARE, START_BIN, WARMUP_BINS, Scenario


class ShadowWorld:
    """One arm: a kubelet model whose limits a replay recommender sets."""

    def __init__(self, arm: str, recommender: ReplayRecommender, scenario: Scenario) -> None:
        self.ledger = Ledger(arm, [w.name for w in scenario.workloads], scenario.bins)
        self._recommender = recommender
        self._workloads = scenario.workloads
        self._kubelet = KubeletModel(_roomy(scenario), scenario.seed)
        self._limit = np.full(len(scenario.workloads), np.nan)
        self._floor = np.zeros(len(scenario.workloads))
        facts = BatchFacts(len(scenario.workloads), WARMUP_BINS, BINS_PER_HOUR, 1)
        recommender.start(facts)
        self._watch_warmup()
        for workload in self._workloads:
            usage = workload.usage_bytes[WARMUP_BINS:]
            seconds = scenario.start_seconds
            self._kubelet.start(workload.name, workload.kube_node, usage, START_BIN, workload.first, seconds)
            self._limit[self._row(workload.name)] = workload.first.limit_bytes

    def _row(self, name: str) -> int:
        return next(row for row, workload in enumerate(self._workloads) if workload.name == name)

    def _watch_warmup(self) -> None:
        nothing = np.full(len(self._workloads), np.nan)
        for k in range(WARMUP_BINS):
            usage = np.array([w.usage_bytes[k] for w in self._workloads])
            self._recommender.observe(ObservedBin(k, usage, nothing, np.zeros(len(usage), dtype=np.bool_)))

    def play(self, live_bin: int) -> None:
        """Set the limits, let the bin happen, tell the recommender."""
        seconds = float((START_BIN + live_bin) * BIN_SECONDS)
        self._set_limits(WARMUP_BINS + live_bin)
        for workload, limit in zip(self._workloads, self._limit.tolist(), strict=True):
            if live_bin >= workload.live_bins:
                self._kubelet.stop(workload.name, seconds)
            else:
                whole = int(np.ceil(limit))
                self._kubelet.resize(
                    workload.name, Resources(int(whole * FIRST_REQUEST_SHARE), whole), seconds
                )
        records = self._kubelet.play(START_BIN + live_bin)
        self._kubelet.take_events()
        self.ledger.record(live_bin, records)
        self._observe(live_bin)

    def _set_limits(self, k: int) -> None:
        if k % BINS_PER_HOUR == 0:
            self._floor = np.zeros_like(self._floor)
            proposed = self._recommender.decide(k, self._limit).limit_bytes
            said = np.isfinite(proposed) & (proposed > 0)
            self._limit = np.where(said, proposed, self._limit)
        raised = self._recommender.react(k, self._limit)
        if raised is not None:
            self._limit = np.fmax(self._limit, raised)
        self._limit = np.maximum(self._limit, self._floor)

    def _observe(self, live_bin: int) -> None:
        """What a metrics pipeline would see: the cgroup's charge, never above its limit."""
        oom, limit = self.ledger.oom[:, live_bin], self.ledger.limit_bytes[:, live_bin]
        seen: FloatArray = np.minimum(self.ledger.usage_bytes[:, live_bin], limit)
        self._recommender.observe(ObservedBin(WARMUP_BINS + live_bin, seen, limit, oom))
        self._floor = np.maximum(self._floor, np.where(oom, raised_after_oom(limit), 0.0))


def _roomy(scenario: Scenario) -> dict[str, int]:
    """Baselines never wait for room on a kube node, which flatters them."""
    return dict.fromkeys(scenario.allocatable_bytes, 2**62)


def baselines(scenario: Scenario) -> list[ShadowWorld]:
    """Static, VPA's algorithm and the oracle."""
    whole = batch_of(
        "sandbox", dict(zip((w.name for w in scenario.workloads), scenario.usage(), strict=True))
    )
    makers: dict[str, Callable[[], ReplayRecommender]] = {
        "static": Static,
        "vpa": Vpa,
        "oracle": lambda: Oracle(whole),
    }
    return [ShadowWorld(arm, maker(), scenario) for arm, maker in makers.items()]
