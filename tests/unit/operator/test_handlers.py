"""The indices against what a followed world names: all of its pods and no others, none of them older."""

import pytest

from builders.manifests import pod
from plimsoll_operator import handlers, parse
from plimsoll_operator.handlers import KopfIndices


def indexed(versions: dict[str, int]) -> KopfIndices:
    """Indices as kopf keeps them: a store of records for each object."""
    stores = {}
    for name, version in versions.items():
        namespace, _, short = name.partition("/")
        metadata = {"namespace": namespace, "uid": f"u-{short}", "resourceVersion": str(version)}
        manifest = pod(short)
        stores[name] = [parse.pod(manifest | {"metadata": manifest["metadata"] | metadata})]
    return KopfIndices({"pods": stores})


@pytest.mark.parametrize(
    ("versions", "shown"),
    [
        ({"demo/a": 7, "demo/b": 8}, True),
        ({"demo/a": 7, "demo/b": 9}, True),  # newer than what was named
        ({"demo/a": 6, "demo/b": 8}, False),  # a change has not come yet
        ({"demo/a": 7}, False),  # a new pod has not
        ({"demo/a": 7, "demo/b": 8, "demo/c": 5}, False),  # nor has an end
    ],
)
def test_a_world_is_shown_when_every_pod_is_and_no_older(versions, shown):
    assert indexed(versions).shows_pods({"demo/a": 7, "demo/b": 8}) is shown


async def test_a_profile_is_found_by_its_name_as_soon_as_its_event_has_come():
    registry = handlers.registry(handlers.Hooks(), "plimsoll-system")
    (index,) = (each for each in registry._indexing.get_all_handlers() if each.id == "profiles")
    raw = {"metadata": {"namespace": "shop", "name": "deployment-web", "uid": "u", "resourceVersion": "7"}}
    keyed = await index.fn(body=raw)
    indices = KopfIndices({"profiles": {key: [record] for key, record in keyed.items()}})
    assert indices.profile("shop", "deployment-web").resource_version == 7
    assert indices.profile("shop", "deployment-api") is None
