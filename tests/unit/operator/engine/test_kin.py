"""Who is related: by image, kind of owner and container; and what a young row hears of those that are old."""

import dataclasses
import pickle

import numpy as np
import pytest

from builders.engine import MIB, NOW, ScriptedSource, member
from plimsoll.recommend.relatives import Steps
from plimsoll.store.kindred import relatives_document, relatives_steps
from plimsoll.usage.history import History
from plimsoll.usage.sample import Quantity
from plimsoll_operator.engine.core import EngineCore
from plimsoll_operator.engine.frames import Sync
from plimsoll_operator.engine.kin import Kin, kin_of
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


def young_target(kin: str, known: Steps | None = None) -> float:
    """Target of a row of five hours at 100 MiB, beside an old one that jumps from there to 300."""
    core = EngineCore(EngineSettings(), ScriptedSource())
    core.sync(Sync((member(0, "old-1", "old", kin=KIN),), ()))
    hourly, last = range(0, OLD_HOURS * 12, 12), (OLD_HOURS + 5) * 12
    for bin_ in (*hourly, *range(OLD_HOURS * 12, last)):
        core._source.set("old-1", (300.0 if bin_ // 12 % 2 else 100.0) * MIB)
        if bin_ == OLD_HOURS * 12:
            core.sync(Sync((member(1, "new-1", "new", kin=kin),), ()))
            core.relate({} if known is None else {kin: known}, Quantity.WORKING_SET)
        if bin_ >= OLD_HOURS * 12:
            core._source.set("new-1", 100.0 * MIB)
        tick = core.tick(NOW + 300.0 * bin_, everything=bin_ == last - 1)
        assert tick.problems == ()
    place = tick.recommendations.rows.tolist().index(1)
    return float(tick.recommendations.target_bytes[place])


def remembered(jumps: bool, now_seconds: float) -> Steps:
    """What the memory keeps of sixty hours at 100 MiB, with or without jumps to 300."""
    history = History(Quantity.WORKING_SET, 1)
    rows = history.add_rows(1)
    history.advance(now_seconds)
    seconds = now_seconds - 300.0 * np.arange(OLD_HOURS * 12)
    use = np.where(jumps & (seconds // 3600 % 2 == 0), 300, 100) * MIB
    history.append(np.full(len(seconds), rows[0]), seconds, use, now_seconds)
    document = relatives_document([history.checkpoint(0)], Quantity.WORKING_SET, now_seconds)
    return relatives_steps(document)


def alone_target(steps: Steps | None, kin: str = KIN, quantity: Quantity = Quantity.WORKING_SET) -> float:
    """Target of a row of five hours at 100 MiB that has no relative in its cluster."""
    core = EngineCore(EngineSettings(), ScriptedSource())
    core.sync(Sync((member(1, "new-1", "new", kin=KIN),), ()))
    core._source.set("new-1", 100.0 * MIB)
    if steps is not None:
        core.relate({kin: steps}, quantity)
    for bin_ in range(60):
        tick = core.tick(NOW + 300.0 * bin_, everything=bin_ == 59)
    return float(tick.recommendations.target_bytes[0])


def test_without_relatives_here_a_young_row_hears_those_that_the_memory_knows():
    alone, jumps = alone_target(None), alone_target(remembered(True, NOW))
    assert np.isfinite(alone)
    assert jumps > 1.5 * alone
    assert alone_target(remembered(False, NOW)) == pytest.approx(alone, rel=0.1)


@pytest.mark.parametrize(("kin", "quantity"), [("another", Quantity.WORKING_SET), (KIN, Quantity.USAGE)])
def test_what_is_remembered_of_others_or_in_another_measure_says_nothing(kin: str, quantity: Quantity):
    assert alone_target(remembered(True, NOW), kin, quantity) == alone_target(None)


def test_relatives_that_are_here_are_heard_before_those_that_are_remembered():
    heard = young_target(KIN)
    assert young_target(KIN, remembered(False, NOW)) == heard


def test_with_the_last_row_of_a_kind_what_is_remembered_of_it_goes():
    kin, steps = Kin(), remembered(True, NOW)
    kin.tell(0, KIN)
    kin.remember({KIN: steps, "nobody": steps}, "usage")
    assert set(kin._remembered) == {(KIN, "usage")}
    kin.forget((0,))
    assert not kin._remembered


def test_a_young_row_is_given_room_for_what_its_older_relatives_do():
    related, stranger = young_target(KIN), young_target("another Deployment app")
    assert np.isfinite(stranger)
    assert related > 1.5 * stranger
