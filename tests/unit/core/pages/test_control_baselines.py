"""The published formulas, number by number."""

import pytest

from plimsoll.pages.control_baselines import OomdSenpai, SenpaiHigh, Tmo
from plimsoll.pages.control_types import ContainerReading, Reason

GIB = 1 << 30


def reading(now: float, stall: float = 0.0, avg10: float = 0.0, usage: int = GIB) -> ContainerReading:
    return ContainerReading(now, usage, stall, avg10, 0, file_bytes=usage, swap_room_bytes=GIB)


@pytest.mark.parametrize(("stall", "expected"), [(0.0, 0.0005), (0.003, 0.00025), (0.006, 0.0), (1.0, 0.0)])
def test_tmo_takes_a_two_thousandth_less_as_pressure_nears_a_tenth_of_a_percent(stall, expected):
    tmo = Tmo()
    tmo.step(reading(100.0))
    assert tmo.step(reading(103.0)).holds
    assert tmo.step(reading(106.0, stall)).reclaim_bytes == pytest.approx(GIB * expected, rel=0.01, abs=16)


def test_oomd_takes_a_hundredth_above_its_floor_only_in_calm():
    oomd = OomdSenpai(floor_bytes=GIB // 2)
    assert oomd.step(reading(1.0)).reclaim_bytes == int(GIB / 2 * 0.01)
    assert oomd.step(reading(2.0)).holds
    assert oomd.step(reading(7.0, avg10=0.001)).reason is Reason.PRESSURE


def test_senpai_probes_each_six_seconds_by_at_most_a_hundredth():
    senpai = SenpaiHigh()
    highs = [senpai.step(reading(float(second))) for second in range(13)]
    assert highs[0] == highs[5] == GIB
    assert highs[6] == pytest.approx(GIB * 0.99)
    assert highs[12] == pytest.approx(GIB * 0.99**2)


def test_senpai_probes_less_the_nearer_its_pressure_is():
    senpai = SenpaiHigh()
    for second in range(7):
        high = senpai.step(reading(float(second), stall=0.005 * (second > 2)))
    assert high == pytest.approx(GIB * (1.0 - (0.010 / 0.005 / 10.0) ** 2 * 0.01))


def test_senpai_backs_off_at_once_and_at_most_twofold():
    for stall, factor in ((0.1, 1.25), (5.0, 2.0)):
        senpai = SenpaiHigh()
        senpai.step(reading(0.0))
        assert senpai.step(reading(1.0, stall=stall)) == pytest.approx(GIB * factor)


@pytest.mark.parametrize("law", [Tmo(), OomdSenpai()])
def test_none_acts_without_psi(law):
    assert law.step(ContainerReading(1.0, GIB)).reason is Reason.UNKNOWN
    assert SenpaiHigh().step(ContainerReading(1.0, GIB)) is None
