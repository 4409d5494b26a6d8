"""Memory and placement in one answer: each stands where the other fails."""

import base64
import json

from builders.clusters import MIB, NOW
from builders.placing import Body, initial_of, new_pod, owned, patched, placing, preferred, room_node
from plimsoll_operator.actuate.api import MemoryValues
from plimsoll_operator.admission import PodAdmission
from plimsoll_operator.place.answering import PlacementAnswer

UID = "0f0f-1"


async def answered(initial, place):
    outcomes = []
    admission = PodAdmission(initial, lambda outcome, _: outcomes.append(outcome), place)
    review = {"request": {"uid": UID, "operation": "CREATE", "namespace": "shop", "object": new_pod()}}
    response = json.loads((await admission.handle(Body(review))).body)["response"]
    patch = json.loads(base64.b64decode(response["patch"])) if "patch" in response else []
    return patched(new_pod(), patch), outcomes


async def cluster():
    nodes = [room_node("n1", "2Gi"), room_node("n2", "8Gi"), room_node("home", unschedulable=True)]
    rig = placing(nodes, [owned("web", "web-0", "home")], {"web": 100.0})
    await rig.once(NOW)
    return rig


async def test_memory_that_is_being_written_is_what_the_node_must_have_room_for():
    rig = await cluster()

    async def initial(_pod, _namespace):
        return {"app": MemoryValues(4096 * MIB, 3072 * MIB)}

    pod, outcomes = await answered(initial, PlacementAnswer(rig.placer, initial_of(rig)))
    assert preferred(pod) == ["n2"]
    assert pod["spec"]["containers"][0]["resources"]["requests"]["memory"] == str(3072 * MIB)
    assert outcomes == ["patched"]


async def test_without_memory_to_write_there_is_still_a_place():
    rig = await cluster()
    pod, outcomes = await answered(initial_of(rig), PlacementAnswer(rig.placer, initial_of(rig)))
    assert preferred(pod) == ["n1"]
    assert outcomes == ["patched"]


async def test_a_placement_that_fails_takes_no_memory_away():
    async def initial(_pod, _namespace):
        return {"app": MemoryValues(256 * MIB, 128 * MIB)}

    def broken(*_, **__):
        raise RuntimeError("no such node")

    pod, outcomes = await answered(initial, broken)
    assert pod["spec"]["containers"][0]["resources"]["limits"]["memory"] == str(256 * MIB)
    assert preferred(pod) == []
    assert outcomes == ["patched"]
