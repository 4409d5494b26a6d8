"""What went wrong, as the memory keeps it: once however often it is told, and never without bound.

In: `Incident`s, each with whose it is, what kind it is of, when it was, and what was done. Out: records of
kind `incident`, called `<whose> <what> <moment>`: who tells the same again, after a restart or as the next
leader, writes the same record. Made at the moment it happened, so `analyze --timeframe` and `clean --age` go
by that. What a person has had forgotten is not written again. Of one container and kind the newest
`MOST_OF_ONE` stay, of all `MOST`, for `KEPT_SECONDS`; what goes leaves a tombstone at every level.
"""

import math
from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from plimsoll.store.content import Document
from plimsoll.store.record import Address, Record, RecordError

if TYPE_CHECKING:
    from plimsoll.store.memory import Memory

KIND = "incident"
MOST = 5_000
MOST_OF_ONE = 20  # of one container and kind: who is killed every five minutes has the last two hours
KEPT_SECONDS = 90 * 86_400.0
FUTURE_SECONDS = 900.0  # a kube node's clock may be ahead by so much
MOST_TEXT = 600  # characters of each sentence
MOST_PODS = 16  # names that a record lists


@dataclass(frozen=True, slots=True)
class Incident:
    """One thing that went wrong. `whose`: a container as its history is called, or a part of the operator."""

    what: str  # a word: oom-kill, leak ...
    whose: str
    at_seconds: float
    text: str  # what happened
    done: str = ""  # what was done then; "": not known
    pods: frozenset[str] = frozenset()
    kube_nodes: frozenset[str] = frozenset()
    quiet_seconds: float = (
        0.0  # not told anew so long after the last of its kind: for what has no exact moment
    )

    @property
    def key(self) -> str:
        """What its record is called."""
        moment = datetime.fromtimestamp(math.floor(self.at_seconds), UTC)
        return f"{self.whose} {self.what} {moment:%Y-%m-%dT%H:%M:%SZ}"

    def joined(self, later: "Incident") -> "Incident":
        """The same incident, told twice: what was known first stands, and pods of both."""
        return replace(
            self,
            done=self.done or later.done,
            pods=self.pods | later.pods,
            kube_nodes=self.kube_nodes | later.kube_nodes,
        )

    def document(self) -> Document:
        """What its record holds; `text` is what `search` reads."""
        named = sorted(self.pods)[:MOST_PODS]
        of = f" ({', '.join(named)})" if named else ""
        text, done = _plain(self.text), _plain(self.done)
        return {
            "text": f"{self.what}: {text}{of}{done and '; '}{done}",
            "what": self.what,
            "whose": self.whose,
            "at_seconds": float(math.floor(self.at_seconds)),
            "happened": text,
            "done": done,
            "pods": named,
            "kube_nodes": sorted(self.kube_nodes),
        }


def _plain(text: str) -> str:
    """A sentence without what would act on a terminal: agents' and API servers' words are in some."""
    return "".join(each if each.isprintable() else " " for each in text[:MOST_TEXT])


def incident_of(document: Mapping[str, Any]) -> Incident | None:
    """What a record holds; None where a person wrote it, or a newer program."""
    try:
        return Incident(
            what=str(document["what"]),
            whose=str(document["whose"]),
            at_seconds=float(document["at_seconds"]),
            text=str(document["happened"]),
            done=str(document["done"]),
            pods=frozenset(map(str, document["pods"])),
            kube_nodes=frozenset(map(str, document["kube_nodes"])),
        )
    except (KeyError, TypeError, ValueError):
        return None


@dataclass(slots=True)
class IncidentBook:
    """Writes incidents into a memory, and knows what is there of each container and kind."""

    memory: "Memory"
    _known: dict[tuple[str, str], list[tuple[float, str]]] | None = None  # ascending by moment
    _outcomes: Counter[str] = field(default_factory=Counter)

    def record(self, told: Iterable[Incident], now_seconds: float) -> Counter[tuple[str, str]]:
        """Write what is new; how many, by what they are and what came of them. Raises `LevelError`.

        Outcomes: recorded, joined (another pod in the same second), known, forgotten, unsound, off.
        """
        counts: Counter[tuple[str, str]] = Counter()
        mine = list(told)
        if not mine:
            return counts
        if not self.memory.learning(now_seconds):
            counts.update((each.what, "off") for each in mine)
            return counts
        for each in mine:
            try:
                outcome = self._record(each, now_seconds)
            except (RecordError, ValueError, OverflowError):  # a name that is no key, a moment that is none
                outcome = "unsound"
            counts[each.what, outcome] += 1
        return counts

    def tidy(self, now_seconds: float) -> int:
        """Look anew at what is there, at every level, and let go what is too old or too much."""
        self._known = self._read(now_seconds)
        gone = 0
        for subject, found in list(self._known.items()):
            while found and (len(found) > MOST_OF_ONE or now_seconds - found[0][0] > KEPT_SECONDS):
                gone += self._drop(subject)
        return gone + self._bounded()

    def _record(self, told: Incident, now_seconds: float) -> str:
        if not -FUTURE_SECONDS <= now_seconds - told.at_seconds <= KEPT_SECONDS:
            return "unsound"
        if self._known is None:
            self._known = self._read(now_seconds)
        found = self._known.get((told.whose, told.what), [])
        if any(abs(told.at_seconds - moment) < told.quiet_seconds for moment, _ in found):
            return "known"
        entry = self.memory.retrieve(KIND, told.key, now_seconds)
        if entry is not None:
            return self._join(told, incident_of(entry))
        held = self.memory.tiers.file.held(Address(KIND, told.key))
        if held is not None and held.record.forgotten:
            return "forgotten"
        self._write(told)
        insort(found, (float(math.floor(told.at_seconds)), told.key))
        self._known[told.whose, told.what] = found
        if len(found) > MOST_OF_ONE:
            self._drop((told.whose, told.what))
        self._bounded()
        return "recorded"

    def _join(self, told: Incident, known: Incident | None) -> str:
        """Add what is new to what is there; what a person wrote, or a newer program, is left as it is."""
        both = told if known is None else known.joined(told)
        if known is None or both.document() == known.document():
            return "known"
        self._write(both)
        return "joined"

    def _write(self, told: Incident) -> None:
        made, samples = float(math.floor(told.at_seconds)), max(len(told.pods), 1)
        self.memory.store(KIND, told.key, told.document(), made, kube_nodes=told.kube_nodes, samples=samples)

    def _read(self, now_seconds: float) -> dict[tuple[str, str], list[tuple[float, str]]]:
        found: defaultdict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
        for record in self._records(now_seconds):
            whose, what = subject_of(record.address.key)
            found[whose, what].append((record.provenance.made_seconds, record.address.key))
        return {subject: sorted(each) for subject, each in found.items()}

    def _records(self, now_seconds: float) -> Iterable[Record]:
        """Incidents of the file and, where Redis answers, of those whom other leaders have written."""
        tiers = self.memory.tiers
        mine = {each.address: each for each in tiers.records(KIND)}
        if tiers.shared is None or not tiers.breaker.allows(now_seconds):
            return mine.values()
        survey = tiers.ask(lambda shared: shared.survey(), "records", now_seconds)
        theirs = {each.address: each for each in survey.records if each.address.kind == KIND}
        return (theirs | mine).values()

    def _bounded(self) -> int:
        known, gone = self._known or {}, 0
        over = sum(map(len, known.values())) - MOST
        while over > gone:
            self._drop(min(known, key=lambda subject: known[subject][0]))
            gone += 1
        return gone

    def _drop(self, subject: tuple[str, str]) -> int:
        """Forget the oldest of one container and kind; a person's own stays."""
        known = self._known or {}
        _, key = known[subject].pop(0)
        if not known[subject]:
            del known[subject]
        self.memory.tiers.forget(Address(KIND, key))
        return 1


def subject_of(key: str) -> tuple[str, str]:
    """Whose an incident is and what it is, by what its record is called; a person's word is all its own."""
    whose, _, rest = key.rpartition(" ")
    whose, _, what = whose.rpartition(" ")
    return (whose, what) if whose and rest.endswith("Z") else (key, "")
