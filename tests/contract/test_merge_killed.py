"""An operator killed with SIGKILL in the middle of a merge: a real process, a real file, a real redis-server.

The process is stopped at every step in turn at which it writes (before and after each, inside a transaction
of the file and between the two commands that Redis gets), killed there, and started again with the same file.
Agents say again what nobody answered. In the end everything must be as if nothing had happened: the same
words, the same model on trial, in the file and in Redis, and both sound.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from builders.killable import operators
from builders.merging_operator import KEY, NODES, Mergers
from builders.redis_server import MISSING, RedisServer, binaries, redis_server
from plimsoll.store.care import check
from plimsoll.store.content import decode
from plimsoll.store.contributions import read
from plimsoll.store.memory import open_memory
from plimsoll.store.record import Address
from plimsoll.store.releasing import release_of
from plimsoll.store.shared_kinds import PAGES, page_prior

pytestmark = pytest.mark.skipif(binaries() is None, reason=MISSING)

NOW = 1_800_000_000.0
ROUNDS = ([(name, 1) for name in NODES[:2]], [(name, 2) for name in NODES])  # kept; then merged
SETTLED = 200.0  # seconds after which what was sent is read back, and a Redis that failed is asked again


class Found:
    """What a store of one's own finds, in Redis or in a file."""

    def __init__(self, path: Path, url: str = "") -> None:
        memory = open_memory(str(path), url)
        try:
            entry = memory.tiers.retrieve(Address(PAGES, KEY), NOW + 1e4)
            self.words = {name: each.sequence for name, each in read(decode(entry.content)).items()}
            self.release = release_of(memory, PAGES, KEY, page_prior(), NOW + 1e4)
            self.problems = check(memory.tiers, None, NOW + 1e4)
            self.waiting = memory.tiers.file.counts()["pending"]
        finally:
            memory.close()

    def same(self, other: "Found") -> bool:
        """The same words, the same generation, the same numbers."""
        return (
            self.words == other.words
            and self.release.generation == other.release.generation
            and np.array_equal(self.release.current, other.release.current)
            and np.array_equal(self.release.candidate, other.release.candidate)
        )


@pytest.fixture
def server(tmp_path):
    with redis_server(tmp_path / "redis") as made:
        yield made


@dataclass
class Kills:
    """Operators on a Redis; each kill has a file, and a prefix in Redis, of its own."""

    directory: Path
    server: RedisServer
    operators: Mergers

    def undisturbed(self) -> tuple[Found, range]:
        """What becomes of both rounds, and which steps are those of the second."""
        path, url = self._of("calm")
        self.operators.start(path, url)
        first = self.operators.round(ROUNDS[0], NOW)
        last = self.operators.round(ROUNDS[1], NOW + 60)
        self.operators.round([], NOW + 60 + SETTLED)
        self.operators.end()
        return Found(path), range(first + 1, last + 1)

    def at(self, step: int, expected: Found) -> tuple[str, int]:
        """One kill and what comes after it; returns at which step it was, and how many words are missing."""
        path, url = self._of(f"step{step}")
        self.operators.start(path, url, stop_at=step)
        self.operators.round(ROUNDS[0], NOW)
        self.operators.begin(ROUNDS[1], NOW + 60)
        name = self.operators.reach(step)
        self.operators.kill()
        left = Found(path)
        assert left.problems == [], f"{name}: the file is sound as it was left"
        assert left.words.keys() >= dict(ROUNDS[0]).keys(), f"{name}: what was kept before is there"
        self.operators.start(path, url)
        self.operators.round(ROUNDS[1], NOW + 60)  # not answered, so said again
        self.operators.round([], NOW + 60 + SETTLED)
        self.operators.round([], NOW + 60 + 2 * SETTLED)
        self.operators.end()
        after, shared = Found(path), Found(self.directory / f"another-{step}.db", url)
        assert after.same(expected), name
        assert shared.same(expected), name
        assert (after.problems, shared.problems, after.waiting) == ([], [], 0), name
        return name, len(expected.words) - len(shared.words)

    def _of(self, name: str) -> tuple[Path, str]:
        return self.directory / f"{name}.db", f"{self.server.url}?prefix={name}&timeout=10"


def test_an_operator_killed_at_any_step_of_a_merge_leaves_what_an_undisturbed_one_does(
    tmp_path, server, counted
):
    with operators("builders.merging_operator") as made:
        kills = Kills(tmp_path, server, Mergers(made))
        expected, steps = kills.undisturbed()
        assert expected.release.candidate is not None
        assert expected.words == dict.fromkeys(NODES, 2)
        killed = [kills.at(step, expected) for step in steps]
    names = {name for name, _ in killed}
    assert {"before keep", "after _write", "after keep", "after _hold", "after _set", "after mark"} <= names
    lost = sum(missing for _, missing in killed)
    assert lost == 0
    counted(
        "the operator killed (SIGKILL) in the middle of a merge",
        injected=len(steps), survived=len(killed), lost=lost,
        of=len(killed) * len(NODES), what="nodes' words",
    )  # fmt: skip
