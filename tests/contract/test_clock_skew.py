"""Agents whose clock is ten minutes off, either way, or is set while something waits: counted.

What an agent says is stamped by when it was heard; spans are told as spans. So nothing is refused, nothing is
believed to be older or newer than it is, and a clock that leaps ends nothing that is under way.
"""

import asyncio

import pytest

from builders.attending import until
from builders.clusters import NOW
from builders.joined import join
from builders.loops import MINUTE
from plimsoll.coordinate.attendance import Presence

TICKS = 20
SKEWS = (-600.0, 0.0, 600.0)


@pytest.fixture(params=SKEWS)
async def joined(request, tmp_path):
    spec = {"limits": {"basis": "needed"}, "reclaim": {"mode": "Cold"}}
    async with join(tmp_path, request.param, **spec) as made:
        yield made


def shrinks(joined) -> dict[str, float]:
    outcomes = ("done", "abandoned", "rolled-back")
    found = {each: joined.rig.metrics.value("plimsoll_shrinks_total", outcome=each) for each in outcomes}
    return {name: value for name, value in found.items() if value}


async def test_samples_and_forecasts_are_all_taken_and_are_as_old_as_when_they_were_heard(joined, counted):
    counts = joined.served.service.counts
    before = counts.messages_total["sample_batch"]
    for tick in range(TICKS):
        joined.agent.tick()
        await until(lambda tick=tick: counts.messages_total["sample_batch"] >= before + tick + 1)
    assert counts.messages_total["sample_batch"] == before + TICKS  # accepted
    await until(lambda: counts.messages_total["forecast_batch"] >= TICKS)
    assert counts.refusals_total.total() == 0  # refused
    needs = await joined.desks.desk.needs(joined.rig.loop.world)
    (heard,) = needs.heard_seconds.tolist()
    assert abs(heard - joined.now) <= 10.0  # corrected by the time of receipt
    assert joined.desks.attendance.presence("n1", joined.now) is Presence.PRESENT
    await joined.rig.once(joined.now)
    skew = joined.rig.metrics.value("plimsoll_agent_clock_skew_seconds_max")
    assert skew == pytest.approx(abs(joined.skew_seconds), abs=15.0)
    if joined.skew_seconds:
        lost = before + TICKS - counts.messages_total["sample_batch"]
        present = joined.desks.attendance.presence("n1", joined.now) is Presence.PRESENT
        survived = int(present and counts.refusals_total.total() == 0)
        counted(
            "an agent's clock ten minutes off", injected=1, survived=survived, lost=lost, of=TICKS,
            what="batches",
        )  # fmt: skip
        assert (survived, lost) == (1, 0)


async def test_leases_are_granted_and_last_as_long_as_they_say(joined):
    joined.rig.engine.targets["app"] = 80
    await joined.loop(NOW + MINUTE)
    asked = joined.burst()
    await until(lambda: joined.spec_mib() > 80)
    await until(lambda: not joined.beside.companion._heard.empty())
    await joined.heed(1)
    leases = joined.beside.companion.leases
    assert (len(asked), leases["granted"], leases["refused"], leases["away"]) == (1, 1, 0, 0)
    book = joined.desks.desk.lending.book
    (uid,) = book._leases
    assert book.holds(uid, joined.now + 250.0)
    assert not book.holds(uid, joined.now + 310.0)


async def shrunk(joined, leap=0.0):
    """A shrink from its forecast to its end; the agent's clock is set before the write, and after it."""
    await joined.loop(NOW + MINUTE)
    await until(lambda: not joined.beside.companion._heard.empty())
    await joined.heed(2)
    joined.leap(leap)
    await joined.heed(8)
    await until(lambda: joined.desks.woken)
    await joined.rig.once(joined.now)
    assert joined.spec_mib() == 60
    await until(lambda: not joined.beside.companion._heard.empty())
    joined.kubelet()
    joined.leap(-leap)
    await joined.heed(3)
    await asyncio.sleep(0)
    await until(lambda: shrinks(joined))


async def test_a_shrink_comes_to_its_end(joined):
    await shrunk(joined)
    assert shrinks(joined) == {"done": 1}


@pytest.mark.parametrize("leap", [-600.0, 600.0])
async def test_a_clock_that_is_set_during_a_shrink_ends_it_neither_early_nor_late(tmp_path, leap):
    async with join(tmp_path, reclaim={"mode": "Cold"}) as joined:
        await shrunk(joined, leap)
        assert shrinks(joined) == {"done": 1}
        assert joined.beside.companion._shrinking._clock.leaps_total == 2
