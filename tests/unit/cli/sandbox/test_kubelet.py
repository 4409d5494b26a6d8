"""The kubelet model, bin by bin: kills, back-off, late and refused resizes, full kube nodes."""

import numpy as np
import pytest

from builders.sandbox import KEY, MIB, NODE, kubelet_playing, mib
from plimsoll_cli.sandbox.kubelet import EventKind, KubeletEvent, KubeletModel

NAN = float("nan")


def kinds(events: list[KubeletEvent]) -> list[EventKind]:
    return [event.kind for event in events]


def test_usage_above_the_limit_kills_once_in_the_bin_and_restarts_after_the_back_off():
    model = kubelet_playing([50, 150, 50], limit=100)
    assert [record.oom for bin_index in range(3) for record in model.play(bin_index)] == [False, True, False]
    killed, restarted = model.take_events()
    assert (killed.kind, killed.seconds, killed.limit_bytes) == (EventKind.OOM_KILLED, 450.0, 100 * MIB)
    assert (restarted.kind, restarted.seconds) == (EventKind.RESTARTED, 460.0)
    assert model.containers[KEY].restarts == 1


def test_usage_at_the_limit_is_no_kill():
    model = kubelet_playing([100], limit=100)
    assert not model.play(0)[0].oom
    assert model.take_events() == []


def test_the_back_off_doubles_up_to_five_minutes():
    model = kubelet_playing([150] * 8, limit=100)
    for bin_index in range(8):
        model.play(bin_index)
    killed = [event.seconds for event in model.take_events() if event.kind is EventKind.OOM_KILLED]
    model = kubelet_playing([150] * 8, limit=100)
    waits = []
    for bin_index in range(8):
        model.play(bin_index)
        waits.append(model.containers[KEY].restart_seconds - killed[bin_index])
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]


def test_a_container_that_ran_long_enough_starts_its_back_off_anew():
    model = kubelet_playing([150, 150, 50, 50, 150], limit=100)
    for bin_index in range(5):
        model.play(bin_index)
    container = model.containers[KEY]
    assert container.restart_seconds - (4 * 300 + 150) == 10


def test_every_recorded_bin_is_lived_whatever_the_back_off():
    model = kubelet_playing([150] * 20, limit=100)
    assert [model.play(bin_index)[0].oom for bin_index in range(20)] == [True] * 20


def test_the_cgroup_never_shows_more_than_its_limit():
    model = kubelet_playing([150], limit=100)
    assert model.play(0)[0].usage_bytes == 150 * MIB
    assert model.containers[KEY].usage_bytes == 100 * MIB


def test_a_missing_bin_neither_kills_nor_changes_the_usage():
    model = kubelet_playing([50, NAN, 60], limit=100)
    model.play(0)
    record = model.play(1)[0]
    assert (np.isnan(record.usage_bytes), record.oom) == (True, False)
    assert model.containers[KEY].usage_bytes == 50 * MIB


def test_a_resize_takes_effect_seconds_later_but_before_the_peak():
    model = kubelet_playing([50, 150], limit=100)
    model.play(0)
    model.resize(KEY, mib(200), 300.0)
    assert model.containers[KEY].resources == mib(100)
    assert model.play(1)[0].limit_bytes == 200 * MIB
    (done,) = model.take_events()
    assert (done.kind, 300.7 <= done.seconds <= 303) == (EventKind.RESIZED, True)


def test_a_limit_below_present_usage_is_refused_and_retried_until_it_fits():
    model = kubelet_playing([80, 80, 80, 40, 40], limit=100)
    model.play(0)
    model.resize(KEY, mib(60), 300.0)
    told = []
    for bin_index in range(1, 5):
        model.play(bin_index)
        told.append(kinds(model.take_events()))
    # Told once, tried in every bin; the usage of bin 3 lets it through in bin 4.
    assert told == [[EventKind.RESIZE_REFUSED], [], [], [EventKind.RESIZED]]


def test_a_refused_limit_leaves_the_old_one_in_force():
    model = kubelet_playing([80, 90], limit=100)
    model.play(0)
    model.resize(KEY, mib(60), 300.0)
    record = model.play(1)[0]
    assert (record.limit_bytes, record.oom) == (100 * MIB, False)
    assert "below current usage" in model.take_events()[0].message


@pytest.mark.parametrize(
    ("request_mib", "kind"),
    [(900, EventKind.RESIZED), (950, EventKind.RESIZE_DEFERRED), (1100, EventKind.RESIZE_INFEASIBLE)],
)
def test_requests_must_fit_the_kube_node(request_mib: float, kind: EventKind):
    model = kubelet_playing([10, 10], limit=100, allocatable=1000)
    model.start("other", NODE, np.full(2, 10.0 * MIB), 0, mib(100), 0.0)
    model.take_events()
    model.resize(KEY, mib(2000, request=request_mib), 0.0)
    model.play(0)
    assert kinds(model.take_events()) == [kind]


def test_a_deferred_resize_comes_when_there_is_room_an_infeasible_one_never():
    model = kubelet_playing([10] * 3, limit=100, allocatable=1000)
    model.start("other", NODE, np.full(3, 10.0 * MIB), 0, mib(500), 0.0)
    model.take_events()
    model.resize(KEY, mib(600), 0.0)
    model.resize("other", mib(5000), 0.0)
    model.play(0)
    model.stop("other", 300.0)
    model.play(1)
    assert kinds(model.take_events()) == [
        EventKind.RESIZE_DEFERRED,
        EventKind.RESIZE_INFEASIBLE,
        EventKind.STOPPED,
        EventKind.RESIZED,
    ]


def test_asking_for_the_same_again_is_not_another_resize():
    model = kubelet_playing([80, 80], limit=100)
    model.play(0)
    model.resize(KEY, mib(60), 300.0)
    model.play(1)
    model.resize(KEY, mib(60), 600.0)
    assert model.containers[KEY].resize_state is EventKind.RESIZE_REFUSED


def test_one_seed_one_run():
    def events(seed: int) -> list[KubeletEvent]:
        model = KubeletModel({NODE: 10**12}, seed)
        for number in range(5):
            usage = np.full(4, 10.0 * MIB)
            model.start(f"c{number}", NODE, usage, 0, mib(100), 0.0)
            model.resize(f"c{number}", mib(200), 0.0)
        model.play(0)
        return model.take_events()

    assert events(3) == events(3)
    assert [e.seconds for e in events(3)] != [e.seconds for e in events(4)]
