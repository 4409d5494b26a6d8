"""Who is related: by image, kind of owner and container; and what a young row hears of those that are old."""

import dataclasses
import pickle

import numpy as np
import pytest

from builders.engine import MIB, NOW, ScriptedSource, member
from plimsoll_operator.engine.core import EngineCore
from plimsoll_operator.engine.frames import Sync
from plimsoll_operator.engine.kin import kin_of
from plimsoll_operator.engine.messages import EngineSettings

OLD_HOURS = 60
KIN = kin_of("registry.example:5000/shop/api:1.2", "Deployment", "app")


@pytest.mark.parametrize(
    "image",
    [
        "registry.example:5000/shop/api:1.3",
        "registry.example:5000/shop/api",
        "registry.example:5000/shop/api@sha256:0123",
        "registry.example:5000/shop/api:1.3@sha256:0123",
    ],
)
def test_versions_of_an_image_are_related(image: str):
    assert kin_of(image, "Deployment", "app") == KIN


@pytest.mark.parametrize(
    ("image", "owner", "container"),
    [
        ("registry.example:5000/shop/web", "Deployment", "app"),
        ("registry.example:5000/shop/api", "CronJob", "app"),
        ("registry.example:5000/shop/api", "Deployment", "proxy"),
    ],
)
def test_others_are_not(image: str, owner: str, container: str):
    assert kin_of(image, owner, container) != KIN


def test_without_an_image_nobody_is_related():
    assert kin_of("", "Deployment", "app") == ""


def test_a_member_crosses_the_pipe_with_its_kin():
    there = dataclasses.replace(member(), kin=KIN)
    assert pickle.loads(pickle.dumps(there)) == there


def young_target(kin: str) -> float:
    """Target of a row of five hours at 100 MiB, beside an old one that jumps from there to 300."""
    core = EngineCore(EngineSettings(), ScriptedSource())
    core.sync(Sync((member(0, "old-1", "old", kin=KIN),), ()))
    hourly, last = range(0, OLD_HOURS * 12, 12), (OLD_HOURS + 5) * 12
    for bin_ in (*hourly, *range(OLD_HOURS * 12, last)):
        core._source.set("old-1", (300.0 if bin_ // 12 % 2 else 100.0) * MIB)
        if bin_ == OLD_HOURS * 12:
            core.sync(Sync((member(1, "new-1", "new", kin=kin),), ()))
        if bin_ >= OLD_HOURS * 12:
            core._source.set("new-1", 100.0 * MIB)
        tick = core.tick(NOW + 300.0 * bin_, everything=bin_ == last - 1)
        assert tick.problems == ()
    place = tick.recommendations.rows.tolist().index(1)
    return float(tick.recommendations.target_bytes[place])


def test_a_young_row_is_given_room_for_what_its_older_relatives_do():
    related, stranger = young_target(KIN), young_target("another Deployment app")
    assert np.isfinite(stranger)
    assert related > 1.5 * stranger
