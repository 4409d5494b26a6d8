"""Models that nodes learn together: their words into the fleet's memory, the fleet's models back to them.

In: `ModelDelta`s, each under the node of the stream it came by. Out: merges, trials and verdicts in the
memory (`plimsoll.store`), and a `ModelVersion` to each node that asked and does not have the newest. Hearing
only puts down, bounded by node and by time; all work is done in a thread, round by round. A node speaks for
images that it runs, of kinds that are shared, in numbers that can be believed: anything else is counted and
dropped. Where the memory fails nothing is answered, and agents go on with what they have.
"""

import asyncio
import logging
import math
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from plimsoll.coordinate.messages import ModelDelta, ModelVersion, OperatorBody
from plimsoll.store.canary import Release, Verdict
from plimsoll.store.content import ContentError
from plimsoll.store.contributions import Contribution
from plimsoll.store.deltas import given_to, losses_of, refusal, unheard
from plimsoll.store.letters import SCHEMA, Judged, checksum_of, given_payload, read_delta
from plimsoll.store.levels.protocol import LevelError
from plimsoll.store.memory import Memory
from plimsoll.store.record import RecordError
from plimsoll.store.releasing import judge_round, merge_round, release_of
from plimsoll.store.robust import LEAST_NODES
from plimsoll.store.shared_kinds import KINDS_SHARED
from plimsoll_operator.serve.metrics import Metrics

logger = logging.getLogger(__name__)

SECONDS_BETWEEN = 30.0
TOGETHER_SECONDS = 120.0  # in which each node that tries a model has spoken twice
# A record of 63 nodes' reuse tables is 2.8 MB, and costs a quarter of a second to read, write and merge.
FEW_WORDS, REST_SECONDS = 8, 600.0
MOST_OF_A_NODE = 120  # messages a minute: each of three kinds of forty images
MINUTE_SECONDS = 60.0
MOST_NOTED = 20_000  # words of all nodes that wait for the next round
MOST_JUDGED = 4096  # nodes' losses of one model that are kept for the next round

Model = tuple[str, str]  # kind, key
Word = tuple[str, ModelDelta]  # kube node, what it says


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node is told."""

    kube_node: str
    body: ModelVersion


@dataclass(slots=True)
class _Paced:
    since_seconds: float
    count: int = 0


@dataclass
class Sharing:
    """One for the process that leads. `runs`: the images' classes that a node's containers are of."""

    memory: Memory
    metrics: Metrics
    offer: Callable[[str, OperatorBody], bool]
    runs: Callable[[str], frozenset[str]]
    now: Callable[[], float]
    least_nodes: int = LEAST_NODES
    kube_nodes: int = LEAST_NODES  # of the cluster; a fleet of two cannot have three that speak
    _noted: list[Word] = field(default_factory=list)
    _paced: dict[str, _Paced] = field(default_factory=dict)
    _words: dict[Model, dict[str, Contribution]] = field(default_factory=lambda: defaultdict(dict))
    _kept: dict[Model, tuple[float, int]] = field(default_factory=dict)
    """When a model's words were last written, and of how many nodes they were."""
    _judged: dict[Model, dict[str, Judged]] = field(default_factory=lambda: defaultdict(dict))
    _few_since: dict[Model, float] = field(default_factory=dict)
    """Since when a round of a trial waits for more nodes to speak."""
    _working: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, kube_node: str, delta: ModelDelta, now_seconds: float) -> None:
        """Put down what a node says."""
        if self._too_often(kube_node, now_seconds):
            self._count("too-often")
        elif delta.kind not in KINDS_SHARED or delta.schema_version != SCHEMA:
            self._count("unknown")
        elif len(self._noted) >= MOST_NOTED:
            self._count("full")
        else:
            self._noted.append((kube_node, delta))

    async def forever(self) -> None:
        """Work on what was heard, every half minute, until the task is cancelled."""
        while True:
            await asyncio.sleep(SECONDS_BETWEEN)
            try:
                await self.round()
            except Exception:  # agents go on with what they have; the next round is another one
                logger.exception("a round of shared models failed")
                self._count("failed")

    async def round(self) -> int:
        """Work on what was heard since the last; returns how many nodes were told something."""
        return await self._round(rests=True) if self._noted else 0

    async def flush(self) -> None:
        """Keep all that was heard and said to have been: for a process that ends, after its streams have."""
        await self._round(rests=False)

    async def _round(self, *, rests: bool) -> int:
        noted, self._noted = self._noted, []
        owned = {name: self.runs(name) for name in {name for name, _ in noted}}
        try:
            answers, counts = await asyncio.to_thread(self._work, noted, owned, self.now(), rests=rests)
        except (LevelError, RecordError) as error:
            self._count("unkept", len(noted))
            logger.warning("%d words on shared models are not kept: %s", len(noted), error)
            return 0
        for (outcome, kind), count in counts.items():
            self.metrics.count("plimsoll_models_total", count, outcome=outcome, kind=kind)
        told = sum(self.offer(each.kube_node, each.body) for each in answers)
        self.metrics.count("plimsoll_model_versions_sent_total", told)
        return told

    def forget(self, kube_nodes: frozenset[str]) -> None:
        """Only these nodes are left; a look that saw none says nothing of how many there are."""
        self.kube_nodes = len(kube_nodes) or LEAST_NODES
        self._paced = {name: each for name, each in self._paced.items() if name in kube_nodes}

    # -- in the thread ------------------------------------------------------------------------------------

    def _work(
        self, noted: Sequence[Word], owned: Mapping[str, frozenset[str]], now_seconds: float, *, rests: bool
    ) -> tuple[list[Answer], Counter[tuple[str, str]]]:
        with self._working:  # a round whose task was cancelled goes on, and the last one waits for it
            return self._worked(noted, owned, now_seconds, rests=rests)

    def _worked(
        self, noted: Sequence[Word], owned: Mapping[str, frozenset[str]], now_seconds: float, *, rests: bool
    ) -> tuple[list[Answer], Counter[tuple[str, str]]]:
        counts: Counter[tuple[str, str]] = Counter()
        asked: dict[Model, dict[str, str]] = defaultdict(dict)  # by node what it has
        learns = self.memory.learning(now_seconds)
        for kube_node, delta in noted:
            model = delta.kind, delta.class_name
            owns = delta.class_name in owned[kube_node]
            outcome = self._read(kube_node, delta, now_seconds, owns=owns, learns=learns)
            counts[outcome, delta.kind] += 1
            if outcome != "refused":
                asked[model][kube_node] = delta.base_checksum
        if not rests:  # what waits for its turn as well
            asked = {model: {} for model in self._words} | asked
        answers = []
        for (kind, key), nodes in asked.items():
            kept = self._keep((kind, key), now_seconds, rests=rests)
            release, verdict = self._decide(kind, key, now_seconds, learns=learns, kept=kept, rests=rests)
            if verdict is not Verdict.WAIT:
                counts[verdict.value, kind] += 1
                logger.info("a shared model: %s", verdict.value, extra={"kind": kind, "key": key})
            answers += _answers(kind, key, release, nodes)
        return answers, counts

    def _read(
        self,
        kube_node: str,
        delta: ModelDelta,
        now_seconds: float,
        *,
        owns: bool,
        learns: bool,
    ) -> str:
        """Read one word; returns what came of it: asked, taken, refused or off."""
        why = "" if owns else "it runs no container of this image"
        if not why and not delta.payload:
            return "asked"
        if not why and not learns:
            return "off"
        why = why or self._said(kube_node, delta, now_seconds)
        if not why:
            return "taken"
        logger.warning(
            "a node's word on a shared model is refused: %s",
            why,
            extra={"kube_node": kube_node, "kind": delta.kind, "key": delta.class_name},
        )
        return "refused"

    def _said(self, kube_node: str, delta: ModelDelta, now_seconds: float) -> str:
        """Put down what a payload says, of one node the newest; returns why it is refused, "" where not."""
        try:
            said = read_delta(delta.kind, delta.payload)
        except ContentError as error:
            return str(error)
        if said.contribution is not None:
            if why := refusal(said.contribution, now_seconds):
                return why
            words = self._words[delta.kind, delta.class_name]
            known = words.get(kube_node)
            if known is None or said.contribution.order > known.order:
                words[kube_node] = said.contribution
        judged = self._judged[delta.kind, delta.class_name]
        if said.judged is not None and len(judged) < MOST_JUDGED:
            before = judged.get(kube_node)
            if before is None or said.judged.sequence > before.sequence:
                judged[kube_node] = said.judged
        return ""

    def _keep(self, model: Model, now_seconds: float, *, rests: bool) -> bool:
        """Write a model's words down, if there are any and it is time; True where that was done."""
        written_seconds, known = self._kept.get(model, (-math.inf, 0))
        early = known >= FEW_WORDS and 0.0 <= now_seconds - written_seconds < REST_SECONDS
        if (rests and early) or not (words := self._words.pop(model, {})):
            return False
        record = self.memory.contribute(*model, words, now_seconds)
        if len(self._kept) >= MOST_NOTED:
            self._kept.clear()
        self._kept[model] = now_seconds, record.provenance.kube_node_count
        return True

    def _decide(
        self, kind: str, key: str, now_seconds: float, *, learns: bool, kept: bool, rests: bool
    ) -> tuple[Release, Verdict]:
        """One round of a trial where one is, else one of merging."""
        shared = KINDS_SHARED[kind]
        ships = shared.ships()
        release, verdict = release_of(self.memory, kind, key, ships, now_seconds), Verdict.WAIT
        least = min(self.least_nodes, self.kube_nodes)
        if learns and release.candidate is not None:
            fresh = unheard(release, self._judged[kind, key])
            if self._waits((kind, key), rests and len(fresh) < least, now_seconds):
                return release, verdict
            del self._judged[kind, key]
            if (losses := losses_of(fresh.values(), least)) is not None:
                heard = {node: each.sequence for node, each in fresh.items()}
                release, verdict = judge_round(self.memory, kind, key, ships, losses, now_seconds, heard)
            return release, verdict
        self._judged.pop((kind, key), None)
        if not learns or not kept:
            return release, verdict
        return merge_round(
            self.memory, kind, key, ships, now_seconds, trim=shared.trim, least_nodes=least
        ), verdict

    def _waits(self, model: Model, few: bool, now_seconds: float) -> bool:  # noqa: FBT001
        """True while a round of a trial waits for more nodes: they speak once a minute, and not together.

        Judged as they come, a round would be of whoever spoke in that half-minute, a liar alone among them.
        """
        since = self._few_since.setdefault(model, now_seconds)
        if few and 0.0 <= now_seconds - since < TOGETHER_SECONDS:
            return True
        del self._few_since[model]
        return False

    def _too_often(self, kube_node: str, now_seconds: float) -> bool:
        paced = self._paced.get(kube_node)
        if paced is None or not 0.0 <= now_seconds - paced.since_seconds < MINUTE_SECONDS:
            paced = self._paced[kube_node] = _Paced(now_seconds)
        paced.count += 1
        return paced.count > MOST_OF_A_NODE

    def _count(self, outcome: str, count: int = 1) -> None:
        self.metrics.count("plimsoll_models_total", count, outcome=outcome, kind="")


def _answers(kind: str, key: str, release: Release, nodes: Mapping[str, str]) -> list[Answer]:
    """To each node that has another model than it should use."""
    found = []
    payloads: dict[bool, tuple[bytes, str]] = {}
    for kube_node, has in nodes.items():
        given = given_to(kube_node, release)
        if given is None:
            payload, checksum = b"", ""
        else:
            if given.on_trial not in payloads:
                made = given_payload(given)
                payloads[given.on_trial] = made, checksum_of(made)
            payload, checksum = payloads[given.on_trial]
        if checksum != has:
            body = ModelVersion(kind, key, release.generation, SCHEMA, checksum, payload)
            found.append(Answer(kube_node, body))
    return found
