from dataclasses import replace

import pytest

from plimsoll.api.effective import Importance
from plimsoll.api.reclaim import ReclaimMode
from plimsoll.pages.control_ahead import ahead
from plimsoll.pages.control_law import ReclaimLaw
from plimsoll.pages.control_types import ContainerReading, Reason, ReclaimPolicy

MIB = 1 << 20
POLICY = ReclaimPolicy(ReclaimMode.COLD, 0.01, 0.01, Importance.LOW)
# Enough is in use to earn something, and a quarter of it has long been idle.
READING = ContainerReading(
    100.0, 4096 * MIB, 0.0, 0.0, 0, 1024 * MIB, 512 * MIB, 3000 * MIB, 1024 * MIB, 200 * MIB
)


def law_after(*readings: ContainerReading) -> ReclaimLaw:
    law = ReclaimLaw(POLICY)
    for each in readings:
        law.step(each)
    return law


def test_ten_minutes_are_foretold_from_two_looks_and_the_law_stays_as_it_was():
    law = law_after(READING, replace(READING, now_seconds=102.0))
    balance, last = law.budget.balance_bytes, law.last_reading
    came = ahead(law, 2000 * MIB, 600.0, 10.0)
    assert 8 * MIB < came.taken_bytes <= 1024 * MIB
    assert (law.budget.balance_bytes, law.last_reading) == (balance, last)
    assert came == ahead(law, 2000 * MIB, 600.0, 10.0)
    assert came.taken_bytes > ahead(law, 2000 * MIB, 120.0, 10.0).taken_bytes


def test_no_more_than_is_cold_and_has_a_place_to_go_to():
    little = replace(READING, cold_bytes=40 * MIB)
    assert 0 < ahead(law_after(little), 2000 * MIB, 7200.0, 10.0).taken_bytes <= 40 * MIB
    nowhere = replace(READING, file_bytes=10 * MIB, swap_room_bytes=6 * MIB)
    assert 0 < ahead(law_after(nowhere), 2000 * MIB, 7200.0, 10.0).taken_bytes <= 16 * MIB


@pytest.mark.parametrize(
    ("reading", "reason"),
    [
        (replace(READING, pressure_avg10_ratio=0.05), Reason.PRESSURE),
        (replace(READING, cold_bytes=0), Reason.NOTHING_COLD),
        (replace(READING, pressure_forecast_ratio=1.0), Reason.FORESEEN),
    ],
)
def test_what_holds_the_law_now_holds_it_on(reading: ContainerReading, reason: Reason):
    came = ahead(law_after(reading), 2000 * MIB, 600.0, 10.0)
    assert came.taken_bytes == 0
    assert came.decision is not None
    assert came.decision.reason is reason


def test_a_container_that_was_never_read_whole_tells_nothing():
    assert ahead(law_after(replace(READING, stall_seconds_total=None)), None, 600.0, 10.0).decision is None
