"""Burst leases: asked in time, granted within headroom, ended by themselves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plimsoll.coordinate.burst import BurstSettings, BurstWatch
from plimsoll.coordinate.lease import (
    Granted,
    LeaseAsk,
    LeaseBook,
    LeaseSettings,
    Lent,
    Refused,
    headroom_bytes,
)

MIB = 1 << 20
GIB = 1 << 30


def ask(
    number: int = 1, *, limit=100, wanted=50, ceiling=None, headroom=1000, name="app", read=None
) -> LeaseAsk:
    sized = [None if each is None else each * MIB for each in (limit, ceiling, headroom, read)]
    return LeaseAsk(number, ("pod", name), "node-a", wanted * MIB, *sized)


def befores(lent):
    return {each.uid: each.before_bytes for each in lent}


def test_a_lease_raises_the_limit_and_ends_by_itself():
    book = LeaseBook()
    granted = book.decide(ask(), 10.0)
    assert granted == Granted(1, 150 * MIB, 310.0)
    assert book.holds(("pod", "app"), 309.0)
    assert befores(book.expired(309.0)) == {}
    assert befores(book.expired(310.0)) == {("pod", "app"): 100 * MIB}
    assert len(book) == 0


def test_the_same_request_heard_twice_has_the_same_answer():
    book = LeaseBook()
    first = book.decide(ask(), 10.0)
    assert book.decide(ask(limit=150), 20.0) is first
    assert book.unused_bytes("node-a", {}) == 50 * MIB


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(100, 300), st.integers(0, 600))
def test_a_successor_that_hears_a_request_again_raises_nothing_more(wanted, ceiling, headroom):
    """It knows neither the answer nor the lease, and finds the limit raised."""
    asked = {"wanted": wanted, "ceiling": ceiling, "headroom": headroom, "read": 100}
    first = LeaseBook().decide(ask(**asked), 10.0)
    in_force = first.limit_bytes // MIB if isinstance(first, Granted) else 100
    again = LeaseBook().decide(ask(**asked, limit=in_force), 20.0)
    assert isinstance(again, Granted) == isinstance(first, Granted)
    if isinstance(again, Granted):
        assert again.limit_bytes == in_force * MIB


def test_who_asks_while_a_raise_is_on_its_way_has_that_raise():
    book = LeaseBook()
    assert book.decide(ask(1, wanted=50, read=100), 10.0) == Granted(1, 150 * MIB, 310.0)
    assert book.decide(ask(2, wanted=40, limit=150, read=100), 13.0) == Granted(2, 150 * MIB, 313.0)
    more = book.decide(ask(3, wanted=70, limit=150, read=100), 14.0)
    assert more == Granted(3, 170 * MIB, 314.0)
    assert befores(book.expired(400.0)) == {("pod", "app"): 100 * MIB}


def test_a_reading_above_the_limit_in_force_is_not_believed():
    assert LeaseBook().decide(ask(read=10_000), 0.0) == Granted(1, 150 * MIB, 300.0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"headroom": 30}, 130),
        ({"ceiling": 120}, 120),
        ({"wanted": 500}, 200),  # at most doubled
        ({"headroom": None}, "headroom is not known"),
        ({"limit": None}, "limit is not known"),
        ({"headroom": 5}, "there is room for 5.0 MiB, wanted 50.0 MiB"),
        ({"headroom": -5}, "there is room for 0.0 MiB"),
        ({"ceiling": 90}, "there is room for 0.0 MiB"),
    ],
)
def test_a_lease_is_what_node_policy_and_its_own_bound_leave(changes, expected):
    answer = LeaseBook().decide(ask(**changes), 0.0)
    if isinstance(expected, int):
        assert isinstance(answer, Granted)
        assert answer.limit_bytes == expected * MIB
    else:
        assert isinstance(answer, Refused)
        assert expected in answer.reason


def test_a_lease_is_renewed_from_the_limit_before_the_first():
    book = LeaseBook()
    book.decide(ask(1), 0.0)
    again = book.decide(ask(2, limit=150, wanted=100), 10.0)
    assert again == Granted(2, 200 * MIB, 310.0)
    assert isinstance(book.decide(ask(3, limit=200), 20.0), Refused)  # doubled already
    assert befores(book.expired(400.0)) == {("pod", "app"): 100 * MIB}


def test_a_container_that_asks_all_the_time_needs_another_limit():
    book = LeaseBook(LeaseSettings(per_hour=2, lasts_seconds=1.0))
    answers = [book.decide(ask(number), number * 10.0) for number in range(1, 4)]
    assert [isinstance(each, Granted) for each in answers] == [True, True, False]
    book.expired(4000.0)
    assert isinstance(book.decide(ask(4), 4000.0), Granted)


def test_a_grant_that_could_not_be_written_is_no_lease():
    book = LeaseBook()
    book.decide(ask(), 0.0)
    refused = book.refuted(("pod", "app"), 1, "ResourceQuota")
    assert (book.decide(ask(), 1.0), book.unused_bytes("node-a", {})) == (refused, 0)


def test_a_second_grant_that_could_not_be_written_leaves_the_first_as_it_was():
    book, uid = LeaseBook(), ("pod", "app")
    first = book.decide(ask(1), 0.0)
    assert book.wrote(uid, first, 150 * MIB) == first
    book.decide(ask(2, limit=150, wanted=40), 10.0)
    assert book.unused_bytes("node-a", {}) == 90 * MIB, "while it is on its way its room is taken"
    book.refuted(uid, 2, "ResizeUnderWay")
    assert (book.holds(uid, 299.0), book.unused_bytes("node-a", {})) == (True, 50 * MIB)
    assert book.limit(uid) == 150 * MIB
    assert befores(book.expired(300.0)) == {uid: 100 * MIB}


def test_a_written_lease_is_not_refuted_by_its_own_request_heard_again():
    book, uid = LeaseBook(), ("pod", "app")
    book.wrote(uid, book.decide(ask(1), 0.0), 150 * MIB)
    book.refuted(uid, 1, "Paused")
    assert book.holds(uid, 299.0)


def test_a_grant_takes_no_more_room_than_the_guards_let_through():
    book, uid = LeaseBook(), ("pod", "app")
    granted = book.decide(ask(1), 0.0)
    assert book.wrote(uid, granted, 120 * MIB) == Granted(1, 120 * MIB, 300.0)
    assert (book.unused_bytes("node-a", {}), book.limit(uid)) == (20 * MIB, 120 * MIB)
    assert book.decide(ask(1), 1.0) == Granted(1, 120 * MIB, 300.0)


def test_a_grant_that_could_not_be_written_counts_for_no_hour():
    book = LeaseBook(LeaseSettings(per_hour=2))
    for number in range(5):
        assert isinstance(book.decide(ask(number), float(number)), Granted)
        book.refuted(("pod", "app"), number, "ResizeUnderWay")


def test_a_request_that_is_heard_again_after_its_lease_has_ended_is_refused():
    book = LeaseBook()
    book.wrote(("pod", "app"), book.decide(ask(1), 0.0), 150 * MIB)
    assert book.decide(ask(1), 300.0) == Refused(1, "this lease has ended")


def test_a_container_is_lent_room_twenty_times_an_hour_and_no_more():
    """With the settings that are shipped, one lease after the other."""
    book, answers = LeaseBook(), []
    for number in range(1, 23):
        now = number * 150.0
        book.expired(now)
        answers.append(isinstance(book.decide(ask(number), now), Granted))
    assert answers == [True] * 20 + [False] * 2
    later = 150.0 + 3600.0  # after the first
    book.expired(later)
    assert isinstance(book.decide(ask(23), later + 1.0), Granted)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 400), st.sampled_from("abcde"), st.floats(0.0, 1.0)), max_size=30
    ),
    st.integers(0, 600),
)  # fmt: skip
def test_what_is_lent_on_a_node_is_there_whoever_takes_how_much_of_it_when(asks, available_mib):
    """Each takes a part of what it was lent; what is left is never less than what may still be taken."""
    book, available = LeaseBook(), available_mib * MIB
    limits, used = dict.fromkeys("abcde", 100), {("pod", name): 100.0 * MIB for name in "abcde"}
    for number, (wanted, name, share) in enumerate(asks):
        left = (available - book.unused_bytes("node-a", used)) / MIB
        answer = book.decide(
            ask(number, limit=limits[name], wanted=wanted, headroom=int(left), name=name), 1.0
        )
        if isinstance(answer, Granted):
            limits[name] = answer.limit_bytes // MIB
        taken = int(share * (limits[name] * MIB - used["pod", name]))
        used["pod", name] += taken
        available -= taken
        assert book.unused_bytes("node-a", used) <= available
    assert all(limit <= 200 for limit in limits.values())


def test_headroom_is_unknown_where_one_forecast_is():
    settings = LeaseSettings(reserve_fraction=0.1)
    assert headroom_bytes(10 * GIB, [GIB, 2.0 * GIB], settings) == 6 * GIB
    assert headroom_bytes(10 * GIB, [GIB, None], settings) is None
    assert headroom_bytes(None, [], settings) is None


def burst(rate_mib: float, *, start=100.0, limit=500, seconds=20.0, every=0.25) -> tuple:
    """A container that allocates at an even rate; returns the first ask and when it came."""
    watch, at = BurstWatch(), 0.0
    while at < seconds:
        usage = int((start + rate_mib * at) * MIB)
        made = watch.see("app", at, min(usage, limit * MIB), limit * MIB)
        if made is not None:
            return made, at
        at += every
    return None, at


@pytest.mark.parametrize("rate_mib", [20, 50, 100])
def test_a_burst_is_asked_for_six_seconds_before_it_meets_its_limit_or_at_once(rate_mib):
    made, at = burst(rate_mib)
    meets = 400 / rate_mib
    assert made.limit_reached_seconds == pytest.approx(meets - at, abs=0.3)
    assert at == pytest.approx(max(0.25, meets - 6.0), abs=0.3)
    assert made.wanted_bytes == pytest.approx(min(rate_mib * 15, 500) * MIB, rel=0.02)


def test_slow_growth_and_calm_ask_for_nothing():
    assert burst(1.0)[0] is None
    assert burst(0.0, start=499)[0] is None


def test_a_container_asks_again_only_after_a_while_or_when_its_limit_has_risen():
    watch = BurstWatch(BurstSettings(again_seconds=3.0))
    made = [
        watch.see("app", at * 0.5, (400 + 25 * at) * MIB, (500 if at < 6 else 800) * MIB) is not None
        for at in range(9)
    ]
    assert made[1]
    assert sum(made[:6]) == 1
    assert any(made[6:])


def test_a_clock_that_leaps_back_is_no_growth():
    watch = BurstWatch()
    watch.see("app", 100.0, 10 * MIB, 500 * MIB)
    assert watch.see("app", 50.0, 490 * MIB, 500 * MIB) is None
    watch.keep_only(frozenset())
    assert watch.limit_reached_seconds("app") is None


def test_a_predecessors_lease_goes_on_and_ends_where_it_began():
    granting, taking_over = LeaseBook(), LeaseBook()
    assert isinstance(granting.decide(ask(), 10.0), Granted)
    (lent,) = granting.standing()
    taking_over.restore(lent, "node-a", 200.0)
    assert taking_over.holds(lent.uid, 309.0)
    assert taking_over.unused_bytes("node-a", {}) == 50 * MIB, "nobody else may have it meanwhile"
    assert taking_over.expired(309.0) == []
    assert taking_over.expired(310.0) == [lent]


def test_a_predecessors_lease_that_is_over_lasts_until_there_can_be_a_forecast():
    book = LeaseBook()
    book.restore(Lent(("pod", "app"), 100 * MIB, 150 * MIB, 10.0), "node-a", 500.0)
    assert book.holds(("pod", "app"), 499.0)
    assert befores(book.expired(500.0)) == {("pod", "app"): 100 * MIB}


def test_a_lease_that_was_granted_before_the_predecessors_was_known_ends_where_that_began():
    book = LeaseBook()
    assert isinstance(book.decide(ask(limit=150, read=150), 10.0), Granted)
    book.restore(Lent(("pod", "app"), 100 * MIB, 150 * MIB, 20.0), "node-a", 20.0)
    assert befores(book.expired(310.0)) == {("pod", "app"): 100 * MIB}
