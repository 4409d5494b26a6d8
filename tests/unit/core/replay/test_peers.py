"""The peers, each against its own definition written out plainly."""

import numpy as np
import pytest

from builders.decaying_histogram import DecayingHistogram
from builders.histories import window_of
from builders.series import MIB, mixed_batch
from plimsoll.forecast.autopilot_ml import ArmSettings, AutopilotMl
from plimsoll.forecast.usage_grid import STEP
from plimsoll.replay.limits import ReplaySettings, replay_limits
from plimsoll.replay.peers.autopilot import Autopilot
from plimsoll.replay.peers.krr import Krr
from plimsoll.replay.peers.static import Static
from plimsoll.replay.peers.vpa import Vpa
from plimsoll.replay.peers.vpa_climb import VpaClimb
from plimsoll.replay.peers.vpa_guarded import VpaGuarded
from plimsoll.replay.recommenders import NAMES, recommender
from plimsoll.replay.series import batch_of

WARMUP = 288


def replay(name, usage_mib, warmup_bins=WARMUP):
    batch = batch_of("s", {"a": np.asarray(usage_mib, dtype=np.float64) * MIB})
    return replay_limits(batch, recommender(name, batch), ReplaySettings(warmup_bins)).limit_bytes[0] / MIB


def decided(name, usage_mib, bins):
    return replay(name, usage_mib)[bins].tolist()


def test_krr_is_the_fourteen_day_maximum_and_15_percent():
    usage = np.full(20 * 288, 100.0)
    usage[100] = 200.0
    first_without = 14 * 288 + 100 // 12 * 12  # the spike's hour has left the 336 hours
    limits = decided("krr", usage, [288, first_without - 1, first_without + 12])
    assert limits == pytest.approx([230.0, 230.0, 115.0])


def test_autopilot_is_the_days_maximum_and_15_percent():
    usage = np.full(3 * 288, 100.0)
    usage[290] = 110.0
    assert decided("autopilot", usage, [288, 300, 576, 588]) == pytest.approx([115.0, 126.5, 126.5, 115.0])


def test_autopilots_ml_recommender_has_a_margin_of_an_arm_on_a_flat_series():
    limits = replay("autopilot-ml", np.full(400, 200.0))
    margins = limits[288:] / 200.0 - 1
    assert np.unique(limits[288:]).size == 1
    assert min(abs(margins[0] - margin) for margin in ArmSettings().margins) < 1e-9


def test_autopilots_ml_recommender_is_the_model_where_their_grids_agree():
    steps = np.cumsum(np.random.default_rng(4).integers(-2, 3, 5 * 24))
    usage = np.repeat(100 * STEP**steps, 12)
    limits = replay("autopilot-ml", usage)[288::12]
    said = AutopilotMl().fit(window_of(usage * MIB)).said_bytes[0, -5 * 24 - 1 : -1] / MIB
    assert np.unique(limits).size > 3
    assert limits == pytest.approx(said[23:-1], rel=1e-6)


def test_static_is_the_warm_ups_p99_and_20_percent_for_ever():
    usage = np.concatenate([np.linspace(100, 200, 288), np.full(288, 10.0)])
    limits = replay("static", usage)
    assert set(limits[288:].tolist()) == {float(np.percentile(usage[:288], 99)) * 1.2}


@pytest.mark.parametrize(
    ("kind", "knob", "published", "other"),
    [
        (Krr, "buffer", 1.15, 1.3),
        (Autopilot, "margin", 1.15, 1.3),
        (Static, "headroom", 1.2, 1.5),
        (Vpa, "margin", 1.15, 1.3),
        (VpaGuarded, "margin", 1.15, 1.3),
        (VpaClimb, "margin", 1.15, 1.3),
    ],
)
def test_a_peers_knob_scales_its_limit_and_is_at_what_was_published(kind, knob, published, other):
    batch = batch_of("s", {"a": np.full(400, 100.0) * MIB})

    def limits(**turned):
        return replay_limits(batch, kind(**turned), ReplaySettings(WARMUP)).limit_bytes[0, WARMUP:]

    assert (limits() == limits(**{knob: published})).all()
    assert limits(**{knob: other}) == pytest.approx(limits() * other / published)


def test_vpas_percentile_may_be_another():
    usage = np.full(8 * 288, 100.0)
    usage[5 * 288 : 6 * 288] = 300.0  # an eighth of the weight
    batch = batch_of("s", {"a": usage * MIB})
    median, target = (
        replay_limits(batch, Vpa(percentile=level), ReplaySettings(WARMUP)).limit_bytes[0, -1]
        for level in (0.5, 0.9)
    )
    assert median < target


def test_static_goes_back_after_an_ooms_window():
    usage = np.full(400, 100.0)
    usage[290] = 500.0
    assert decided("static", usage, [290, 291, 299, 300]) == pytest.approx([120.0, 220.0, 220.0, 120.0])


def test_oracle_is_the_next_hours_maximum():
    usage = np.random.default_rng(1).uniform(50, 500, 400)
    limits = replay("oracle", usage)
    assert limits[288:300].tolist() == [usage[288:300].max()] * 12
    assert limits[396:].tolist() == [usage[396:].max()] * 4


def vpa_by_hand(usage, oom_bins, limits):
    """VPA's container.go and its percentile estimator, one sample at a time. Limits [MiB] at each hour."""
    histogram, window_end, peak, out = DecayingHistogram(), None, 0.0, {}
    for k, value in enumerate(usage):
        if k >= WARMUP and k % 12 == 0:
            out[k] = histogram.percentile(0.9) * 1.15 / MIB
        samples = [] if np.isnan(value) else [value * MIB]
        if k in oom_bins:
            samples.append(max(limits[k] * 1.2, limits[k] + 100) * MIB)
        for sample in samples:
            if window_end is not None and k < window_end:
                if sample <= peak:
                    continue
                histogram.subtract(peak, 1.0, stamp(window_end))
            else:
                window_end = (k if window_end is None else window_end + (k - window_end) // 288 * 288) + 288
            peak = sample
            histogram.add(peak, 1.0, stamp(window_end))
    return out


def stamp(bin_index):
    return 1_704_067_200 + 300 * bin_index


@pytest.mark.parametrize("seed", range(3))
def test_vpa_is_its_own_container_state_and_estimator(seed):
    random = np.random.default_rng(seed)
    usage = 100 * np.exp(np.cumsum(random.normal(0, 0.01, 5 * 288)))
    usage[random.random(len(usage)) < 0.05] = np.nan
    jumps = random.integers(300, len(usage), 12)
    usage[np.sort(jumps)] = 100 * np.linspace(2, 8, 12)  # each above all before: OOMs
    limits = replay("vpa", usage)
    ooms = set(np.flatnonzero(usage > limits).tolist())
    expected = vpa_by_hand(usage, ooms, limits)
    assert ooms
    for k, limit in expected.items():
        assert limits[k] == limit


def test_guarded_vpa_raises_after_a_bin_that_uses_92_percent():
    usage = np.full(320, 100.0)
    base = decided("vpa", usage, [300])[0]
    usage[301], usage[303] = 0.91 * base, 0.93 * base
    limits = replay("vpa-guarded", usage)
    assert limits[303] == base
    assert limits[304] == pytest.approx(1.12 * 0.93 * base)
    assert decided("vpa", usage, [304]) == [base]


def test_climbing_vpa_raises_before_the_next_step_of_a_rise_would_reach_the_limit():
    usage = np.full(320, 100.0)
    base = decided("vpa", usage, [300])[0]
    usage[301] = 0.6 * base
    usage[302] = 0.85 * base  # another such step would be beyond the limit, and 92 % are not used yet
    limits = replay("vpa-climb", usage)
    assert limits[302] == base
    assert limits[303] == pytest.approx((1.12 * 0.85 + 0.25) * base)
    assert decided("vpa-guarded", usage, [303]) == [base]


@pytest.mark.parametrize("name", NAMES)
def test_no_recommender_trips_over_a_series_without_any_usage(name):
    limits = replay(name, np.full(330, np.nan))
    assert np.isfinite(limits[288:]).all()
    assert (limits[288:] > 0).all()


def test_an_unknown_name_and_an_objective_for_a_peer_are_refused():
    batch = mixed_batch()
    with pytest.raises(ValueError, match="unknown recommender 'goldilocks'"):
        recommender("goldilocks", batch)
    with pytest.raises(ValueError, match="'vpa' has no operating point"):
        recommender("vpa", batch, "slack:0.2")


def test_plimsoll_takes_an_operating_point():
    batch = mixed_batch()
    tight, wide = (
        np.nanmean(replay_limits(batch, recommender("plimsoll", batch, o), ReplaySettings(36)).limit_bytes)
        for o in ("slack:0.2", "slack:0.4")
    )
    assert tight < wide
