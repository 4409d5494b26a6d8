"""cpuset.mems, where nobody else has set it: written, kept on record, and emptied again.

In: a container and NUMA nodes. Out: `Outcome`s. The kubelet's static managers (and people) name NUMA nodes in
that file: one that is not empty is theirs and never written, and what another writes over ours is left to
them. The record is on disk before the write; bindings end at exit, with their policy, and after a kill -9.
"""

from dataclasses import dataclass

from plimsoll_nodeagent.act.container import as_answer, opened
from plimsoll_nodeagent.act.journal import Journal, Record
from plimsoll_nodeagent.act.outcome import ActionKind, Effect, Outcome
from plimsoll_nodeagent.act.put_back import put_back
from plimsoll_nodeagent.discover.tracker import Container, ContainerId
from plimsoll_nodeagent.kernelfs import Absence, Answer, KernelDirectory, KernelFs
from plimsoll_nodeagent.sample.formats import FormatError
from plimsoll_nodeagent.sample.numa import parse_node_list

KIND = "cpuset.mems"
NOBODYS = "\n"  # what empties the file


@dataclass(frozen=True, slots=True)
class _Held:
    record: Record
    container: Container


class Bindings:
    """Containers that are bound; at most one record for each."""

    def __init__(self, fs: KernelFs, journal: Journal, boot_id: str) -> None:
        self._fs, self._journal, self._boot_id = fs, journal, boot_id
        self._held: dict[ContainerId, _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def held(self) -> list[Container]:
        """Return the containers that are bound."""
        return [each.container for each in self._held.values()]

    def is_ours(self, container: Container, cgroup: KernelDirectory) -> bool:
        """Whether what stands is what we wrote; what another wrote over it is theirs from then on."""
        held = self._held.get(container.key)
        if held is None:
            return False
        if _named(cgroup) == _parsed(held.record.wrote[-1]):
            return True
        self._drop(held)
        return False

    def bind(self, container: Container, numa_nodes: tuple[int, ...]) -> Outcome:
        """Name NUMA nodes where none are named; `Answer.REFUSED` where somebody has."""
        text = ",".join(map(str, numa_nodes))
        if (held := self._held.get(container.key)) is not None and held.record.wrote == (text,):
            return self._outcome(container, Answer.DONE, "bound before")
        with opened(self._fs, container) as cgroup:
            if isinstance(cgroup, Answer):
                return self._outcome(container, cgroup)
            named = _named(cgroup)
            if isinstance(named, Absence):
                return self._outcome(container, as_answer(named))
            if named is None or named:
                return self._outcome(container, Answer.REFUSED, "others have named NUMA nodes")
            try:
                record = self._keep(container, text)
            except OSError as error:
                return self._outcome(container, Answer.REFUSED, f"no journal: {error}")
            answer = cgroup.write(KIND, text)
            if answer is Answer.DONE:
                self._held[container.key] = _Held(record, container)
            else:
                self._journal.drop(record.name)
            return self._outcome(container, answer, f"bound to {text}")

    def end(self, container: Container) -> Outcome | None:
        """Name none again; None where it is not bound."""
        held = self._held.get(container.key)
        return None if held is None else self._end(held)

    def end_all(self) -> list[Outcome]:
        """End every binding, as at exit."""
        return [self._end(each) for each in list(self._held.values())]

    def _keep(self, container: Container, text: str) -> Record:
        subject: dict[str, str | int] = {
            "path": container.path,
            "inode": container.cgroup_inode,
            "container_id": container.container_id,
        }
        name = f"mems-{container.cgroup_inode}-{container.container_id[:13]}"
        record = Record(name, KIND, self._boot_id, subject, "", (text,))
        self._journal.put(record)
        return record

    def _end(self, held: _Held) -> Outcome:
        answer = undo(self._fs, held.record)
        if answer in (Answer.DONE, Answer.GONE, Answer.REFUSED):
            self._drop(held)
        return self._outcome(held.container, answer, "let go")

    def _drop(self, held: _Held) -> None:
        self._held.pop(held.container.key, None)
        self._journal.drop(held.record.name)

    def _outcome(self, container: Container, answer: Answer, detail: str = "") -> Outcome:
        return Outcome(ActionKind.BIND, container.container_id, answer, Effect(), None, detail)


def undo(fs: KernelFs, record: Record) -> Answer:
    """Empty the file; REFUSED where another has written it meanwhile, GONE with its cgroup."""
    wrote = [_parsed(each) for each in record.wrote]
    return put_back(fs, record, KIND, lambda stands: _parsed(stands) in wrote, NOBODYS)


def _named(cgroup: KernelDirectory) -> frozenset[int] | Absence | None:
    """The NUMA nodes that stand there; None where they cannot be read, for then they are not ours."""
    text = cgroup.read(KIND)
    return text if isinstance(text, Absence) else _parsed(text)


def _parsed(text: str) -> frozenset[int] | None:
    try:
        return frozenset(parse_node_list(text))
    except FormatError:
        return None
