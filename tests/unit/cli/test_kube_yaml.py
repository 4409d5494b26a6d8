"""YAML as kubectl reads it: scalars, keys, merge keys, and every wrong value as an error of YAML.

tests/contract/test_policy_files.py holds the same against kubectl itself.
"""

import math

import pytest
import yaml

from plimsoll_cli.kube_yaml import documents, number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e3", 1000.0),
        ("0x1F", 31),
        ("-0b101", -5),
        ("017", 15),
        ("08", 8.0),
        ("1_000", 1000),
        (".5", 0.5),
        ("9" * 30, 1e30),
        ("9" * 5000, math.inf),
        ("12:30:45", None),
        ("2024-05-01", None),
        ("0o8", None),
        ("-", None),
        ("_1", None),
    ],
)
def test_a_plain_scalar_is_a_number_or_none(text, value):
    assert number(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-05-01", "2024-05-01"),
        ("2020-99-99", "2020-99-99"),
        ("y", True),
        ("Off", False),
        ("~", None),
        ("'off'", "off"),
        ("!!timestamp 2024-05-01", "2024-05-01"),
        ("!!float 3", 3),
        ("{1: a, true: b, 2.5: c}", {"1": "a", "true": "b", "2.5": "c"}),
    ],
)
def test_values_are_those_that_kubectl_would_send(text, value):
    assert list(documents(text)) == [value]


def test_merge_keys_give_way_to_a_mappings_own():
    (read,) = documents("a: &a {x: 1, z: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: [*b], w: 4}\n")
    assert (read["b"], read["c"]) == ({"x": 3, "z": 2}, {"x": 3, "z": 2, "w": 4})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: !!int abc", "'abc' is not of type int"),
        ("a: !!int 1.5", "'1.5' is not of type int"),
        ("a: !!bool abc", "'abc' is not of type bool"),
        ("a: !!bool ~", "'~' is not of type bool"),
        ("a: !!timestamp abc", "'abc' is not of type timestamp"),
        ("a: !!timestamp 2020-99-99", "'2020-99-99' is not of type timestamp"),
        ("a: !!map foo", "expected a mapping"),
        ("a: 1\na: 2", "the key 'a' is there twice"),
        ("~: 1", "a key cannot be None"),
    ],
)
def test_what_is_wrong_is_an_error_of_yaml(text, why):
    with pytest.raises(yaml.YAMLError) as told:
        list(documents(text))
    assert why in str(told.value)
