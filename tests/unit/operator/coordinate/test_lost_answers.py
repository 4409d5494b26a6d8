"""The API server carries a resize out, and its answer is lost, once or at every attempt.

What may be there counts as there: a lease ends and is taken back, a shrink is seen in the kernel or undone.
"""

import pytest

from builders.clusters import NOW
from builders.desks import Desks
from builders.loops import MINUTE, rig
from plimsoll.coordinate.messages import ShrinkStage
from plimsoll_operator.actuate import retry
from plimsoll_operator.actuate.api import ApiError

ALWAYS = retry.ATTEMPTS


def lose(made, monkeypatch, answers, error=None, *, carried_out=True):
    """So many answers to resizes are lost from now on."""
    real, left = made.rig.api.resize, [answers]

    async def resize(pod, values):
        if not left[0]:
            return await real(pod, values)
        left[0] -= 1
        if carried_out:
            await real(pod, values)
        raise error or ApiError(504, "Timeout", "the answer was lost")

    monkeypatch.setattr(made.rig.api, "resize", resize)
    monkeypatch.setattr(retry, "FIRST_PAUSE_SECONDS", 0.0)


async def operator(targets_mib, used_mib=200.0):
    made = Desks(rig(targets={"app": targets_mib}))
    made.rig.engine.used_mib = used_mib
    await made.once(NOW)
    made.attend(NOW)
    return made


async def lender(monkeypatch):
    """An operator that may lend to web-0 (1 GiB), and knows no forecast of it from then on."""
    made = await operator(1024)
    made.samples(900, NOW)
    await made.once(NOW + MINUTE)
    monkeypatch.setattr(made.desk._asks, "for_row", lambda row, now: None)
    return made


@pytest.mark.parametrize("lost", [1, ALWAYS])
async def test_a_raise_whose_answers_were_lost_ends_as_every_lease(monkeypatch, lost, counted):
    made = await lender(monkeypatch)
    lose(made, monkeypatch, lost)
    answer = await made.asks_for(400, NOW + 61)
    assert made.rig.limit() == 1424
    assert (answer.limit_bytes > 0) == (lost == 1)
    await made.loops(range(2, 5))
    assert made.rig.limit() == 1424
    await made.loops(range(5, 20))
    assert made.rig.limit() == 1024
    counted(
        f"the API server's answer to a lease's raise lost, of {lost} attempts",
        injected=lost, survived=lost, lost=0, of=1, what="limits",
    )  # fmt: skip


async def test_a_raise_that_was_refused_for_good_takes_no_room(monkeypatch):
    made = await lender(monkeypatch)
    lose(made, monkeypatch, 1, ApiError(422, "Invalid", "no"), carried_out=False)
    assert (await made.asks_for(400, NOW + 61)).limit_bytes == 0
    assert made.desk.lending.book.unused_bytes("n1", {}) == 0


async def written(monkeypatch, lost, error=None, *, carried_out=True):
    """A shrink to 700 MiB was just written, and its answers are lost; the agent's request."""
    made = await operator(700)
    await made.once(NOW + MINUTE)
    (request,) = made.told()
    lose(made, monkeypatch, lost, error, carried_out=carried_out)
    made.report(request, ShrinkStage.REACHED, 600, NOW + 70)
    await made.once(NOW + 71)
    assert made.rig.limit() == (700 if carried_out else 1024)
    return made, request


async def shrunk(monkeypatch, lost, error=None, *, carried_out=True):
    """The same, a loop later."""
    made, request = await written(monkeypatch, lost, error, carried_out=carried_out)
    await made.once(NOW + 72)
    return made, request


@pytest.mark.parametrize("lost", [1, ALWAYS])
async def test_a_shrink_whose_answers_were_lost_is_seen_in_the_kernel(monkeypatch, lost):
    made, request = await shrunk(monkeypatch, lost)
    made.report(request, ShrinkStage.OBSERVED, 600, NOW + 73, max_mib=700)
    assert made.rig.metrics.value("plimsoll_shrinks_total", outcome="done") == 1
    assert len(made.desk.shrinks) == 0


@pytest.mark.parametrize("heard", [NOW + 71.5, NOW + 73])
@pytest.mark.parametrize("lost", [1, ALWAYS])
async def test_a_kill_after_a_shrink_whose_answers_were_lost_takes_it_back(monkeypatch, lost, heard, counted):
    made, request = await written(monkeypatch, lost)
    if heard > NOW + 72:
        await made.once(NOW + 72)
    made.report(request, ShrinkStage.OBSERVED, 690, heard, max_mib=700, kills=1)
    await made.once(heard + 1)
    assert made.rig.limit() == 1024
    counted(
        f"the API server's answer to a shrink lost, of {lost} attempts, and the container killed",
        injected=lost, survived=lost, lost=0, of=1, what="limits",
    )  # fmt: skip


async def test_a_shrink_that_was_not_carried_out_goes_on(monkeypatch):
    made, request = await shrunk(monkeypatch, ALWAYS, carried_out=False)
    made.report(request, ShrinkStage.REACHED, 600, NOW + 73)
    await made.once(NOW + 74)
    assert made.rig.limit() == 700


async def test_a_shrink_that_was_refused_for_good_has_nothing_to_take_back(monkeypatch):
    made, request = await shrunk(monkeypatch, ALWAYS, ApiError(422, "Invalid", "no"), carried_out=False)
    made.report(request, ShrinkStage.OBSERVED, 690, NOW + 73, kills=1)
    assert made.rig.metrics.value("plimsoll_shrinks_total", outcome="abandoned") == 1
    assert not made.desk.shrinks.asks()
