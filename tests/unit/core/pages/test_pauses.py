from plimsoll.pages.pauses import DoublingPauses


def pauses():
    return DoublingPauses(first_seconds=10.0, longest_seconds=35.0)


def lengths(made, times, name="c"):
    """Seconds that each of some pauses lasts, begun one after the other."""
    found, now = [], 1000.0
    for _ in range(times):
        made.begin(name, now)
        began = now
        while made.last(name, now):
            now += 1.0
        found.append(now - began)
    return found


def test_each_pause_is_twice_as_long_up_to_the_bound():
    assert lengths(pauses(), 4) == [10.0, 20.0, 35.0, 35.0]


def test_who_did_well_begins_anew_and_a_pause_under_way_lasts():
    made = pauses()
    made.begin("c", 0.0)
    made.forgive("c")
    assert made.last("c", 9.0)
    assert lengths(made, 2) == [10.0, 20.0]


def test_containers_have_their_own_and_those_that_are_gone_are_forgotten():
    made = pauses()
    made.begin("a", 0.0)
    made.begin("b", 0.0)
    made.forget(frozenset({"b"}))
    assert (made.last("a", 1.0), made.last("b", 1.0), made.last("c", 1.0)) == (False, True, False)
    assert lengths(made, 1, "a") == [10.0]
    assert lengths(made, 1, "b") == [20.0]
