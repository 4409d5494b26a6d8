"""Whoever erases from snapshots is killed before, within and after each step.

Nothing else is lost, what was to go cannot be read once it is asked again, and no proof is given before.
"""

import fsspec
import pytest

from builders.store import NOW, address, entry
from plimsoll.store.levels.snapshots import Snapshots
from plimsoll.store.record import DamagedError

STEPS = ("makedirs", "pipe_file", "mv", "rm_file", "rm")
OTHERS = ["three", "two"]


class Killed(BaseException):
    """As SIGKILL: nothing behind it runs."""


class Dying:
    """A file system whose process dies at step `at`: before it, after it, or half way through a write."""

    def __init__(self, files, at: int, when: str) -> None:
        self._files, self._left, self._when = files, at, when

    def __getattr__(self, name):
        act = getattr(self._files, name)
        if name not in STEPS:
            return act

        def step(*args, **settings):
            self._left -= 1
            if self._left:
                return act(*args, **settings)
            if self._when == "after":
                act(*args, **settings)
            elif self._when == "within" and name == "pipe_file":
                act(args[0], args[1][: len(args[1]) // 2])
            raise Killed

        return step


def store_at(url: str) -> Snapshots:
    files, root = fsspec.core.url_to_fs(url)
    if files.exists(root):
        files.rm(root, recursive=True)
    snapshots = Snapshots(url)
    for _ in range(2):
        snapshots.write([entry("one"), entry("two"), entry("three")], NOW)
    return snapshots


def keys(snapshots: Snapshots, number: int) -> list[str]:
    return sorted(each.record.address.key for each in snapshots.read(number))


def steps_of_an_erasing(url: str) -> int:
    snapshots = store_at(url)
    dying = Dying(snapshots._files, 10_000, "before")
    snapshots._files = dying
    assert snapshots.erase([address("one")]) == 2
    return 10_000 - dying._left


@pytest.mark.parametrize("where", ["directory", "object store"])
@pytest.mark.parametrize("when", ["before", "within", "after"])
def test_an_erasing_that_is_killed_at_any_step_loses_nothing_else_and_is_finished(tmp_path, where, when):
    url = str(tmp_path / "s") if where == "directory" else "memory://plimsoll-killed"
    steps = steps_of_an_erasing(url)
    assert steps >= 8, "two snapshots, each written, put in force and cleared"
    survived = 0
    for at in range(1, steps + 1):
        gone = entry("one").record.digest
        snapshots = store_at(url)
        snapshots._files = Dying(snapshots._files, at, when)
        with pytest.raises(Killed):
            snapshots.erase([address("one")])

        again = Snapshots(url)
        assert [each.number for each in again.all()] == [2, 1]
        assert again.unsound() == {}
        for number in (1, 2):
            assert keys(again, number) in (OTHERS, ["one", *OTHERS])
        try:
            traces = again.traces_of([address("one")], [gone])
        except DamagedError:
            traces = -1
        finished = when == "after" and at == steps
        assert (traces == 0) is finished, "no proof before it is gone"

        again.erase([address("one")])

        assert [keys(again, number) for number in (1, 2)] == [OTHERS, OTHERS]
        assert again.traces_of([address("one")], [gone]) == 0
        survived += 1
    assert survived == steps


def test_what_a_killed_erasing_left_goes_with_the_next_snapshot_too(tmp_path):
    url = str(tmp_path / "s")
    steps = steps_of_an_erasing(url)
    snapshots = store_at(url)
    snapshots._files = Dying(snapshots._files, steps, "before")
    with pytest.raises(Killed):
        snapshots.erase([address("one")])
    again = Snapshots(url)
    with pytest.raises(DamagedError, match="forget again"):
        again.traces_of([address("one")], [entry("one").record.digest])

    again.write([entry("two")], NOW + 1)

    assert again.traces_of([address("one")], [entry("one").record.digest]) == 0


@pytest.mark.parametrize("name", ["../../x", "manifest.json", "..", 7])
def test_a_manifest_that_names_a_file_elsewhere_is_unsound(tmp_path, name):
    snapshots = store_at(str(tmp_path / "s"))
    snapshots.erase([address("one")])
    manifest = tmp_path / "s" / "000002" / "manifest.json"
    said = manifest.read_text().replace(f'"{snapshots.all()[0].data}"', repr(name).replace("'", '"'))
    manifest.write_text(said)
    assert list(snapshots.unsound()) == [2]
