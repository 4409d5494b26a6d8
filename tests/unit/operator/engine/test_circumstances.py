"""What the engine notices of rollouts, pods, starts and file cache, and what it makes of it."""

import dataclasses
import pickle

import numpy as np
import pytest

from builders.engine import MIB, NOW, ScriptedSource, member
from plimsoll_operator.engine.core import EngineCore
from plimsoll_operator.engine.frames import Sync
from plimsoll_operator.engine.kin import image_code
from plimsoll_operator.engine.messages import EngineSettings, OomEvent, RestartEvent
from plimsoll_operator.observe.source import BatchBuilder, Fetched

OLD, NEW = image_code("shop/api:1"), image_code("shop/api:2")
HOUR = 3600.0


def engine(*members, source=None) -> EngineCore:
    core = EngineCore(EngineSettings(), source or ScriptedSource())
    core.sync(Sync(members, ()))
    return core


def since(core: EngineCore, row: int = 0) -> float:
    return float(core.rows.store(row).history.images.since_seconds(core.rows.place(row))[0])


def test_images_have_codes_by_version_and_cross_the_pipe():
    assert len({0, OLD, NEW, image_code("")}) == 3
    there = member(image=OLD)
    assert pickle.loads(pickle.dumps(there)) == there


def test_a_rollout_is_over_when_no_pod_runs_the_old_image():
    core = engine(member(pod="a", image=OLD), member(pod="b", image=OLD))
    core.tick(NOW)
    core.sync(Sync((member(pod="c", image=NEW),), (("uid-a", "app"),)))
    core.tick(NOW + 60)
    assert np.isnan(since(core))
    core.sync(Sync((), (("uid-b", "app"),)))
    assert since(core) == NOW + 60


def test_pods_that_come_with_the_same_image_are_no_rollout():
    core = engine(member(pod="a", image=OLD))
    core.tick(NOW)
    core.sync(Sync((member(pod="b", image=OLD),), (("uid-a", "app"),)))
    assert np.isnan(since(core))


def test_pods_are_counted_by_row():
    core = engine(member(0, "a"), member(0, "b"), member(1, "c", "other"))
    assert core.members.counts(np.array([0, 1], dtype=np.int32)).tolist() == [2, 1]


def test_a_restart_of_a_row_that_begins_high_raises_that_pod_at_once():
    core = engine(member(limit=140 * MIB))
    for hour in range(40):
        core._source.set("web-5d9-aaaaa", (300 if hour == 10 else 100) * MIB)
        if hour == 10:
            core.observe((RestartEvent("uid-web-5d9-aaaaa", "app", NOW + hour * HOUR),))
        core.tick(NOW + hour * HOUR)
    raises = core.observe((RestartEvent("uid-web-5d9-aaaaa", "app", NOW + 39 * HOUR + 30),))
    assert raises.reasons == ("StartUp",)
    assert raises.limit_bytes[0] > 300 * MIB


class CachingSource(ScriptedSource):
    """A container with 100 MiB of its own; the rest of its limit fills with files that are read."""

    limit = 200.0
    tells = True

    def fetch(self, now_seconds, wanted):
        builder = BatchBuilder()
        builder.add(
            ("shop", "web-5d9-aaaaa", "app"),
            now_seconds,
            working_set_bytes=0.97 * self.limit * MIB,
            cache_bytes=(0.97 * self.limit - 100) * MIB if self.tells else np.nan,
        )
        return Fetched(builder.build())


def chased(*, tells: bool, hours: int) -> float:
    """Where raises have taken the limit of such a container, MiB."""
    source = CachingSource()
    source.tells = tells
    core = engine(member(limit=int(source.limit * MIB)), source=source)
    for step in range(hours * 6):
        tick = core.tick(NOW + step * 600.0)
        assert tick.usage.current_bytes[0] == pytest.approx(0.97 * source.limit * MIB)
        if len(tick.raises.rows):
            source.limit = float(tick.raises.limit_bytes.max()) / MIB
            core.sync(Sync((member(limit=int(source.limit * MIB)),), ()))
    return source.limit


def test_a_limit_does_not_chase_the_cache_that_fills_it():
    assert chased(tells=True, hours=30) < 300
    assert chased(tells=False, hours=4) > 1000


def test_a_kill_makes_all_cache_count():
    source = CachingSource()
    source.tells = True
    core = engine(member(limit=int(source.limit * MIB)), source=source)
    core.tick(NOW)
    source.limit = 300.0
    core.tick(NOW + 60)
    place = core.rows.place(0)
    used = core.rows.store(0).history.five_minute(place, 1)[0, 0]
    assert used < 200 * MIB
    core.observe((OomEvent("uid-web-5d9-aaaaa", "app", NOW + 90, 300 * MIB),))
    core.tick(NOW + 360)
    used = core.rows.store(0).history.five_minute(place, 1)[0, 0]
    assert used == pytest.approx(0.97 * 300 * MIB)


def test_members_without_an_image_never_roll_out():
    core = engine(member(pod="a"))
    core.tick(NOW)
    core.sync(Sync((dataclasses.replace(member(pod="b"), image=NEW),), ()))
    core.sync(Sync((), (("uid-a", "app"),)))
    assert np.isnan(since(core))


class ThrottledSource(ScriptedSource):
    """Its pod is held up by its CPU quota."""

    def fetch(self, now_seconds, wanted):
        builder = BatchBuilder()
        builder.add(
            ("shop", "web-5d9-aaaaa", "app"), now_seconds, working_set_bytes=100.0 * MIB, throttled=True
        )
        return Fetched(builder.build())


def test_a_throttled_sample_makes_the_newest_start_last():
    core = engine(member(), source=ThrottledSource())
    core.tick(NOW)
    core.observe((RestartEvent("uid-web-5d9-aaaaa", "app", NOW + 30),))
    for minute in (1, 2, 3):
        core.tick(NOW + 60 * minute)
    until = core.rows.store(0).history.starts(core.rows.place(0)).throttled_until_seconds
    assert until[0, -1] == NOW + 180
    assert np.isnan(until[0, :-1]).all()
