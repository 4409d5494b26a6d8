"""What is kept of an image: steps of those that lived for two days, and nothing that is no steps."""

import numpy as np
import pytest

from builders.store import NOW
from plimsoll.store.content import ContentError, decode, encode
from plimsoll.store.kindred import LEAST_STEPS, relatives_document, relatives_key, relatives_steps
from plimsoll.store.kinds import kind_of
from plimsoll.store.record import Address
from plimsoll.usage.history import History
from plimsoll.usage.sample import Quantity

MIB = 2.0**20
KIN = "registry.example:5000/shop/api Deployment app"


def checkpoint(hours, quantity=Quantity.USAGE, mib=100.0, end=NOW):
    history = History(quantity, 1)
    rows = history.add_rows(1)
    history.advance(end)
    seconds = end - 300.0 * np.arange(12 * hours)
    history.append(np.full(len(seconds), rows[0]), seconds, np.full(len(seconds), mib * MIB), end)
    return history.checkpoint(int(rows[0]))


def test_steps_come_back_and_are_those_of_the_hours():
    document = relatives_document([checkpoint(60), checkpoint(50, mib=200.0)], Quantity.USAGE, NOW)
    steps = relatives_steps(decode(encode(document)))
    assert 100 <= len(steps) <= 60 + 50
    levels = np.unique(np.round(np.exp(steps[:, 0]) / MIB))
    assert levels.tolist() == [100.0, 200.0]
    assert (np.abs(steps[:, 1] - steps[:, 0]) < 1e-3).all()


@pytest.mark.parametrize(
    "pasts",
    [
        [],
        [checkpoint(40)],
        [checkpoint(60, Quantity.WORKING_SET)],
        [b"nonsense"],
        [checkpoint(60, end=NOW - 40 * 86_400)],
    ],
    ids=["nobody", "too young", "another measure", "unreadable", "too long ago"],
)
def test_who_says_nothing_is_not_kept(pasts):
    assert relatives_document(pasts, Quantity.USAGE, NOW) is None


def test_one_that_cannot_be_read_hides_no_other():
    document = relatives_document([b"nonsense", checkpoint(60)], Quantity.USAGE, NOW)
    assert len(relatives_steps(document)) >= LEAST_STEPS


def test_no_workload_is_named_and_measures_are_apart():
    assert Address("relatives", relatives_key(KIN, Quantity.USAGE)).key == f"usage {KIN}"
    assert relatives_key(KIN, Quantity.WORKING_SET) != relatives_key(KIN, Quantity.USAGE)
    assert kind_of("relatives").schema == 1
    assert set(relatives_document([checkpoint(60)], Quantity.USAGE, NOW)) == {"steps", "quantity"}


SOUND = np.full((LEAST_STEPS, 2), 18.0, np.float32)


@pytest.mark.parametrize(
    "steps",
    [
        None,
        "many",
        SOUND[:-1],
        SOUND[:, :1],
        SOUND.ravel(),
        np.full((2000, 2), 18.0),
        SOUND * np.nan,
        SOUND * -1,
        SOUND * 10,
        [[1.0], [1.0, 2.0]],
    ],
    ids=["none", "a word", "few", "narrow", "flat", "many", "NaN", "negative", "vast", "ragged"],
)
def test_what_is_no_steps_is_refused(steps):
    assert len(relatives_steps({"steps": SOUND})) == LEAST_STEPS
    with pytest.raises(ContentError, match="relatives"):
        relatives_steps({} if steps is None else {"steps": steps})
