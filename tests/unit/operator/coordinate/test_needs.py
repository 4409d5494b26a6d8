"""In: a policy that asks for needed memory, what an agent tells. Out: what the engine hears, what is written.

A limit falls below what is in use only after its agent has reclaimed the rest, and has just seen the room.
"""

import numpy as np
import pytest

from builders.clusters import MIB, NOW, raw_policy
from builders.desks import Desks
from builders.loops import MINUTE, rig
from plimsoll.coordinate.messages import SampleBatch, ShrinkRequest, ShrinkStage
from plimsoll.usage.needed import Basis

NEEDED = {"limits": {"basis": "needed"}, "reclaim": {"mode": "Cold"}}


async def wanting(target_mib=600, used_mib=1015.0, **spec):
    """An operator that wants to lower web-0's limit of 1 GiB below what is in use."""
    made = Desks(rig(policy=raw_policy(**(spec or NEEDED)), targets={"app": target_mib}))
    made.rig.engine.used_mib = used_mib
    await made.once(NOW)
    return made


async def told(made, at=NOW + 50.0, needed_mib=200.0):
    made.attend(NOW)
    made.samples(1015.0, at, needed_mib=needed_mib)
    return await made.once(NOW + MINUTE)


async def test_the_cold_rest_is_reclaimed_first_and_then_the_limit_falls():
    made = await wanting()
    plans = await told(made)
    assert made.reasons(plans) == ["ShrinkUnderWay"]
    assert made.rig.limit() == 1024
    (request,) = made.told()
    assert isinstance(request, ShrinkRequest)
    assert request.target_bytes == 600 * MIB
    made.report(request, ShrinkStage.RECLAIMING, 800, NOW + 65)
    await made.once(NOW + 66)
    assert made.rig.limit() == 1024  # 800 MiB are in use: there is no room yet
    made.report(request, ShrinkStage.REACHED, 560, NOW + 80)
    made.samples(560.0, NOW + 80, needed_mib=200.0)
    await made.once(NOW + 81)  # the usage source still says 1015 MiB
    assert made.rig.limit() == 600


async def test_the_engine_hears_of_those_whose_policy_asks_and_of_no_other():
    made = await wanting()
    await told(made)
    needs = made.rig.engine.needs
    assert needs.uids == (("uid-web-0", "app"),)
    columns = (needs.heard_seconds, needs.usage_bytes, needs.working_set_bytes, needs.needed_bytes)
    assert [float(each[0]) for each in columns] == [NOW + 50.0, 1015.0 * MIB, 1015.0 * MIB, 200.0 * MIB]
    plain = await wanting(reclaim={"mode": "Cold"})
    await told(plain)
    assert plain.rig.engine.needs.uids == ()
    assert plain.rig.limit() == 1024
    assert plain.told() == []  # usage is its floor: nothing is lowered, and nobody is asked


@pytest.mark.parametrize(
    ("needed_mib", "at"), [(None, NOW + 50.0), (200.0, NOW + 20.0), (1020.0, NOW + 50.0)]
)
async def test_without_a_fresh_word_that_makes_sense_present_use_is_the_floor(needed_mib, at):
    made = await wanting()
    await told(made, at, needed_mib)
    assert made.rig.limit() == 1024
    assert made.told() == []


async def test_a_limit_never_falls_below_what_is_needed_and_its_margin():
    made = await wanting(target_mib=512)
    await told(made, needed_mib=700.0)
    (request,) = made.told()
    assert request.target_bytes == 714 * MIB


async def test_an_agent_that_goes_leaves_the_limit_where_it_is():
    made = await wanting()
    await told(made)
    made.attendance.part("n1", made.session.streams)
    await made.once(NOW + 2 * MINUTE)
    assert made.rig.limit() == 1024


async def test_room_that_is_gone_again_lowers_nothing():
    made = await wanting()
    await told(made)
    (request,) = made.told()
    made.report(request, ShrinkStage.REACHED, 560, NOW + 70)
    made.report(request, ShrinkStage.RECLAIMING, 900, NOW + 72)
    await made.once(NOW + 73)
    assert made.rig.limit() == 1024


async def test_an_agent_of_a_version_without_need_is_as_one_that_cannot_tell():
    made = await wanting()
    made.attend(NOW)
    columns = {"usage_bytes": np.array([1015.0 * MIB]), "needed_bytes": np.array([np.nan])}
    made.says(SampleBatch(NOW + 50.0, np.array([0]), columns), NOW + 50.0)
    await made.once(NOW + MINUTE)
    assert np.isnan(made.rig.engine.needs.needed_bytes).all()
    assert made.rig.limit() == 1024


@pytest.mark.parametrize(("basis", "said"), [(Basis.STALE, "Stale"), (Basis.NEEDED, ""), (None, "")])
async def test_the_profile_says_what_the_limit_is_made_for_and_why_it_is_not_need(basis, said):
    made = await wanting()
    made.rig.engine.bases = basis
    await told(made)
    await made.once(NOW + 20 * MINUTE)
    profile = next(iter(made.rig.api.world().profiles.values()))
    found = [each for each in profile.conditions if each.type == "NeedUnknown"]
    assert [each.reason for each in found] == ([said] if said else [])
    assert all(basis.sentence in each.message for each in found)
