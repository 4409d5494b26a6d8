"""What runs on kube nodes, added up: replicas of one workload deviate together by what their row says."""

import pytest

from builders.clusters import MIB, NOW
from builders.placing import SPREAD_MIB, new_pod, owned, placing, preferred, reviewed, room_node
from plimsoll_operator.place import sums
from plimsoll_operator.place.residents import STAYS, fleet_on

OWN = (SPREAD_MIB * MIB) ** 2


async def looped(share=1.0, replicas=(4, 1), day_mib=None, **more):
    """n1 and n2 with so many replicas of `web` each, n3 with one of `db`."""
    nodes = [room_node(name, "16Gi") for name in ("n1", "n2", "n3")]
    pods = [
        owned("web", f"web-{node}-{at}", node)
        for node, count in zip(("n1", "n2"), replicas, strict=True)
        for at in range(count)
    ]
    rig = placing(nodes, [*pods, owned("db", "db-0", "n3")], day_mib or {"web": 300.0, "db": 300.0}, **more)
    rig.engine.common_share = share
    await rig.once(NOW)
    return rig


def variances(rig):
    state = rig.placer.believed(NOW)
    assert state is not None
    return [state.chooser.nodes.variance[state.nodes.place[name], 0] / OWN for name in ("n1", "n2", "n3")]


@pytest.mark.parametrize("chunk", [1, 2, sums.CHUNK_PODS])
@pytest.mark.parametrize(("share", "wanted"), [(0.0, 4.0), (1.0, 16.0), (0.5, 4 * 0.5 + 16 * 0.5)])
async def test_n_replicas_share_n_squared_of_what_they_have_in_common(share, wanted, chunk, monkeypatch):
    monkeypatch.setattr(sums, "CHUNK_PODS", chunk)
    found = variances(await looped(share))
    assert found == pytest.approx([wanted, 1.0, 1.0])


async def test_a_pod_that_is_expected_deviates_with_those_that_run():
    rig = await looped(replicas=(3, 3), day_mib={"web": 3000.0, "db": 5000.0})
    assert await reviewed(rig, new_pod())
    found = variances(rig)
    assert sorted(found[:2]) == pytest.approx([9.0, 16.0])


async def test_who_is_leaving_takes_its_part_with_it():
    rig = await looped()
    rig.api.put(
        "pods", owned("web", "web-n1-3", "n1") | {"metadata": owned("web", "web-n1-3", "n1")["metadata"]}
    )
    placer, state = rig.placer, rig.placer.believed(NOW)
    fleet = fleet_on(
        placer,
        rig.membership,
        state,
        [0, 1, 2],
        lambda pod, group: STAYS,
        lambda pod: pod.name in ("web-n1-2", "web-n1-3"),
        NOW,
    )
    assert fleet.loads.variance[:, 0] / OWN == pytest.approx([4.0, 1.0, 1.0])
    assert variances(rig) == pytest.approx([16.0, 1.0, 1.0])


@pytest.mark.parametrize(("share", "wanted"), [(0.0, "n1"), (1.0, "n2")])
async def test_the_webhook_names_the_node_with_room_for_what_deviates_together(share, wanted):
    """Either node holds eight pods: n1, which is fuller, replicas of the one that comes, n2 others."""
    nodes = [room_node(name, "4Gi") for name in ("n1", "n2")]
    pods = [owned("web", f"web-{at}", "n1", "256Mi") for at in range(8)]
    pods += [owned(f"other-{at}", f"other-{at}-0", "n2", "256Mi") for at in range(8)]
    rig = placing(nodes, pods, {"web": 400.0} | {f"other-{at}": 395.0 for at in range(8)})
    rig.engine.common_share = share
    await rig.once(NOW)
    assert preferred(await reviewed(rig, new_pod(request="256Mi")))[0] == wanted
