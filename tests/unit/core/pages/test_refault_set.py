"""The working set found by probing: how near it comes, and what makes it stop."""

import numpy as np
import pytest

from builders.container_model import ContainerModel, run
from plimsoll.api.reclaim import ReclaimMode
from plimsoll.pages.control_law import ReclaimLaw
from plimsoll.pages.control_types import ContainerReading, ReclaimDecision, ReclaimPolicy
from plimsoll.pages.refault_set import MOST_PROBED_RATIO, RefaultSet

MIB = 1 << 20
BLOCKS = 4096  # 256 MiB


class Probing:
    """The law of reclaim, told by a `RefaultSet` what is cold."""

    def __init__(self, budget: float = 0.01) -> None:
        self.law = ReclaimLaw(ReclaimPolicy(ReclaimMode.COLD, refault_budget_ratio=budget))
        self.set = RefaultSet()
        self.budget = budget

    def step(self, reading: ContainerReading) -> ReclaimDecision:
        cold = self.set.see(
            reading.now_seconds, reading.usage_bytes, reading.refault_bytes_total, self.budget
        )
        return self.law.step(
            ContainerReading(
                **{
                    name: getattr(reading, name)
                    for name in reading.__dataclass_fields__
                    if name not in ("cold_bytes", "touched_bytes")
                },
                cold_bytes=cold,
            )
        )

    def settle(self, asked_bytes: int, taken_bytes: int) -> None:
        self.law.settle(asked_bytes, taken_bytes)
        self.set.took(taken_bytes)


def uses(share: float, per_second: float = 0.05, seed: int = 3):
    """Touches some of the first blocks each second, and none of the others."""
    rng = np.random.default_rng(seed)
    blocks = np.arange(BLOCKS) < share * BLOCKS

    def load(_: float) -> np.ndarray:
        return blocks & (rng.random(BLOCKS) < per_second)

    return load


@pytest.mark.parametrize("share", [0.4, 0.8])
def test_usage_comes_down_to_the_working_set_and_stays_there(share):
    model = ContainerModel(uses(share), BLOCKS, sees_idle_age=False)
    outcome = run(model, Probing(), 3 * 3600)
    late = np.array(outcome.resident[-1800:])
    assert late.mean() < share + 0.5 * (1.0 - share)  # more than half of what is not used is out
    assert late.min() > share - 0.05
    assert outcome.refault_ratio <= 0.01


def test_all_in_use_is_left_in_memory():
    model = ContainerModel(uses(1.0), BLOCKS, sees_idle_age=False)
    outcome = run(model, Probing(), 3600)
    assert min(outcome.resident) > 0.97
    assert outcome.refault_ratio <= 0.01


def seen(
    of: RefaultSet, seconds: int, start: float = 0.0, usage: int = 1024 * MIB, refaults: int = 0, **more
):
    found = None
    for second in range(0, seconds, 10):
        found = of.see(float(second), 1024 * MIB, refaults, 0.01, **more)
    return found


def test_nothing_is_said_before_a_second_reading_nor_without_refaults_nor_after_a_leap():
    of = RefaultSet()
    assert of.see(0.0, 1024 * MIB, 0, 0.01) is None
    assert of.see(10.0, 1024 * MIB, 0, 0.01) > 0
    assert of.see(20.0, 1024 * MIB, None, 0.01) is None
    assert of.see(30.0, 1024 * MIB, 0, 0.01) is None
    assert of.see(5000.0, 1024 * MIB, 0, 0.01) is None
    assert of.see(4000.0, 1024 * MIB, 0, 0.01) is None
    assert of.see(4010.0, 1024 * MIB, 0, 0.01) > 0


def test_a_total_that_fell_is_another_container_s():
    of = RefaultSet()
    seen(of, 600, refaults=500 * MIB)
    assert of.see(605.0, 1024 * MIB, 0, 0.01) is None


def test_little_is_probed_at_once_and_twice_as_much_once_that_was_taken_and_stayed_out():
    of, sizes = RefaultSet(), []
    assert seen(of, 3600) == pytest.approx(0.01 * 1024 * MIB, abs=1)  # nobody took it: nothing was tried
    for minute in range(60, 66):
        cold = of.see(60.0 * minute, 1024 * MIB, 0, 0.01)
        sizes.append(cold / (1024 * MIB))
        of.took(cold)
        assert of.see(60.0 * minute + 30.0, 1024 * MIB, 0, 0.01) == 0
    assert sizes == pytest.approx([0.01, 0.02, 0.04, 0.08, MOST_PROBED_RATIO, MOST_PROBED_RATIO], rel=0.01)


def test_what_was_learned_of_returns_is_kept_over_a_reading_that_is_missing():
    of, refaults = RefaultSet(), 0
    for now in range(0, 100, 10):
        refaults += 64 * MIB
        of.see(float(now), 1024 * MIB, refaults, 0.01)
    of.see(100.0, 1024 * MIB, None, 0.01)
    of.see(101.0, 1024 * MIB, refaults, 0.01)
    assert of.see(102.0, 1024 * MIB, refaults, 0.01) == 0


def test_what_comes_back_ends_it_and_each_rest_is_twice_as_long():
    of = RefaultSet()
    rests, refaults, now = [], 0, 0.0
    for _ in range(3):
        while not of.see(now, 1024 * MIB, refaults, 0.01):
            now += 5.0
        refaults += 64 * MIB
        began = now
        while not (cold := of.see(now := now + 5.0, 1024 * MIB, refaults, 0.01)):
            assert cold == 0
        rests.append(now - began)
    assert rests[0] >= 60.0
    assert rests[1] >= 1.3 * rests[0]
    assert rests[2] >= 1.3 * rests[1]


def test_what_is_written_only_lowers_the_answer():
    assert seen(RefaultSet(), 3600) > 4 * MIB
    assert seen(RefaultSet(), 3600, written_bytes=1020 * MIB) == 4 * MIB
    assert seen(RefaultSet(), 3600, written_bytes=2048 * MIB) == 0
