import numpy as np
import pytest

from plimsoll.pages.recording import Axis, Recording, idle_ages, learnt
from plimsoll.pages.regions import gridded
from plimsoll.pages.survival import AGE_EDGES, SurvivalModel
from plimsoll.pages.touched_once import TouchedOnce

MIB = float(1 << 20)


def made(heat, axis: Axis = Axis.ADDRESS, edges=None) -> Recording:
    heat = np.array(heat, np.float32)
    epochs, parts = heat.shape
    flat = np.full(epochs, 4 * MIB)
    edges = np.arange(parts + 1) * MIB if edges is None else np.array(edges, float)
    return Recording(axis, np.arange(1.0, epochs + 1) * 10, edges, heat, flat, flat, flat)


def test_the_working_set_is_what_a_look_saw_touched():
    assert made([[1, 0.5, 0], [0, 0, 0.1]]).working_set_bytes().tolist() == [2 * MIB, MIB]
    by_age = made([[5, 6, 7]], Axis.IDLE_AGE, [0, 30, 60, 120])
    assert by_age.working_set_bytes().tolist() == [11]


def test_the_idle_tail_counts_what_was_ever_touched():
    ages, amounts = made([[1, 1, 0], [1, 0, 0], [1, 0, 0]]).idle_tail()
    assert ages.tolist() == [0.0, 20.0]
    assert amounts.tolist() == [2 * MIB, MIB]


@pytest.mark.parametrize("broken", ["edges", "seconds", "order"])
def test_arrays_that_do_not_fit_are_refused(broken: str):
    heat, flat, seconds, edges = (
        np.zeros((2, 3), np.float32),
        np.zeros(2),
        np.array([1.0, 2.0]),
        np.arange(4.0),
    )
    if broken == "edges":
        edges = np.arange(3.0)
    seconds = {"seconds": np.zeros(3), "order": np.array([2.0, 1.0])}.get(broken, seconds)
    with pytest.raises(ValueError, match=r"edges|epochs"):
        Recording(Axis.ADDRESS, seconds, edges, heat, flat, flat, flat)


def test_histograms_of_both_axes_agree_in_total():
    by_address = made([[1, 1, 0], [1, 0, 0], [1, 0, 0]])
    found = idle_ages(by_address, 2, AGE_EDGES)
    assert found.total_bytes == 2 * MIB
    assert found.idle_bytes(20.0) == MIB
    by_age = made([[3 * MIB, MIB]], Axis.IDLE_AGE, [0, 20, 40])
    assert idle_ages(by_age, 0, AGE_EDGES).idle_bytes(20.0) == MIB


def test_a_model_is_taught_a_recording():
    rng = np.random.default_rng(1)
    model = learnt(made(rng.random((60, 50)) < 0.2), SurvivalModel())
    assert model.observations == 59
    assert np.isfinite(model.loss)


@pytest.mark.parametrize(
    ("reclaimed", "observations", "returned"),
    [(None, 0, 0.0), (np.full(3, np.nan), 0, 0.0), (4096.0 * np.array([7, 7, 7]), 2, 2 * MIB),
     (7.0 + MIB * np.arange(3), 2, 0.0)],
)  # fmt: skip
def test_a_recording_by_age_teaches_what_came_back_and_not_what_was_reclaimed(
    reclaimed, observations, returned
):
    heat = np.array([[0, 0, 5], [0, 0, 4], [0, 0, 3]], np.float32) * np.float32(MIB)
    flat = np.full(3, 4 * MIB)
    edges = np.array([0.0, 10.0, 20.0, 40.0])
    recorded = Recording(
        Axis.IDLE_AGE, np.arange(1.0, 4) * 10, edges, heat, flat, flat, flat, reclaimed_bytes=reclaimed
    )
    model = learnt(recorded, SurvivalModel())
    assert model.observations == observations
    assert (model.returned_bytes.sum() > 0) == (returned > 0)


def test_regions_that_change_fall_on_one_grid_without_the_holes():
    far = 1 << 46
    looks = [
        (np.array([0, far], np.uint64), np.array([4096, far + 4096], np.uint64), np.array([1.0, 0.0])),
        (np.array([0, 2048], np.uint64), np.array([2048, 4096], np.uint64), np.array([0.0, 1.0])),
        (np.array([], np.uint64), np.array([], np.uint64), np.array([])),
    ]
    edges, heat = gridded(looks, parts=4)
    assert edges.tolist() == [0, 2048, 4096, 6144, 8192]
    assert heat.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    with pytest.raises(ValueError, match="no region"):
        gridded([looks[2]])


def watched(idle_share: float, minutes: int = 60) -> TouchedOnce:
    leak = TouchedOnce()
    for minute in range(minutes):
        leak.add(60.0 * minute, 100 * MIB + minute * MIB, 20 * MIB + idle_share * minute * MIB)
    return leak


def test_growth_that_is_never_touched_again_is_a_hint():
    hint = watched(1.0).hint()
    assert hint is not None
    assert hint.growth_bytes_per_hour == pytest.approx(60 * MIB, rel=0.01)


@pytest.mark.parametrize("leak", [watched(0.2), watched(1.0, minutes=20), TouchedOnce()])
def test_growth_that_is_used_or_too_young_is_none(leak: TouchedOnce):
    assert leak.hint() is None


def test_a_clock_that_goes_back_starts_the_history_anew():
    leak = watched(1.0)
    leak.add(0.0, MIB, MIB)
    assert leak.hint() is None
