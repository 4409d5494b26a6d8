"""The indices against what a followed world names: all of its pods and no others, none of them older."""

import pytest

from builders.manifests import pod
from plimsoll_operator import parse
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
