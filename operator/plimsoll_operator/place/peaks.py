"""What each kube node's pods will need together, told in its `NodeMemory`: the distribution of their sum.

In: a state of placement, `NodeMemory` as the watch has it. Out: `status.peak`, written by the operator that
leads: its forecast is the operator's, all else in the status is the agent's, whose merge does not name this
field. An object that no agent has made is not made here. Written where it has changed by a twentieth, once
an hour besides, and taken out where nothing is believed of the node any more. A write that fails is left to
the next loop; one that is forbidden, or comes to nothing (role or CRD of an older release), to the next hour.
"""

import asyncio
import logging
import math
from collections.abc import Iterator, Mapping
from itertools import islice

import numpy as np

from plimsoll.api.profile import NodePeak, QuantileForecast
from plimsoll.placement.fit import deviate, margin, needed_bytes, short_probability
from plimsoll_operator.actuate.api import NODE_MEMORIES, ApiError, KubeApi
from plimsoll_operator.leader import NotLeaderError
from plimsoll_operator.place.placer import Placer
from plimsoll_operator.place.state import PlacementState
from plimsoll_operator.records import NodeMemoryRecord
from plimsoll_operator.world import World

logger = logging.getLogger(__name__)

# Probability that the peak stays at or below: the last is the bound that pods are placed by.
LEVELS = (0.5, 0.9, 0.98)
HORIZON_SECONDS = 86_400
MIB = 2**20  # what is told is rounded up to it: nobody reads more, and the rest is noise
AGAIN_SECONDS = 3600.0  # forecasts are made once an hour
BACK_SECONDS = 60.0  # in which the watch has brought a write back; then the object has been made anew
CHANGED = 0.05  # of the peak at the last level
MOST_WRITES = 50  # a loop: 5,000 nodes take 25 minutes of loops of fifteen seconds
FORBIDDEN = 403

Peaks = Mapping[str, NodePeak]


class PeakTeller:
    """Remembers what it has told of each kube node."""

    def __init__(self, placer: Placer, api: KubeApi) -> None:
        """`api` writes only while we lead."""
        self._placer, self._api = placer, api
        self._told: dict[str, tuple[NodePeak | None, float]] = {}
        self._not_before_seconds = float("-inf")

    async def tell(self, world: World, now_seconds: float) -> None:
        """Write what is due, nothing while acting is paused; a fault here harms nothing else."""
        if world.paused or 0 < self._not_before_seconds - now_seconds <= AGAIN_SECONDS:
            return
        try:
            state = self._placer.believed(now_seconds)
            peaks = {} if state is None else peaks_of(state, now_seconds)
            self._told = {name: each for name, each in self._told.items() if name in world.node_memories}
            due = islice(self._due(peaks, world.node_memories, now_seconds), MOST_WRITES)
            await asyncio.gather(*(self._write(name, peaks.get(name), now_seconds) for name in due))
        except Exception:
            logger.exception("peaks of kube nodes could not be told")

    def _due(
        self, peaks: Peaks, records: Mapping[str, NodeMemoryRecord], now_seconds: float
    ) -> Iterator[str]:
        for name, record in records.items():
            peak, (told, told_seconds) = peaks.get(name), self._told.get(name, (None, float("-inf")))
            just = 0 <= now_seconds - told_seconds < BACK_SECONDS  # what the watch shows may be from before
            if peak is None:
                if told is not None or (record.peak_seconds is not None and not just):
                    yield name
            elif told is None or _differ(told, peak):
                if told is not None or not _recent(record.peak_seconds, now_seconds):
                    yield name
            elif not _recent(told_seconds, now_seconds) or (record.peak_seconds is None and not just):
                yield name

    async def _write(self, name: str, peak: NodePeak | None, now_seconds: float) -> None:
        body = {"status": {"peak": None if peak is None else peak.to_api()}}
        try:
            answer = await self._api.patch_status(NODE_MEMORIES, "", name, body)
        except NotLeaderError:
            return
        except ApiError as error:
            if error.status == FORBIDDEN:
                self._not_before_seconds = now_seconds + AGAIN_SECONDS
            if not error.missing:  # its agent, or a person, has taken it away
                logger.info("the peak of %s was not written: %s", name, error)
            return
        if peak is not None and not (answer.get("status") or {}).get("peak"):
            self._not_before_seconds = now_seconds + AGAIN_SECONDS  # an older CRD has no such field
        self._told[name] = peak, now_seconds


def peaks_of(state: PlacementState, now_seconds: float) -> dict[str, NodePeak]:
    """By kube node; those of which there is no opinion lack."""
    nodes = state.chooser.nodes
    need = np.array([needed_bytes(nodes, deviate(1.0 - level)) for level in LEVELS])
    short = short_probability(margin(nodes))
    known = np.isfinite(need).all(axis=0)
    return {
        name: NodePeak(
            quantiles=tuple(
                QuantileForecast(level=level, value_bytes=math.ceil(size / MIB) * MIB)
                for level, size in zip(LEVELS, need[:, place].tolist(), strict=True)
            ),
            short_percent=round(100.0 * float(short[place]), 2),
            horizon_seconds=HORIZON_SECONDS,
            updated_time_seconds=now_seconds,
        )
        for name, place in state.nodes.place.items()
        if known[place]
    }


def _recent(seconds: float | None, now_seconds: float) -> bool:
    return seconds is not None and abs(now_seconds - seconds) < AGAIN_SECONDS


def _differ(told: NodePeak, peak: NodePeak) -> bool:
    before, now = (each.quantiles[-1].value_bytes for each in (told, peak))
    return abs(now - before) > max(CHANGED * before, MIB)
