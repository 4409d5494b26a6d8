"""Label selectors mean what they mean everywhere in Kubernetes, and overlap is denied only where it is
impossible."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.api.selector import LabelSelector

WEB = {"app": "web", "tier": "front"}


def selector(*expressions: tuple, **labels: str) -> LabelSelector:
    lines = [{"key": key, "operator": operator, "values": values} for key, operator, *values in expressions]
    return LabelSelector.model_validate({"matchLabels": labels, "matchExpressions": lines})


@pytest.mark.parametrize(
    ("chosen", "matches"),
    [
        (selector(), True),
        (selector(app="web"), True),
        (selector(app="db"), False),
        (selector(app="web", zone="a"), False),
        (selector(("app", "In", "db", "web")), True),
        (selector(("app", "In", "db")), False),
        (selector(("zone", "In", "a")), False),
        (selector(("app", "NotIn", "web")), False),
        (selector(("zone", "NotIn", "a")), True),
        (selector(("app", "Exists")), True),
        (selector(("zone", "Exists")), False),
        (selector(("zone", "DoesNotExist")), True),
        (selector(("app", "DoesNotExist")), False),
        (selector(("tier", "In", "front"), app="web"), True),
        (selector(("tier", "In", "back"), app="web"), False),
    ],
)
def test_matches(chosen: LabelSelector, matches: bool):
    assert chosen.matches(WEB) is matches


@pytest.mark.parametrize(
    ("one", "two", "may"),
    [
        (selector(), selector(), True),
        (selector(app="web"), selector(tier="db"), True),
        (selector(app="web"), selector(app="db"), False),
        (selector(app="web"), selector(("app", "NotIn", "web")), False),
        (selector(app="web"), selector(("app", "DoesNotExist")), False),
        (selector(("app", "In", "a", "b")), selector(("app", "In", "b", "c")), True),
        (selector(("app", "In", "a")), selector(("app", "In", "b", "c")), False),
        (selector(("app", "NotIn", "a")), selector(("app", "NotIn", "b")), True),
        (selector(("app", "Exists")), selector(("app", "NotIn", "b")), True),
        (selector(("app", "Exists")), selector(("app", "DoesNotExist")), False),
    ],
)
def test_may_overlap(one: LabelSelector, two: LabelSelector, may: bool):
    assert one.may_overlap(two) is may
    assert two.may_overlap(one) is may


KEYS, VALUES = st.sampled_from("ab"), st.sampled_from("xyz")
LINES = st.one_of(
    st.tuples(KEYS, st.sampled_from(["In", "NotIn"]), VALUES),
    st.tuples(KEYS, st.sampled_from(["Exists", "DoesNotExist"])),
)
SELECTORS = st.builds(lambda lines: selector(*lines), st.lists(LINES, max_size=3))


@given(SELECTORS, SELECTORS, st.dictionaries(KEYS, VALUES))
def test_what_both_match_was_called_an_overlap(one: LabelSelector, two: LabelSelector, labels: dict):
    if one.matches(labels) and two.matches(labels):
        assert one.may_overlap(two)
