"""In: incidents, told once or again. Out: one record of each, as many as there is room for."""

import fakeredis
import pytest

from builders.learned import shared_memory
from builders.store import NOW
from plimsoll.store import incidents
from plimsoll.store.forgetting import forget
from plimsoll.store.incidents import KEPT_SECONDS, MOST_OF_ONE, Incident, IncidentBook, incident_of
from plimsoll.store.memory import open_memory

WEB = "demo/Deployment/web:app"
DAY = 86_400.0


def kill(at=NOW, whose=WEB, pod="web-1", done="its limit went from 1 GiB to 1.5 GiB", **more):
    names = frozenset({pod}), frozenset({f"node-of-{pod}"})
    return Incident("oom-kill", whose, at, "the kernel killed it", done, *names, **more)


def held(memory):
    return {record.address.key: said["text"] for record, said in memory.documents("incident")}


def outcomes(book, *told, now=NOW):
    return {outcome: count for (_, outcome), count in book.record(told, now).items()}


def test_what_went_wrong_is_a_record_of_that_moment():
    memory = open_memory()
    assert outcomes(IncidentBook(memory), kill(NOW - 60), now=NOW) == {"recorded": 1}
    ((key, text),) = held(memory).items()
    assert key == f"{WEB} oom-kill 2023-11-14T22:12:20Z"
    assert text == "oom-kill: the kernel killed it (web-1); its limit went from 1 GiB to 1.5 GiB"
    (record,) = memory.tiers.records("incident")
    assert record.provenance.made_seconds == NOW - 60, "clean and analyze go by when it happened"
    assert record.provenance.kube_nodes == ("node-of-web-1",)
    (back,) = memory.incidents(NOW - 60)
    assert back == kill(NOW - 60)
    assert memory.incidents(NOW - 59) == []


@pytest.mark.parametrize("again", ["the same process", "after a restart"])
def test_told_again_it_is_the_same_record(again):
    memory = open_memory()
    book = IncidentBook(memory)
    book.record([kill()], NOW)
    before = [*memory.tiers.records("incident")]
    book = book if again == "the same process" else IncidentBook(memory)
    assert outcomes(book, kill(done="held: Cooldown"), kill(done=""), now=NOW + 60) == {"known": 2}
    assert [*memory.tiers.records("incident")] == before, "what was known first of what was done stands"


def test_another_pod_in_the_same_second_joins():
    memory = open_memory()
    book = IncidentBook(memory)
    assert outcomes(book, kill(), kill(pod="web-2")) == {"recorded": 1, "joined": 1}
    (text,) = held(memory).values()
    assert "(web-1, web-2)" in text


def test_another_leader_that_saw_the_same_adds_nothing():
    server = fakeredis.FakeServer()
    one, other = shared_memory(server), shared_memory(server)
    IncidentBook(one).record([kill()], NOW)
    one.send(NOW)
    assert outcomes(IncidentBook(other), kill(done="")) == {"known": 1}
    assert held(other) == held(one)


def test_what_has_no_exact_moment_is_not_told_anew_for_a_while():
    server = fakeredis.FakeServer()
    one, other = shared_memory(server), shared_memory(server)
    leak = Incident("leak", WEB, NOW, "it grows", quiet_seconds=DAY)
    IncidentBook(one).record([leak], NOW)
    one.send(NOW)
    later = Incident("leak", WEB, NOW + 7200, "it grows", quiet_seconds=DAY)
    assert outcomes(IncidentBook(other), later, now=NOW + 7200) == {"known": 1}, "it looked into Redis"
    much_later = Incident("leak", WEB, NOW + DAY, "it grows", quiet_seconds=DAY)
    assert outcomes(IncidentBook(other), much_later, now=NOW + DAY) == {"recorded": 1}


@pytest.mark.parametrize("pattern", ["demo/*", f"{WEB}*", "incident *"])
def test_what_was_forgotten_is_not_told_again(pattern):
    memory = open_memory()
    IncidentBook(memory).record([kill()], NOW)
    assert forget(memory.tiers, None, pattern, NOW).proven
    assert outcomes(IncidentBook(memory), kill(), now=NOW + 60) == {"forgotten": 1}
    assert held(memory) == {}


def test_what_was_forgotten_by_redis_is_not_told_again():
    server = fakeredis.FakeServer()
    one, other = shared_memory(server), shared_memory(server)
    IncidentBook(one).record([kill()], NOW)
    one.send(NOW)
    forget(one.tiers, None, "demo/*", NOW)
    assert outcomes(IncidentBook(other), kill(), now=NOW + 60) == {"forgotten": 1}


def test_the_newest_of_one_container_and_kind_stay():
    memory = open_memory()
    book = IncidentBook(memory)
    for minute in range(3 * MOST_OF_ONE):
        book.record([kill(NOW + 60 * minute)], NOW + 60 * minute)
    book.record([kill(NOW, "demo/Deployment/api:app")], NOW + 3600)
    mine = [each for each in memory.incidents(0.0) if each.whose == WEB]
    assert [each.at_seconds for each in mine] == [
        NOW + 60 * minute for minute in reversed(range(2 * MOST_OF_ONE, 3 * MOST_OF_ONE))
    ]
    assert len(held(memory)) == MOST_OF_ONE + 1
    assert outcomes(IncidentBook(memory), kill(NOW), now=NOW + 3600) == {"forgotten": 1}, "nor does it return"


def test_of_all_the_newest_stay(monkeypatch):
    monkeypatch.setattr(incidents, "MOST", 5)
    memory = open_memory()
    book = IncidentBook(memory)
    for number in range(12):
        book.record([kill(NOW + number, f"demo/Deployment/w{number:02}:app")], NOW + 60)
    assert [each.whose[-6:-4] for each in memory.incidents(0.0)] == ["11", "10", "09", "08", "07"]


def test_what_is_old_goes_from_the_file_and_from_redis_whoever_wrote_it():
    server = fakeredis.FakeServer()
    one, other = shared_memory(server), shared_memory(server)
    IncidentBook(one).record([kill(), kill(NOW + DAY)], NOW + DAY)
    one.send(NOW)
    later = NOW + KEPT_SECONDS + 60
    assert IncidentBook(other).tidy(later) == 1
    other.send(later)
    third = shared_memory(server)
    assert third.gather(later + 60) == ""
    assert [each.at_seconds for each in third.incidents(0.0)] == [NOW + DAY]


def test_a_word_of_somebody_else_acts_on_no_terminal_and_is_not_without_end():
    told = Incident("leak", WEB, NOW, "it \x1b[2Jgrows\n" + 5000 * "x", "a\tb")
    said = told.document()
    assert said["text"].isprintable()
    assert said["text"].startswith("leak: it  [2Jgrows xxx")
    assert said["text"].endswith("x; a b")
    assert len(said["text"]) < 700


def test_nothing_is_recorded_while_learning_is_off():
    memory = open_memory()
    memory.set_learning(NOW, enabled=False)
    assert outcomes(IncidentBook(memory), kill()) == {"off": 1}
    assert held(memory) == {}


@pytest.mark.parametrize(
    "unsound",
    [
        kill(whose="a" * 600),
        kill(whose="line\nbreak"),
        kill(NOW + 7200),
        kill(NOW - KEPT_SECONDS - 60),
        kill(0.0),
        kill(float("nan")),
    ],
)
def test_what_can_be_no_record_keeps_no_other_from_it(unsound):
    memory = open_memory()
    assert outcomes(IncidentBook(memory), unsound, kill()) == {"unsound": 1, "recorded": 1}


def test_what_a_person_wrote_is_left_alone():
    memory = open_memory()
    memory.store("incident", "demo/Deployment/web", {"text": "killed twice after the release"}, NOW)
    memory.store("incident", kill().key, {"text": "seen by me"}, NOW)
    assert outcomes(IncidentBook(memory), kill()) == {"known": 1}
    assert set(held(memory).values()) == {"killed twice after the release", "seen by me"}
    assert memory.incidents(0.0) == []
    assert incident_of({"text": "only"}) is None


def test_incidents_are_searched_analyzed_and_suggested():
    memory = open_memory()
    IncidentBook(memory).record([kill(), kill(NOW - DAY)], NOW)
    assert memory.search("crash")[0].name.startswith(f"incident {WEB} oom-kill")
    assert memory.analyze(NOW, 3600).incidents == {"oom-kill": 1}
    assert memory.analyze(NOW, 2 * DAY).lately == {"incident": 2}
