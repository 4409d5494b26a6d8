"""In: pods with a past and requests, a node's size. Out: nodes by requests and by forecast, and refusals."""

import numpy as np
import pytest

from builders.series import mixed_batch
from plimsoll.replay.kube_scheduler import NOWHERE, KubeScheduler
from plimsoll.replay.limits import BatchFacts, ObservedBin
from plimsoll.replay.peers.vpa import Vpa
from plimsoll.replay.whatif import (
    SEED,
    NoRoomError,
    Pods,
    PodTooLargeError,
    Question,
    places_by_scheduler,
    vpa_requests,
    what_if,
)

DAYS = 9
HOURS = np.arange(24 * DAYS)


def swinging(n, phases):
    """Pods whose use swings between 1 and 9 a day, a little apart from each other."""
    phase = np.resize(phases, n)[:, None]
    noise = np.random.default_rng(5).normal(0, 0.05, (n, len(HOURS)))
    return 5 + 4 * np.cos(2 * np.pi * (HOURS - phase) / 24) + noise


def pods(hourly, requests, every_node=(), every_node_requests=()):
    hours = hourly.shape[1]
    return Pods(
        hourly,
        {"theirs": np.asarray(requests, dtype=np.float64)},
        np.reshape(np.asarray(every_node, dtype=np.float64), (-1, hours)),
        {"theirs": np.asarray(every_node_requests, dtype=np.float64)},
    )


def test_peaks_that_do_not_coincide_share_nodes():
    apart = what_if(pods(swinging(24, (0, 12)), np.full(24, 9.5)), Question(60.0))
    together = what_if(pods(swinging(24, (0,)), np.full(24, 9.5)), Question(60.0))
    (requested,) = apart.by_requests
    assert (requested.least_nodes, requested.on_nodes.nodes) == (4, 4)
    assert apart.packed.nodes < together.packed.nodes


def test_chances_are_told_of_as_many_nodes_as_are_asked_about():
    asked = pods(swinging(24, (0, 12)), np.full(24, 9.5))
    few, many = (what_if(asked, Question(60.0, nodes=nodes)).given for nodes in (2, 12))
    assert few.nodes == 2
    assert few.any_short > 0.5
    assert many.any_short < 0.01


def test_requests_that_are_too_low_are_told_to_run_short():
    (low,) = what_if(pods(swinging(24, (0,)), np.full(24, 4.0)), Question(60.0)).by_requests
    (enough,) = what_if(pods(swinging(24, (0,)), np.full(24, 20.0)), Question(60.0)).by_requests
    assert low.on_nodes.any_short > 0.9
    assert enough.on_nodes.any_short < 0.1


def test_what_every_node_runs_is_taken_off_its_room():
    hourly, requests = swinging(24, (0, 12)), np.full(24, 9.5)
    daemon = np.full((1, len(HOURS)), 12.0)
    bare, busy = (what_if(pods(hourly, requests, *each), Question(60.0)) for each in ((), (daemon, [12.0])))
    assert busy.every_node_bytes > 12.0
    assert busy.packed.nodes > bare.packed.nodes
    assert busy.by_requests[0].on_nodes.nodes > bare.by_requests[0].on_nodes.nodes


def test_weeks_ahead_begin_at_the_nodes_of_today():
    made = what_if(pods(swinging(24, (0, 12)), np.full(24, 9.5)), Question(22.0, weeks=2))
    assert [week.number for week in made.outlook.weeks] == [1, 2]
    assert made.outlook.weeks[0].nodes.low <= made.packed.nodes <= made.outlook.weeks[0].nodes.high


def test_a_pod_larger_than_a_node_is_told_with_its_row():
    hourly = swinging(5, (0,))
    hourly[3] += 50
    with pytest.raises(PodTooLargeError) as told:
        what_if(pods(hourly, np.full(5, 9.5)), Question(22.0))
    assert told.value.pod == 3
    assert told.value.need_bytes > told.value.room_bytes == 22.0


def test_a_request_larger_than_a_node_spoils_that_count_alone():
    requests = np.full(6, 9.5)
    requests[4] = 23.0
    made = what_if(pods(swinging(6, (0,)), requests), Question(22.0))
    (requested,) = made.by_requests
    assert (requested.on_nodes, requested.too_large) == (None, 4)
    assert made.packed.nodes > 0


def test_nodes_that_are_full_of_daemons_are_told():
    daemon = np.full((1, len(HOURS)), 30.0)
    with pytest.raises(NoRoomError):
        what_if(pods(swinging(2, (0,)), [1.0, 1.0], daemon, [30.0]), Question(22.0))


def test_a_bound_that_is_none_is_refused():
    with pytest.raises(ValueError, match="must be in"):
        what_if(pods(swinging(2, (0,)), [1.0, 1.0]), Question(22.0, bound=0.7))


def test_the_scheduler_fills_nodes_and_one_less_would_not_do():
    requests = np.random.default_rng(8).uniform(1, 6, 80)
    places = places_by_scheduler(requests, 10.0)
    assert np.bincount(places, requests).max() <= 10.0
    rng = np.random.default_rng(SEED)
    scheduler = KubeScheduler(np.full(places.max(), 10.0), rng)
    assert NOWHERE in [scheduler.place(requests[pod]) for pod in rng.permutation(80).tolist()]


def test_pods_that_request_nothing_still_take_a_place():
    assert places_by_scheduler(np.zeros(221), 1.0).max() + 1 == 3


def test_vpa_says_the_same_of_hourly_maxima():
    batch = mixed_batch(days=4.0).take([0, 1, 2, 3])
    vpa, n = Vpa(), len(batch)
    vpa.start(BatchFacts(n, 0, 12, 1))
    unlimited, no = np.full(n, np.inf), np.zeros(n, dtype=np.bool_)
    for bin_ in range(batch.bins):
        vpa.observe(ObservedBin(bin_, batch.usage_bytes[:, bin_], unlimited, no))
    wanted = vpa.decide(batch.bins, unlimited).limit_bytes
    hourly = np.fmax.reduce(batch.usage_bytes.reshape(n, -1, 12), axis=2)
    assert vpa_requests(hourly) == pytest.approx(wanted)


def test_vpa_says_nothing_of_what_nobody_saw():
    assert np.isnan(vpa_requests(np.full((1, 48), np.nan))).all()
