"""What outlives the profiles too: histories in the fleet's memory, and back from there.

In: checkpoints as they are written into profiles. Out: records of kind `history` (they hold the hours, the
OOM kills and how promises were kept), written in a thread beside the loop, and from there to Redis; and the
past of a workload whose profile is not there, as after it was deleted or in a cluster built anew; and for one
that never was anywhere what others of its image did (kind `relatives`, written once an hour an image). A
memory that fails is logged and counted, never waited for: profiles alone are enough to work. In the same
thread, after what was noted, the leader records what went wrong (`incidents`), and learns (`learning`).
"""

import asyncio
import logging
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from plimsoll.recommend.relatives import Steps
from plimsoll.store.kindred import KIND, relatives_document, relatives_key, relatives_steps
from plimsoll.store.levels.protocol import LevelError, Reason
from plimsoll.store.outlook import checkpoint_of, history_document
from plimsoll.store.record import RecordError
from plimsoll.usage.sample import Quantity
from plimsoll.workload import ContainerKey
from plimsoll_operator.incidents import Incidents
from plimsoll_operator.serve.metrics import Metrics

if TYPE_CHECKING:  # it needs the extra `redis`, which an operator without a memory does without
    from plimsoll.store.memory import Memory
    from plimsoll_operator.learning import Learner

logger = logging.getLogger(__name__)

SECONDS_BETWEEN = 30.0
MOST_NOTED = (
    50_000  # containers whose newest past waits for its turn; further ones come with their next profile
)
QUANTILES = (0.5, 0.99)
SENDING_SECONDS = 15.0  # of each of these, at most, what waits is sent to Redis
AT_ONCE = 500  # records of one transaction of the file
KIN_SECONDS = 3600.0  # between two writes of one image's steps
JUDGE = ("placement", "judge")  # kind and key of what the judge of placement keeps
MOST_KINDS = 10_000  # images whose last write is known; then all are written when they come


@dataclass(frozen=True, slots=True)
class Past:
    """One container's, as its profile holds it."""

    checkpoint: bytes
    quantity: Quantity
    limit_bytes: int | None = None
    kin: str = ""  # what it shares with containers that are like it (`engine.kin`); "": nothing is known
    kube_nodes: frozenset[str] = frozenset()  # that its pods ran on when it was noted


@dataclass(slots=True)
class Remembered:
    """The memory as the operator uses it. `note` is called by the loop and does nothing but note."""

    memory: "Memory"
    quantity: Quantity
    now: Callable[[], float] = time.time
    metrics: Metrics | None = None
    waiting: int = 0  # records that Redis did not have when it was last looked at
    unwritten: int = 0  # pasts that the memory did not take
    learner: "Learner | None" = None  # None: nobody learns patterns here
    incidents: Incidents | None = None  # None: nobody records what goes wrong
    monotonic: Callable[[], float] = time.monotonic
    _told: Counter[tuple[str, str]] = field(default_factory=Counter)  # outcomes that metrics know of
    _noted: dict[str, Past] = field(default_factory=dict)
    _kin_written: dict[str, float] = field(default_factory=dict)  # kin -> when
    _judge: Mapping[str, object] | None = None  # of placement, to be written
    _refused: list[str] = field(default_factory=list)  # why, of what the memory did not take this time

    def note(
        self,
        key: ContainerKey,
        checkpoint: bytes,
        limit_bytes: int | None,
        kin: str = "",
        kube_nodes: frozenset[str] = frozenset(),
    ) -> None:
        """A container's past; a newer one takes its place."""
        name = str(key)
        if name in self._noted or len(self._noted) < MOST_NOTED:
            self._noted[name] = Past(checkpoint, self.quantity, limit_bytes, kin, kube_nodes)

    def note_judge(self, document: Mapping[str, object]) -> None:
        """What the judge of placement keeps; a newer word takes its place."""
        self._judge = document

    async def judge(self) -> Mapping[str, object] | None:
        """What the leader's judge of placement kept last; None where nothing is known."""
        try:
            return await asyncio.to_thread(self.memory.retrieve, *JUDGE, self.now())
        except (LevelError, ValueError) as error:
            logger.warning("what placement has learned cannot be read: %s", error)
            return None

    async def recall(self, keys: Mapping[int, ContainerKey]) -> dict[int, bytes]:
        """Checkpoints by row, of those that are remembered and measure the same."""
        try:
            return await asyncio.to_thread(self._recalled, keys)
        except LevelError as error:
            logger.warning("the memory cannot be read: %s", error)
            return {}

    async def relatives(self, kins: Collection[str]) -> dict[str, Steps]:
        """What containers of these kinds did, by kin, as far as it is remembered."""
        try:
            return await asyncio.to_thread(self._relatives, kins)
        except LevelError as error:
            logger.warning("the memory cannot be read: %s", error)
            return {}

    async def write(self, *, last: bool = False) -> None:
        """Write what is noted, and offer it to Redis; for the `last` time where the process ends."""
        noted, self._noted = self._noted, {}
        self._refused.clear()
        try:
            await asyncio.to_thread(self._write, noted, last=last)
        except (LevelError, RecordError) as error:
            self._refused.extend([str(error)] * len(noted))
        if self._refused:
            self.unwritten += len(self._refused)
            if self.metrics is not None:
                self.metrics.count("plimsoll_memory_unwritten_total", len(self._refused))
            logger.warning("%d records not remembered: %s", len(self._refused), self._refused[-1])
        if self.metrics is not None:
            self._tell(self.metrics)
        if self.incidents is not None:
            self.incidents.redis(self.away(), self.waiting, self.now())
            await self.incidents.write(self.now(), last=last)

    async def forever(self) -> None:
        """Write and learn every half minute, until the task is cancelled."""
        while True:
            await asyncio.sleep(SECONDS_BETWEEN)
            await self.write()
            await self.learn()

    async def learn(self) -> None:
        """One step of learning, where there is something to be learned; it raises nothing."""
        if self.learner is not None:
            await asyncio.to_thread(self.learner.step, self.now())

    async def close(self) -> None:
        """Write the rest and close."""
        await self.write(last=True)
        await asyncio.to_thread(self.memory.close)

    def away(self) -> str:
        """Why Redis is not asked, or takes nothing; "" where it does, or there is none."""
        tiers = self.memory.tiers
        return "" if tiers.shared is None else tiers.breaker.why or tiers.writes.why

    def unlearned(self) -> str:
        """Why no patterns are learned, or not of all; "" where they are, or nobody learns any."""
        return "" if self.learner is None else self.learner.why

    def _tell(self, metrics: Metrics) -> None:
        """What the levels did since the last time, and how long they take."""
        measured = self.memory.tiers.measures
        now = Counter(measured.counts)
        for (level, outcome), count in (now - self._told).items():
            metrics.count("plimsoll_memory_outcomes_total", count, level=level, outcome=outcome)
        self._told = now
        latencies: dict[tuple[str, ...], float] = {
            (level, operation, f"{quantile:g}"): latency.quantile(quantile)
            for (level, operation), latency in list(measured.latencies.items())
            for quantile in QUANTILES
        }
        metrics.replace_many("plimsoll_memory_latency_seconds", ("level", "operation", "quantile"), latencies)
        metrics.set("plimsoll_memory_redis_away", float(bool(self.away())))
        counts = self.memory.tiers.file.counts()
        self.waiting = counts["pending"] + counts["sent"]
        metrics.set("plimsoll_memory_waiting", self.waiting)

    def _recalled(self, keys: Mapping[int, ContainerKey]) -> dict[int, bytes]:
        found = {}
        for row, key in keys.items():
            try:
                document = self.memory.retrieve("history", str(key), self.now())
                checkpoint, quantity = checkpoint_of(document) if document else (b"", None)
            except ValueError as error:
                logger.warning("the past of %s cannot be read: %s", key, error)
                continue
            if quantity is self.quantity:
                found[row] = checkpoint
        return found

    def _relatives(self, kins: Collection[str]) -> dict[str, Steps]:
        found = {}
        for kin in kins:
            try:
                document = self.memory.retrieve(KIND, relatives_key(kin, self.quantity), self.now())
                if document:
                    found[kin] = relatives_steps(document)
            except ValueError as error:
                logger.warning("what is remembered of %s cannot be read: %s", kin, error)
        return found

    def _write(self, noted: Mapping[str, Past], *, last: bool) -> None:
        begun, now_seconds = self.monotonic(), self.now()
        if self.memory.learning(now_seconds):
            names = list(noted)
            for start in range(0, len(names), AT_ONCE):
                with self.memory.tiers.file.together():
                    for name in names[start : start + AT_ONCE]:
                        past = noted[name]
                        document = history_document(
                            past.checkpoint, past.quantity, past.limit_bytes, past.kin
                        )
                        self._store("history", name, document, now_seconds, past.kube_nodes)
                        if self.incidents is not None:
                            self.incidents.promises(name, past.checkpoint, past.quantity, now_seconds)
            self._write_relatives(noted, now_seconds)
            judge, self._judge = self._judge, None
            if judge is not None:
                self._store(*JUDGE, judge, now_seconds)
        sent = self.memory.send(
            now_seconds, lambda: not last and 0.0 <= self.monotonic() - begun < SENDING_SECONDS
        )
        if sent.failure:
            logger.info("%d records wait for Redis: %s", sent.waiting, sent.failure)

    def _store(
        self,
        kind: str,
        key: str,
        document: Mapping[str, object],
        now_seconds: float,
        kube_nodes: Collection[str] = (),
        samples: int = 0,
    ) -> None:
        """A file that is full refuses what is new to it, and takes what has changed."""
        try:
            self.memory.store(kind, key, document, now_seconds, kube_nodes=kube_nodes, samples=samples)
        except LevelError as error:
            if error.reason is not Reason.FULL:
                raise
            self._refused.append(str(error))

    def _write_relatives(self, noted: Mapping[str, Past], now_seconds: float) -> None:
        """Of each image that is due what the containers did whose pasts are at hand."""
        pasts: dict[str, list[Past]] = defaultdict(list)
        for past in noted.values():
            since_seconds = now_seconds - self._kin_written.get(past.kin, -math.inf)
            if past.kin and not 0 <= since_seconds < KIN_SECONDS:
                pasts[past.kin].append(past)
        if len(self._kin_written) + len(pasts) > MOST_KINDS:
            self._kin_written.clear()
        for kin, of_kin in pasts.items():
            try:
                self._write_kin(kin, of_kin, now_seconds)
            except RecordError as error:  # somebody's image has a name that is none here: the others go on
                logger.warning("what was seen of %.80s is not remembered: %s", kin, error)

    def _write_kin(self, kin: str, pasts: Sequence[Past], now_seconds: float) -> None:
        document = relatives_document([each.checkpoint for each in pasts], self.quantity, now_seconds)
        if document is not None:
            self._kin_written[kin] = now_seconds
            key, samples = relatives_key(kin, self.quantity), len(document["steps"])
            names = frozenset[str]().union(*(each.kube_nodes for each in pasts))
            self._store(KIND, key, document, now_seconds, names, samples)
