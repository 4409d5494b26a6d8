"""Short numbers for containers: what a stream calls them.

In: the containers of each look. Out: differences from what was said as a `Roster`, and the index of each. An
index is given once in the life of the process; the whole roster goes with every hello. A difference is one
until a buffer has taken it (`said`): what was refused once is in the next. A node has as many as a hello
names; a roster of more would be refused at each stream.
"""

from collections.abc import Iterable

from plimsoll.coordinate.columns import MOST_ROWS
from plimsoll.coordinate.messages import Roster, RosterEntry
from plimsoll_nodeagent.discover.tracker import Container, ContainerId


class Numbered:
    """Containers and their indexes."""

    def __init__(self) -> None:
        self._entries: dict[ContainerId, tuple[RosterEntry, Container]] = {}
        self._said: frozenset[int] = frozenset()
        self._next = 0
        self.unnamed = 0
        """Containers that are there and have no index, for others have them all."""
        self.roster = Roster()
        """Everyone who is there; replaced whole, for the stream's thread reads it."""

    def follow(self, containers: Iterable[Container]) -> Roster:
        """Take over who is there now; returns who came and who went since `said` was called."""
        now = {each.key: each for each in containers}
        if now.keys() != self._entries.keys():
            self._entries = {key: each for key, each in self._entries.items() if key in now}
            new = [container for key, container in now.items() if key not in self._entries]
            for each in new[: MOST_ROWS - len(self._entries)]:
                self._add(each)
            self.unnamed = len(now) - len(self._entries)
            self.roster = Roster(tuple(entry for entry, _ in self._entries.values()))
        there = {entry.index for entry, _ in self._entries.values()}
        added = tuple(each for each in self.roster.added if each.index not in self._said)
        return Roster(added, tuple(sorted(self._said - there)))

    def said(self) -> None:
        """The last difference was taken by who carries it."""
        self._said = frozenset(each.index for each in self.roster.added)

    def index(self, key: ContainerId) -> int | None:
        """The index of a container; None for one that is not followed."""
        found = self._entries.get(key)
        return None if found is None else found[0].index

    def find(self, pod_uid: str, container_id: str) -> Container | None:
        """A container by what the operator knows it by."""
        found = (
            container for entry, container in self._entries.values() if entry.container_id == container_id
        )
        return next((each for each in found if each.pod_uid == pod_uid), None)

    def _add(self, container: Container) -> None:
        entry = RosterEntry(self._next, container.pod_uid, container.container_id)
        self._entries[container.key] = (entry, container)
        self._next += 1
