"""What an operator tells of each kube node's peak: the sum's quantiles, written and taken out again."""

import pytest

from builders.clusters import MIB, NOW
from builders.placing import owned, placing, room_node
from plimsoll.api.profile import NodePeak
from plimsoll_operator import parse
from plimsoll_operator.actuate.api import ApiError
from plimsoll_operator.place.peaks import AGAIN_SECONDS, LEVELS

HOUR = 3600.0


def operator(count=2, mib=1000.0, **settings):
    """Nodes n1 and n2; on n1 so many pods of workload web."""
    pods = [owned("web", f"web-{number}", "n1") for number in range(count)]
    rig = placing([room_node("n1"), room_node("n2")], pods, {"web": mib}, **settings)
    rig.engine.used_mib = mib  # so that the forecasts are believed after an hour, too
    return rig


def peak(rig, name="n1"):
    """What stands in the object; None: nothing."""
    found = rig.api.get("nodememories", "", name)["status"].get("peak")
    return None if found is None else NodePeak.model_validate(found)


def writes(rig):
    """Objects that were written, in order."""
    return [call[-1] for call in rig.api.calls if call[:2] == ("patch_status", "nodememories")]


async def test_the_sum_of_a_nodes_pods_is_told_by_its_quantiles():
    rig = operator()
    await rig.once(NOW)
    told = peak(rig)
    assert [each.level for each in told.quantiles] == list(LEVELS)
    sizes = [each.value_bytes / MIB for each in told.quantiles]
    assert 2000 < sizes[0] < sizes[1] < sizes[2] < 2200  # two pods of 1000, each with a deviation of 10
    assert told.updated_time_seconds == NOW
    assert told.horizon_seconds == 24 * HOUR
    assert told.short_percent < 1.0  # 4 GiB
    assert peak(rig, "n2").quantiles[-1].value_bytes == 0


async def test_what_replicas_have_in_common_makes_the_peak_wider():
    alone, together = operator(count=3), operator(count=3)
    together.engine.common_share = 1.0
    for rig in (alone, together):
        await rig.once(NOW)
    apart, alike = (peak(rig).quantiles[-1].value_bytes - 3000 * MIB for rig in (alone, together))
    assert alike > 1.5 * apart  # three that deviate as one: three times as far, not the root of it


async def test_it_is_written_once_and_again_after_an_hour_or_where_it_has_changed():
    rig = operator()
    await rig.once(NOW)
    await rig.once(NOW + 60)
    assert sorted(writes(rig)) == ["n1", "n2"]
    rig.engine.day_mib["web"] = 1020.0  # two percent
    await rig.once(NOW + 120)
    assert len(writes(rig)) == 2
    rig.engine.day_mib["web"] = 1500.0
    await rig.once(NOW + 180)
    assert writes(rig)[2:] == ["n1"]
    assert peak(rig).quantiles[0].value_bytes > 3000 * MIB
    await rig.once(NOW + 240)
    assert writes(rig)[3:] == []
    await rig.once(NOW + AGAIN_SECONDS)
    assert "n2" in writes(rig)[3:]
    assert peak(rig, "n2").updated_time_seconds == NOW + AGAIN_SECONDS


async def test_another_operator_does_not_write_anew_what_was_written_lately():
    rig = operator()
    await rig.once(NOW)
    rig.engine.hindcast = (1.0, 2.0)  # forecasts have told better than requests: it believes them, too
    successor = type(rig)(rig.api, rig.engine, **rig.settings.model_dump())
    await successor.once(NOW + 120)
    assert peak(rig).updated_time_seconds == NOW
    await successor.once(NOW + AGAIN_SECONDS + 1)
    assert peak(rig).updated_time_seconds == NOW + AGAIN_SECONDS + 1


async def test_where_nothing_is_believed_any_more_the_peak_is_taken_out():
    rig = operator()
    await rig.once(NOW)
    rig.engine.silent = {"n1"}
    await rig.once(NOW + 60)
    assert peak(rig) is None
    assert peak(rig, "n2") is not None
    await rig.once(NOW + 120)
    assert writes(rig).count("n1") == 2  # and no further write


async def test_nothing_is_written_while_acting_is_paused():
    rig = operator()
    rig.paused = True
    await rig.once(NOW)
    assert writes(rig) == []
    rig.paused = False
    await rig.once(NOW + 60)
    rig.paused = True
    await rig.once(NOW + 120)
    assert peak(rig) is not None  # nor is it taken out


async def test_a_replica_that_does_not_lead_writes_nothing():
    rig = operator()
    await rig.once(NOW, leading=False)
    assert writes(rig) == []


async def test_an_object_that_no_agent_has_made_is_not_made():
    rig = operator()
    rig.agents = False
    await rig.once(NOW)
    assert writes(rig) == []
    assert not [key for key in rig.api.objects if key[0] == "nodememories"]


@pytest.mark.parametrize(("status", "tries"), [(403, 2), (500, 4)])
async def test_a_refusal_harms_no_loop_and_what_is_forbidden_waits_for_an_hour(status, tries):
    rig = operator()
    rig.api.fail("patch_status nodememories", ApiError(status, "No", "no"), times=10)
    await rig.once(NOW)
    await rig.once(NOW + 60)
    assert len(writes(rig)) == tries
    assert peak(rig) is None


async def test_a_crd_that_knows_no_peak_is_not_written_to_at_every_loop(monkeypatch):
    rig = operator()
    merge = rig.api.patch_status

    async def pruned(resource, namespace, name, body):
        answer = await merge(resource, namespace, name, body)
        if resource.plural == "nodememories":
            for each in (answer, rig.api.get("nodememories", "", name)):
                each["status"].pop("peak", None)
        return answer

    monkeypatch.setattr(rig.api, "patch_status", pruned)
    for minute in range(5):
        await rig.once(NOW + 60 * minute)
    assert sorted(writes(rig)) == ["n1", "n2"]


def test_when_a_peak_was_written_is_read_back_and_its_absence_too():
    said = {"metadata": {"name": "n1"}, "status": {"peak": {"updatedTime": "2026-11-21T12:00:00Z"}}}
    assert parse.node_memory(said).peak_seconds is not None
    assert parse.node_memory({"metadata": {"name": "n1"}}).peak_seconds is None
