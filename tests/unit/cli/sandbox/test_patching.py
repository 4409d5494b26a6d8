"""The four kinds of patches on plain objects."""

import pytest

from plimsoll_cli.sandbox.api.errors import ApiError
from plimsoll_cli.sandbox.api.patching import APPLY, JSON, MERGE, STRATEGIC, apply_patch, decode

POD = {
    "metadata": {"labels": {"a": "1"}, "finalizers": ["x"]},
    "spec": {
        "containers": [{"name": "app", "image": "i"}, {"name": "side", "env": [{"name": "E", "value": "1"}]}]
    },
}


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ([{"name": "app", "image": "j"}], [{"name": "app", "image": "j"}, POD["spec"]["containers"][1]]),
        ([{"name": "new"}], [*POD["spec"]["containers"], {"name": "new"}]),
        ([{"name": "app", "$patch": "delete"}], [POD["spec"]["containers"][1]]),
        ([{"$patch": "replace"}, {"name": "only"}], [{"name": "only"}]),
        (
            [{"name": "side", "env": [{"name": "F", "value": "2"}]}],
            [
                POD["spec"]["containers"][0],
                {"name": "side", "env": [{"name": "E", "value": "1"}, {"name": "F", "value": "2"}]},
            ],
        ),
    ],
)
def test_strategic_merge_finds_containers_by_name(patch, expected):
    patched = apply_patch(STRATEGIC, POD, {"spec": {"containers": patch}})
    assert patched["spec"]["containers"] == expected


@pytest.mark.parametrize("kind", [MERGE, STRATEGIC])
def test_null_removes(kind):
    assert apply_patch(kind, POD, {"metadata": {"labels": None}})["metadata"] == {"finalizers": ["x"]}


def test_strategic_merge_unites_finalizers_and_merge_replaces_them():
    patch = {"metadata": {"finalizers": ["y"]}}
    assert apply_patch(STRATEGIC, POD, patch)["metadata"]["finalizers"] == ["x", "y"]
    assert apply_patch(MERGE, POD, patch)["metadata"]["finalizers"] == ["y"]


def test_strategic_directives():
    patch = {
        "metadata": {"$deleteFromPrimitiveList/finalizers": ["x"], "labels": {"$patch": "replace", "b": "2"}}
    }
    assert apply_patch(STRATEGIC, POD, patch)["metadata"] == {"labels": {"b": "2"}, "finalizers": []}


def test_no_patch_alters_the_object_it_is_given():
    before = repr(POD)
    apply_patch(STRATEGIC, POD, {"spec": {"containers": [{"name": "app", "image": "z"}]}})
    apply_patch(JSON, POD, [{"op": "remove", "path": "/metadata/labels"}])
    assert repr(POD) == before


@pytest.mark.parametrize(
    ("kind", "patch", "code"),
    [
        (JSON, [{"op": "test", "path": "/metadata/labels/a", "value": "2"}], 422),
        (JSON, [{"op": "remove", "path": "/nowhere/at/all"}], 422),
        (JSON, {"metadata": {}}, 400),
        (MERGE, [], 400),
        ("text/plain", {}, 415),
    ],
)
def test_bad_patches_are_refused(kind, patch, code):
    with pytest.raises(ApiError) as refused:
        apply_patch(kind, POD, patch)
    assert refused.value.code == code


def test_only_apply_may_be_yaml():
    assert decode(APPLY, b"spec: {a: 1}") == {"spec": {"a": 1}}
    with pytest.raises(ApiError):
        decode(MERGE, b"spec: {a: 1}")
