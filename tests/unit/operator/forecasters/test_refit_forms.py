"""Refits as bytes: the same comes back, and what is not a refit's is a failure that says so."""

from dataclasses import replace

import numpy as np
import pytest

from builders.lessons import lessons_of
from plimsoll.forecast.own import RefitTask
from plimsoll.recommend.lessons import MOST_LESSONS
from plimsoll.store.content import ContentError, decode, encode
from plimsoll.store.levels.packing import packed, unpacked
from plimsoll_operator.forecasters.fits import fit
from plimsoll_operator.forecasters.jobs import answer_bytes, answer_of, ident_of, task_bytes, task_of

LESSONS = lessons_of(80, 12, moved=1.5)
TASK = RefitTask(5, LESSONS)


@pytest.fixture(scope="module")
def sound() -> bytes:
    return answer_bytes(fit(RefitTask(0, LESSONS)))


def test_a_task_comes_back_without_its_ticket():
    back = task_of(task_bytes(TASK))
    assert back.ticket == 0
    for name in ("row", "level", "need", "workload"):
        np.testing.assert_array_equal(getattr(back.lessons, name), getattr(LESSONS, name))
    assert ident_of(task_bytes(TASK)) == ident_of(task_bytes(replace(TASK, ticket=9)))
    other = replace(LESSONS, need=np.roll(LESSONS.need, 1))
    assert ident_of(task_bytes(TASK)) != ident_of(task_bytes(RefitTask(5, other)))


def test_an_answer_brings_the_weights_that_a_local_worker_would(sound):
    here, back = fit(TASK), answer_of(sound, TASK)
    assert (back.ticket, back.verdict, back.failure) == (5, here.verdict, "")
    for one, other in zip(back.own.layers, here.own.layers, strict=True):
        for name in ("third", "skip", "bias"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_an_answer_without_weights_and_a_failure_come_back():
    few = RefitTask(5, lessons_of(12, 20))
    back = answer_of(answer_bytes(fit(few)), few)
    assert (back.own, back.failure) == (None, "")
    assert "to judge by" in back.verdict
    broken = fit(RefitTask(5, replace(LESSONS, need=np.array(["x"] * len(LESSONS)))))
    assert answer_of(answer_bytes(broken), TASK).failure == broken.failure != ""


def layers(said):
    return said["own"]["layers"]


@pytest.mark.parametrize(
    "forge",
    [
        lambda said: said.pop("verdict"),
        lambda said: said.update(seconds="long"),
        lambda said: said.update(own=[1]),
        lambda said: layers(said)[0].update(third=[1.0]),
        lambda said: layers(said)[0].update(bias=[1e30]),
        lambda said: layers(said).pop(),
        lambda said: said["own"]["evidence"].pop("tail"),
    ],
)
def test_a_forged_answer_is_a_failure_that_says_so(sound, forge):
    said = decode(sound)
    forge(said)
    back = answer_of(encode(said), TASK)
    assert back.own is None
    assert back.failure.startswith("a worker's answer cannot be read")


def test_weights_that_are_worse_here_are_not_used(sound):
    said = decode(sound)
    for layer in layers(said):
        layer["bias"] = [-9.0]
    back = answer_of(encode(said), TASK)
    assert (back.own, back.failure) == (None, "")
    assert "not surely better" in back.verdict


def test_half_an_answer_is_a_failure_and_long_words_are_cut(sound):
    assert answer_of(sound[: len(sound) // 2], TASK).failure
    said = decode(sound)
    assert len(answer_of(encode({**said, "verdict": "x" * 9999}), TASK).verdict) == 500
    assert len(answer_of(encode({**said, "failure": "x" * 9999}), TASK).failure) == 500


@pytest.mark.parametrize(
    "change",
    [
        {"row": np.zeros((3, 2), np.float32)},
        {"level": np.zeros((3, 2, 1), np.float32)},
        {"need": np.zeros((), np.int64)},
        {"need": np.zeros(3, np.int64)},
        {"workload": np.zeros(0, np.int64)},
        {"workload": "many"},
    ],
    ids=str,
)
def test_absurd_tasks_are_refused(change):
    said = decode(unpacked(task_bytes(TASK)))
    assert task_of(packed(encode(said))).ticket == 0
    with pytest.raises(ContentError):
        task_of(packed(encode({**said, **change})))


def test_more_lessons_than_a_book_holds_are_refused_on_both_sides():
    many = LESSONS.take(np.zeros(MOST_LESSONS + 1, dtype=int))
    with pytest.raises(ContentError, match="16385 lessons"):
        task_bytes(RefitTask(0, many))
    said = {name: getattr(many, name) for name in ("row", "level", "need", "workload")}
    with pytest.raises(ContentError):
        task_of(packed(encode(said)))


@pytest.mark.parametrize("data", [b"", b"no document", b"\x28\xb5\x2f\xfd" + b"x" * 40])
def test_bytes_that_are_nothing_are_refused(data):
    with pytest.raises(ContentError):
        task_of(data)
