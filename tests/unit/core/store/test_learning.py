"""In: histories in a memory, a clock. Out: patterns, once an hour, a part at a time, by nobody twice."""

import sqlite3

import fakeredis
import pytest

from builders.learned import past, patterns, shared_memory
from builders.store import NOW, entry
from plimsoll.store import learning
from plimsoll.store.forgetting import forget
from plimsoll.store.learning import EVERY_SECONDS, Pass, last_pass, learn_some
from plimsoll.store.levels.protocol import LevelError
from plimsoll.store.memory import open_memory


def remember(memory, *names, now=NOW, mib=100.0):
    for name in names:
        memory.store("history", f"demo/Deployment/{name}:app", past(mib, now), now, kube_nodes=["n1"])


def whole_pass(memory, now, most=2):
    """Steps of one process until the pass is over; how many histories each of them took."""
    taken, step = [], None
    while step is None or step.left:
        step = learn_some(memory, now, step, most)
        taken.append(step.looked)
    return taken


def test_a_pass_takes_a_part_at_a_time_and_all_of_it_in_the_end():
    memory = open_memory()
    remember(memory, "a", "b", "c", "d", "e")
    assert whole_pass(memory, NOW) == [2, 2, 1]
    assert set(patterns(memory)) == {"a:app", "b:app", "c:app", "d:app", "e:app"}
    done = last_pass(memory, NOW)
    assert (done.looked, done.changed, done.failed, done.ended_seconds) == (5, 5, 0, NOW)
    (record, _), *_ = memory.documents("pattern")
    assert record.provenance.kube_nodes == ("n1",)
    assert record.provenance.samples == 31, "hours that it was seen in"


def test_the_next_pass_is_an_hour_later_and_takes_what_is_new():
    memory = open_memory()
    remember(memory, "a", "b")
    whole_pass(memory, NOW)
    later = NOW + EVERY_SECONDS
    remember(memory, "b", now=later - 60, mib=300.0)
    assert learn_some(memory, later - 60).looked == 0, "within the hour"
    assert learn_some(memory, later).looked == 1
    assert "peak 3147" in patterns(memory)["b:app"]


@pytest.mark.parametrize(("ahead", "looked"), [(600.0, 0), (7200.0, 1)])
def test_a_clock_that_is_a_little_behind_the_last_leaders_learns_nothing_twice(ahead, looked):
    memory = open_memory()
    remember(memory, "a")
    whole_pass(memory, NOW)
    remember(memory, "a", now=NOW + 1, mib=300.0)
    assert learn_some(memory, NOW - ahead).looked == looked


def test_an_hour_that_begins_with_an_empty_memory_is_not_over():
    memory = open_memory()
    assert learn_some(memory, NOW).of is None
    remember(memory, "a")
    assert learn_some(memory, NOW + 30).changed == 1


def test_a_process_that_was_killed_is_followed_by_one_that_goes_on_where_it_was(tmp_path):
    path = str(tmp_path / "m.db")
    first = open_memory(path)
    remember(first, "a", "b", "c", "d", "e")
    assert learn_some(first, NOW, None, 2).looked == 2
    second = open_memory(path)  # the first is never closed
    assert whole_pass(second, NOW + 60) == [2, 1]
    assert last_pass(second, NOW + 60) == Pass(NOW, "demo/Deployment/e:app", NOW + 60, 5, 5)
    assert learn_some(open_memory(path), NOW + 120).looked == 0


def test_another_leader_of_the_same_redis_does_not_learn_the_hour_again():
    server = fakeredis.FakeServer()
    one, other = shared_memory(server), shared_memory(server)
    for memory in (one, other):
        remember(memory, "a", "b")
    whole_pass(one, NOW)
    one.send(NOW)
    assert learn_some(other, NOW + 60).looked == 0
    assert learn_some(other, NOW + EVERY_SECONDS).looked == 2


def test_a_switch_that_another_process_has_turned_is_heeded_at_once(tmp_path):
    path = str(tmp_path / "m.db")
    operator, person = open_memory(path), open_memory(path)
    remember(operator, "a")
    assert operator.learning(NOW)
    for enabled in (False, True):
        person.set_learning(NOW, enabled=enabled)
        assert operator.learning(NOW) is enabled
        assert learn_some(operator, NOW).looked == int(enabled)


def test_one_history_that_cannot_be_learned_keeps_no_other_from_it(monkeypatch):
    memory, real = open_memory(), learning.outlooks
    remember(memory, "a", "bad", "c")

    def fails(histories, now_seconds):
        if any("bad" in key for key in histories):
            raise ZeroDivisionError("of that one")
        return real(histories, now_seconds)

    monkeypatch.setattr(learning, "outlooks", fails)
    whole_pass(memory, NOW)
    done = last_pass(memory, NOW)
    assert set(patterns(memory)) == {"a:app", "c:app"}
    assert (done.looked, done.changed, done.failed) == (3, 2, 1)
    assert done.why == "demo/Deployment/bad:app: ZeroDivisionError: of that one"


def test_a_history_that_fails_is_not_looked_at_again_by_who_goes_on_with_the_pass(tmp_path, monkeypatch):
    path, looked = str(tmp_path / "m.db"), []

    def fails(histories, _):
        looked.extend(histories)
        raise ZeroDivisionError

    monkeypatch.setattr(learning, "outlooks", fails)
    first = open_memory(path)
    remember(first, "a", "b", "c")
    learn_some(first, NOW, None, 2)
    looked.clear()
    whole_pass(open_memory(path), NOW + 60)
    assert set(looked) == {"demo/Deployment/c:app"}
    assert last_pass(first, NOW + 60).failed == 3


def test_a_damaged_history_is_counted(tmp_path):
    memory = open_memory(str(tmp_path / "m.db"))
    remember(memory, "a", mib=100.0)
    remember(memory, "b", mib=200.0)
    (digest,) = {each.digest for each in memory.tiers.records() if "/b:" in each.address.key}
    with sqlite3.connect(tmp_path / "m.db") as db:
        db.execute("DELETE FROM blobs WHERE digest = ?", (digest,))
    db.close()
    assert learn_some(memory, NOW).failed == 1
    assert set(patterns(memory)) == {"a:app"}


def test_a_file_that_fails_is_no_historys_fault_and_the_step_is_made_again(monkeypatch):
    memory = open_memory()
    remember(memory, "a", "b", "c")
    with monkeypatch.context() as broken:
        broken.setattr(memory.tiers.file, "_write", _full)
        with pytest.raises(LevelError):
            learn_some(memory, NOW)
    assert last_pass(memory, NOW) is None
    assert whole_pass(memory, NOW + 30) == [2, 1]


def _full(*_):
    raise sqlite3.OperationalError("database or disk is full")


def test_what_is_forgotten_while_it_is_looked_at_does_not_come_back(monkeypatch):
    memory, real = open_memory(), learning.outlooks
    remember(memory, "a", "b")

    def forgets(histories, now_seconds):
        forget(memory.tiers, None, "demo/Deployment/a:*", now_seconds)
        return real(histories, now_seconds)

    monkeypatch.setattr(learning, "outlooks", forgets)
    whole_pass(memory, NOW)
    assert set(patterns(memory)) == {"b:app"}


def test_where_a_pass_outlasts_its_hour_all_are_learned_all_the_same():
    """Eight a step and ten steps an hour are 80, of 100 that are all written anew twice an hour."""
    memory, now, before = open_memory(), NOW, None
    names = [f"w{number:03d}" for number in range(100)]
    for step in range(30):
        if step % 5 == 0:
            remember(memory, *names, now=now, mib=100.0 + step)
        before = learn_some(memory, now, before, 8)
        now += EVERY_SECONDS / 10
        if step == 9:
            assert len(patterns(memory)) == 80
    assert len(patterns(memory)) == 100
    assert last_pass(memory, now).start, "the pass under way began where the one before had broken off"


def test_a_word_of_a_newer_program_on_its_pass_is_not_guessed_at():
    memory = open_memory()
    memory.store("control", "patterns", {"something": "else"}, NOW)
    assert last_pass(memory, NOW) is None
    memory.tiers.file.keep(entry("demo/Deployment/a:app"), 0)
    assert learn_some(memory, NOW).looked == 1
