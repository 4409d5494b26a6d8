"""A limit below present use: only where an agent tells what is needed, and only once there is room."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from builders.situations import MIB, situation
from plimsoll.guard.bounds import present_use_floor_bytes
from plimsoll.guard.cluster import guard
from plimsoll.guard.state import Ask, Purpose

amounts = st.integers(1, 4096).map(lambda mib: mib * MIB)


def where(limit, used, needed):
    made = situation()
    container = replace(
        made.container,
        limit_bytes=limit,
        request_bytes=16 * MIB,
        usage_bytes=float(used),
        needed_bytes=needed,
    )
    return replace(made, container=container)


def lowered(limit, used, needed, target, purpose=Purpose.FORECAST):
    ask = Ask(target, None, lower_bytes=target, upper_bytes=target, purpose=purpose)
    return guard(ask, where(limit, used, needed))


def test_the_rest_of_what_is_in_use_may_go_once_it_has_gone():
    decision = lowered(1000 * MIB, 950 * MIB, 300.0 * MIB, 600 * MIB)
    assert decision.limit_bytes == 600 * MIB
    assert decision.room_below_bytes == present_use_floor_bytes(950 * MIB)
    assert "only once the rest of what is in use was reclaimed" in decision.message


def test_without_a_word_present_use_is_the_floor():
    decision = lowered(1000 * MIB, 700 * MIB, None, 600 * MIB)
    assert decision.limit_bytes == present_use_floor_bytes(700 * MIB)
    assert decision.room_below_bytes is None


def test_original_resources_are_never_put_back_below_present_use():
    decision = lowered(1000 * MIB, 700 * MIB, 100.0 * MIB, 600 * MIB, Purpose.RESTORE)
    assert decision.limit_bytes == present_use_floor_bytes(700 * MIB)
    assert decision.room_below_bytes is None


@given(limit=amounts, used=amounts, target=amounts, needed=st.none() | amounts.map(float))
def test_no_limit_falls_below_what_is_needed_nor_unmarked_below_what_is_used(limit, used, target, needed):
    decision = lowered(limit, used, needed, target)
    if not decision.acts or decision.limit_bytes >= limit:
        return
    held = used if needed is None else min(needed, used)
    assert decision.limit_bytes >= min(limit, present_use_floor_bytes(held))
    below = decision.limit_bytes < min(limit, present_use_floor_bytes(used))
    assert (decision.room_below_bytes is not None) == below
