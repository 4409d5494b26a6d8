"""The fleet's memory as a program asks it: store, retrieve, analyze, optimize, and what belongs to these.

In: a `TieredStore`, documents (plain values and numpy arrays), a `now`. Out: documents, rows and sentences.

    memory = open_memory("memory.db")
    memory.store("incident", "demo/Deployment/web", {"text": "killed twice after the release"}, now)
    memory.retrieve("incident", "demo/Deployment/web", now)

The command line (`plimsoll memory`) is this module with a terminal around it.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plimsoll.pipeline import PipelineSettings
from plimsoll.store import contributions
from plimsoll.store.content import Document, decode, encode
from plimsoll.store.contributions import Contribution
from plimsoll.store.incidents import Incident, incident_of
from plimsoll.store.kinds import KINDS, kind_of, merged
from plimsoll.store.learning import learn_these
from plimsoll.store.levels.address import parse_redis_address
from plimsoll.store.levels.file import FileLevel
from plimsoll.store.levels.packing import packed
from plimsoll.store.levels.protocol import LevelError
from plimsoll.store.levels.snapshots import Snapshots
from plimsoll.store.outlook import Outlook, outlooks
from plimsoll.store.record import Address, Entry, Provenance, Record, RecordError
from plimsoll.store.search import Hit, search
from plimsoll.store.sending import Sent, send_while
from plimsoll.store.tiered import TieredStore

if TYPE_CHECKING:
    from plimsoll.store.levels.shared import SharedLevel

LEARNING = Address("control", "learning")
SPOKEN = ("pattern", "incident")  # kinds with a sentence of their own


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the memory holds, and what came within a time."""

    records: Mapping[str, int]  # by kind
    lately: Mapping[str, int]  # by kind, made within the time
    kube_nodes: int  # that have taught anything
    samples: int
    shapes: Mapping[str, int]  # of usage, by pattern
    incidents: Mapping[str, int]  # within the time, by what they were
    oldest_seconds: float | None
    newest_seconds: float | None


@dataclass(slots=True)
class Memory:
    """A store, and the directory of its snapshots where there is one."""

    tiers: TieredStore
    snapshots: Snapshots | None = None

    def store(
        self,
        kind: str,
        key: str,
        document: Document,
        now_seconds: float,
        *,
        kube_nodes: Iterable[str] = (),
        samples: int = 0,
    ) -> Record:
        """Keep a document. Raises `RecordError`, `ContentError` and `LevelError`."""
        provenance = Provenance.of(set(kube_nodes), samples, now_seconds)
        return self.tiers.store(Address(kind, key), encode(document), provenance)

    def retrieve(self, kind: str, key: str, now_seconds: float) -> dict[str, Any] | None:
        """The newest document; None where there is none. Raises `ContentError` and `LevelError`."""
        entry = self.tiers.retrieve(Address(kind, key), now_seconds)
        return None if entry is None else decode(entry.content)

    def contribute(
        self, kind: str, key: str, words: Mapping[str, Contribution], now_seconds: float
    ) -> Record:
        """Add what kube nodes have learned, by node, to what the others have: read and written once.

        The caller knows that they are those nodes.
        """
        address = Address(kind, key)
        entry = self.tiers.retrieve(address, now_seconds)
        known = {} if entry is None else contributions.read(decode(entry.content))
        both = contributions.joined(known, words, str(address))
        samples = sum(each.samples for each in both.values())
        provenance = Provenance.of(set(both), samples, now_seconds)
        return self.tiers.store(address, encode(contributions.document(both)), provenance)

    def gather(self, now_seconds: float) -> str:
        """Take over what Redis has and the file has not, so that what is listed next is the fleet's.

        Returns why it could not be, or not all of it; "" where all is here, or nothing is shared.
        """
        tiers = self.tiers
        if tiers.shared is None:
            return ""
        try:
            survey = tiers.ask(lambda shared: shared.survey(), "records", now_seconds)
        except (LevelError, RecordError) as error:
            return str(error)
        for record in survey.records:
            held = tiers.file.held(record.address)
            if held is None or held.record.digest != record.digest:
                tiers.retrieve(record.address, now_seconds)
        shut = "" if tiers.breaker.allows(now_seconds) else tiers.breaker.why
        lost = len(survey.unreadable)
        return shut or (f"{lost} records of Redis cannot be read" if lost else "")

    def send(self, now_seconds: float, goes_on: Callable[[], bool] = lambda: False) -> Sent:
        """A round to Redis, or as many as there is work for and `goes_on`; nothing without a Redis."""
        return send_while(self.tiers, now_seconds, goes_on)

    def documents(
        self, kind: str, keys: Collection[str] | None = None
    ) -> Iterator[tuple[Record, dict[str, Any]]]:
        """All documents of a kind that can be read, or those of some keys."""
        if keys is None:
            addresses = sorted(record.address for record in self.tiers.records(kind))
        else:
            addresses = [Address(kind, key) for key in keys]
        for address in addresses:
            try:
                entry = self.tiers.file.get(address)
                if entry is not None and not entry.record.forgotten:
                    yield entry.record, decode(kind_of(kind, self.tiers.kinds).current(entry).content)
            except ValueError:
                continue

    def histories(self, keys: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
        """Documents of kind `history` by key: all, or those of some."""
        return {record.address.key: document for record, document in self.documents("history", keys)}

    def incidents(self, after_seconds: float) -> list[Incident]:
        """What operators recorded since a moment, the newest first."""
        found = (incident_of(each) for _, each in self.documents("incident"))
        lately = (each for each in found if each is not None and each.at_seconds >= after_seconds)
        return sorted(lately, key=lambda each: (-each.at_seconds, each.key))

    def analyze(self, now_seconds: float, timeframe_seconds: float) -> Analysis:
        """What is held, and what came within the last `timeframe_seconds`."""
        records = [*self.tiers.records()]
        moments = [each.provenance.made_seconds for each in records]
        after = now_seconds - timeframe_seconds
        lately = [each for each in records if each.provenance.made_seconds >= after]
        names = {name for each in records for name in each.provenance.kube_nodes}
        return Analysis(
            records=Counter(each.address.kind for each in records),
            lately=Counter(each.address.kind for each in lately),
            kube_nodes=len(names),
            samples=sum(each.provenance.samples for each in records),
            shapes=Counter(str(each.get("shape", "unknown")) for _, each in self.documents("pattern")),
            incidents=Counter(each.what for each in self.incidents(after)),
            oldest_seconds=min(moments, default=None),
            newest_seconds=max(moments, default=None),
        )

    def optimize(
        self, now_seconds: float, objective: str | None = None, key: str | None = None
    ) -> list[Outlook]:
        """What the pipeline would set for every history, or one, at an operating point. Nothing is set."""
        histories = {name: each for name, each in self.histories().items() if key in {None, name}}
        settings = PipelineSettings() if objective is None else PipelineSettings(objective=objective)
        return outlooks(histories, now_seconds, settings)

    def learn(self, now_seconds: float) -> int:
        """Write down a pattern for every history at once; returns how many were new or changed."""
        changed, failed, why = learn_these(self, [*self.histories()], now_seconds)
        if failed:
            raise RecordError(f"no pattern can be made of {failed} histories, the last of them {why}")
        return changed

    def learning(self, now_seconds: float) -> bool:
        """Whether anything may be learned; True where nobody has said.

        The switch may lie in the same file by another process's hand: what this one holds of it is not asked.
        """
        self.tiers.process.drop(LEARNING)
        said = self.retrieve(LEARNING.kind, LEARNING.key, now_seconds)
        return said is None or bool(said.get("enabled", True))

    def set_learning(self, now_seconds: float, *, enabled: bool) -> None:
        """Turn learning on or off, for everybody who shares this memory."""
        self.store(LEARNING.kind, LEARNING.key, {"enabled": enabled}, now_seconds)

    def search(self, text: str, most: int = 10) -> list[Hit]:
        """Patterns, incidents and workloads by some words."""
        return search(text, self.texts(), most)

    def texts(self) -> dict[str, str]:
        """`kind key` -> what is said of it, of everything that can be searched."""
        spoken = {
            str(record.address): str(document.get("text", ""))
            for kind in SPOKEN
            for record, document in self.documents(kind)
        }
        kin = {f"history {key}": str(each.get("kin", "")) for key, each in self.histories().items()}
        return kin | spoken

    def entries(self) -> Iterator[Entry]:
        """Every entry of the file that can be read, in order."""
        for record in sorted(self.tiers.records(), key=lambda each: each.address):
            entry = self.tiers.file.get(record.address)
            if entry is not None:
                yield entry

    def take_in(self, entries: Iterable[Entry]) -> tuple[int, int]:
        """Join entries from elsewhere to what is here; returns how many changed something, how many not."""
        taken = same = 0
        for entry in entries:
            held = self.tiers.file.get(entry.record.address)
            mine = entry if held is None or held.record.forgotten else merged(entry, held, self.tiers.kinds)
            if held is not None and held.record.digest == mine.record.digest:
                same += 1
                continue
            self.tiers.store(mine.record.address, mine.content, mine.record.provenance, mine.record.schema)
            taken += 1
        return taken, same

    def close(self) -> None:
        """Give files and connections back."""
        self.tiers.close()


def open_memory(
    file: str = ":memory:",
    redis_url: str = "",
    snapshots_url: str = "",
    clock: Callable[[], float] = lambda: 0.0,
    *,
    set_aside: bool = True,
) -> Memory:
    """A memory in a file, with what else there is. Raises `LevelError` and `RedisAddressError`.

    A damaged file is set aside and a new one begun with what can still be read; without `set_aside` it is an
    error.
    """
    packed(b"")  # who has no zstandard is told now, not at the first write
    tiers = TieredStore(
        FileLevel(file, set_aside=set_aside),
        shared=_shared(redis_url) if redis_url else None,
        kinds=KINDS,
        clock=clock,
    )
    return Memory(tiers, Snapshots(snapshots_url) if snapshots_url else None)


def _shared(redis_url: str) -> "SharedLevel":
    from plimsoll.store.levels.shared import SharedLevel  # noqa: PLC0415 - only who has Redis needs its client

    return SharedLevel(parse_redis_address(redis_url))
