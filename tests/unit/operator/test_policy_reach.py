"""A policy's forecast and buffer fields: each reaches the engine, and what cannot be had is said."""

from builders.clusters import GIB, NOW, furnish, raw_kube_node, raw_pod, raw_policy
from builders.engine import member
from builders.kubeapi import MemoryApi
from builders.loops import Rig, SpokenEngine
from plimsoll_operator.asks import Asks


def rig(**wishes):
    return Rig(furnish(MemoryApi(), raw_pod(), policy=raw_policy(**wishes)), SpokenEngine({"app": 2048}))


async def test_a_policy_that_changes_is_told_to_the_engine_although_no_pod_did():
    made = rig()
    await made.once(NOW)
    before = next(iter(made.engine.members.values())).policy
    wishes = {"forecast": {"model": "seasonal", "history": "7d"}, "limits": {"buffer": {"max": 0.2}}}
    made.api.put("memorypolicies", raw_policy(**wishes))
    await made.once(NOW + 60)
    after = next(iter(made.engine.members.values())).policy
    assert (before.model, before.history_hours) == ("auto", 672)
    assert (after.model, after.history_hours, after.buffer_max_fraction) == ("seasonal", 168, 0.2)


async def test_a_profile_names_the_model_and_horizon_that_made_its_forecast():
    made = rig(forecast={"model": "vpa", "horizon": "6h"})
    await made.once(NOW)
    await made.once(NOW + 60)
    forecast = made.api.profile("statefulset-web")["containers"][0]["forecast"]
    assert (forecast["model"], forecast["horizon"]) == ("vpa", "1h")


async def test_a_profile_tells_what_a_kill_was_worth_and_why_another_model_spoke():
    made = rig(forecast={"model": "prophet"})
    made.engine.stand_in = "fewer than 14 days of hours were seen; auto stands in"
    await made.once(NOW)
    await made.once(NOW + 60)
    profile = made.api.profile("statefulset-web")["containers"][0]
    assert profile["forecast"]["standIn"] == made.engine.stand_in
    assert profile["recommendation"]["oomPrice"] == 1.23


async def test_another_model_is_named_until_a_recommendation_comes_without_it():
    engine, asks = SpokenEngine({"app": 2048}), Asks()
    await engine.sync([member(0)], [])
    engine.stand_in = "the first fit is not done; auto stands in"
    asks.take(await engine.tick(NOW))
    assert asks.view(0).stand_in == engine.stand_in
    engine.targets, engine.stand_in = {}, ""
    asks.take(await engine.tick(NOW + 60))  # nothing was recommended
    assert asks.view(0).stand_in
    engine.targets = {"app": 2048}
    asks.take(await engine.tick(NOW + 120))
    assert asks.view(0).stand_in == ""


async def test_a_forecast_that_cannot_be_had_is_said_on_the_policy():
    made = rig(forecast={"horizon": "1d", "model": "magic"})
    await made.once(NOW)
    said = made.api.get("memorypolicies", "shop", "web")["status"]["conditions"]
    by_type = {each["type"]: each["message"] for each in said}
    assert by_type["HorizonNotSupported"].startswith("spec.forecast.horizon: 1d")
    assert by_type["ModelUnknown"].startswith("spec.forecast.model: policies know no forecast model 'magic'")


async def test_an_operating_point_out_of_reach_is_said_on_the_policy():
    made = rig(limits={"objective": "oom:1"})
    await made.once(NOW)
    said = made.api.get("memorypolicies", "shop", "web")["status"]["conditions"]
    by_type = {each["type"]: each["message"] for each in said}
    assert by_type["ObjectiveOutOfReach"].startswith("spec.limits.objective: oom:1 is out of reach")


async def test_the_engine_hears_what_a_kube_node_has_as_soon_as_it_is_known():
    made = rig()
    made.api.put("nodes", raw_kube_node() | {"status": {}})
    await made.once(NOW)
    assert next(iter(made.engine.members.values())).ceiling_bytes is None
    made.api.put("nodes", raw_kube_node() | {"status": {"capacity": {"memory": "16Gi"}}})
    made.api.put("pods", raw_pod(restarts=1))  # something of the pod is new
    await made.once(NOW + 60)
    assert next(iter(made.engine.members.values())).ceiling_bytes == 16 * GIB
