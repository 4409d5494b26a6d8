"""Who is bound to NUMA nodes: whose memory is there, whose CPUs stay, and who has room."""

import numpy as np
import pytest

from plimsoll.placement.numa import FIRST_PAUSE_SECONDS, TRIAL_SECONDS, NumaContainer, NumaMachine
from plimsoll.placement.numa_bind import STEADY_SECONDS, NumaBindings

GIB = 2.0**30
NOW = 1000.0


def machine(*free, total=8.0):
    return NumaMachine(np.full(len(free), total * GIB), np.array(free) * GIB)


def container(on=(0.0, 2.0), spent=(0.0, 10.0), steady=STEADY_SECONDS, bound=False, file=(0.0, 0.0)):
    return NumaContainer(np.array(on) * GIB, np.array(spent), 1.0, steady, bound, np.array(file) * GIB)


def decided(bindings=None, *, free=(4.0, 4.0), most=3.0, stall=0.0, now=NOW, **fields):
    bindings = bindings or NumaBindings()
    return bindings.decide("c", machine(*free), container(**fields), most * GIB, stall, now)


def test_memory_that_is_where_its_cpus_have_stayed_is_bound_there():
    assert decided() == (1,)


@pytest.mark.parametrize(
    "fields",
    [
        {"bound": True},
        {"steady": STEADY_SECONDS - 1},
        {"on": (1.0, 1.0)},  # it has not been moved yet
        {"spent": (5.0, 5.0), "on": (1.0, 1.0)},  # it runs everywhere: there is nothing to bind
        {"spent": (0.0, 0.0)},
        {"on": (0.0, 0.0)},
        {"most": np.inf},
        {"most": 7.0},  # five more than it has; four are free
        {"free": (4.0, 1.3)},  # the one that it may take beside the reserve of 0.4
    ],
)
def test_nobody_is_bound_by_others_on_the_move_or_without_room(fields):
    assert decided(**fields) == ()


def test_its_own_page_cache_is_not_counted_twice_as_room():
    # Of its 2 GiB half a GiB is page cache, which is among the 1.2 that are available, and 0.4 stay free.
    assert decided(free=(4.0, 1.2), most=2.5, file=(0.0, 0.5)) == ()
    assert decided(free=(4.0, 1.2), most=2.5) == (1,)


def test_of_three_numa_nodes_two_may_be_its_own():
    assert decided(free=(4.0, 4.0, 4.0), on=(1.0, 0.0, 1.0), spent=(4.0, 0.2, 6.0), file=(0.0, 0.0, 0.0)) == (
        0,
        2,
    )


def test_it_is_let_go_when_the_room_gets_less_and_bound_again_when_there_is_some():
    bindings = NumaBindings()
    assert decided(bindings) == (1,)
    assert decided(bindings, free=(4.0, 0.5)) == ()
    assert decided(bindings) == (1,)


def test_it_is_let_go_when_its_cpus_leave():
    bindings = NumaBindings()
    assert decided(bindings) == (1,)
    assert decided(bindings, spent=(10.0, 0.0), steady=0.0) == ()


def test_more_stalls_let_it_go_for_a_while_that_doubles():
    bindings, now = NumaBindings(), NOW
    assert decided(bindings, now=now) == (1,)
    assert decided(bindings, stall=0.2, now=now + TRIAL_SECONDS - 1) == (1,)  # too soon to tell
    for pause in (FIRST_PAUSE_SECONDS, 2 * FIRST_PAUSE_SECONDS):
        assert decided(bindings, stall=0.2, now=now + TRIAL_SECONDS) == ()
        now += TRIAL_SECONDS
        assert decided(bindings, now=now + pause - 1) == ()
        now += pause
        assert decided(bindings, now=now) == (1,)


def test_stalls_as_before_are_borne():
    bindings = NumaBindings()
    assert decided(bindings, stall=0.2) == (1,)
    assert decided(bindings, stall=0.22, now=NOW + TRIAL_SECONDS) == (1,)


def test_what_could_not_be_done_is_asked_for_again():
    bindings = NumaBindings()
    assert decided(bindings) == (1,)
    bindings.undone("c")
    assert decided(bindings, bound=True) == ()


def test_who_is_gone_is_forgotten():
    bindings = NumaBindings()
    decided(bindings)
    bindings.forget(frozenset())
    assert decided(bindings, steady=0.0) == ()


def test_the_machine_must_be_the_containers():
    with pytest.raises(ValueError, match="same NUMA nodes"):
        decided(free=(1.0, 1.0, 1.0))
