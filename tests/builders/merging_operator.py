"""The part of an operator that merges what nodes have learned, as a process that can be killed in the middle.

In: a file, a Redis, at which step to stand still (0: at none); for each round the words of nodes, the time.
Out: a line for each step of writing, and one when a round is over. `Sharing`, the memory, the file and Redis
are the operator's own; a step is a call that changes a file or Redis, before and after it, so within a
transaction as well.
"""

from collections.abc import Sequence
from pathlib import Path

from builders.killable import Operators, Stepped, one_after_the_other, told
from plimsoll.coordinate.messages import ModelDelta
from plimsoll.pages.survival import prior_hazard
from plimsoll.store.contributions import Contribution
from plimsoll.store.letters import SCHEMA, Delta, delta_payload
from plimsoll.store.levels.file import FileLevel
from plimsoll.store.levels.shared import SharedLevel
from plimsoll.store.memory import open_memory
from plimsoll.store.shared_kinds import PAGES, page_vector
from plimsoll_operator.coordinate.sharing import Sharing
from plimsoll_operator.serve.metrics import Metrics

KEY = "example.org/redis redis"
NODES = tuple(f"n{number}" for number in range(5))
STEPS = (
    (FileLevel, "keep"),
    (FileLevel, "_write"),
    (FileLevel, "mark"),
    (SharedLevel, "put"),
    (SharedLevel, "_hold"),
    (SharedLevel, "_set"),
)


def word(kube_node: str, sequence: int, now_seconds: float) -> ModelDelta:
    """What a node has learned by its `sequence`th word: another model for each node and word."""
    factor = 1.5 + 0.1 * NODES.index(kube_node) + 0.01 * sequence
    said = Contribution(sequence, 50, now_seconds, page_vector(prior_hazard() * factor))
    return ModelDelta("", PAGES, KEY, SCHEMA, "", 1, delta_payload(Delta(said)))


async def operate(stepped: Stepped, path: str, url: str) -> None:
    """Rounds, until somebody says that it is enough."""
    memory, now = open_memory(path, url), [0.0]
    sharing = Sharing(memory, Metrics("test"), lambda *_: True, lambda _: frozenset({KEY}), lambda: now[0])
    sharing.forget(frozenset(NODES))
    stepped.watch(STEPS)
    while said := told():
        now[0] = said["now"]
        for kube_node, sequence in said["words"]:
            sharing.hear(kube_node, word(kube_node, sequence, now[0]), now[0])
        await sharing.round()
        memory.send(now[0])
        print(f"done {stepped.done}", flush=True)
    memory.close()


class Mergers:
    """Such operators on files and Redis, seen from the test."""

    def __init__(self, operators: Operators) -> None:
        self._operators = operators
        self.reach, self.kill = operators.reach, operators.kill

    def start(self, path: Path, url: str, stop_at: int = 0) -> None:
        """A new operator on this file and this Redis."""
        self._operators.start(str(path), url, stop_at=stop_at)

    def begin(self, words: Sequence[tuple[str, int]], now_seconds: float) -> None:
        """Let it have a round."""
        self._operators.tell({"words": words, "now": now_seconds})

    def round(self, words: Sequence[tuple[str, int]], now_seconds: float) -> int:
        """A whole round; returns the steps so far."""
        self.begin(words, now_seconds)
        return self._operators.done()

    def end(self) -> None:
        """Let it close its memory and go."""
        self._operators.tell(None)
        self._operators.gone()


if __name__ == "__main__":
    one_after_the_other(operate)
