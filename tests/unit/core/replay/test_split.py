"""The split of development series: siblings on one side, the unseen judged, nobody moved by newcomers."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from plimsoll.replay.split import ALWAYS_JUDGED, Half, fraction_of, group_of, half_of
from plimsoll_cli.traces.sample import sample_facts

SAMPLE = [name for source in sample_facts()["sources"] for ids in source["series"].values() for name in ids]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("gcd-1297383150-d1", "gcd-1297383150-d3"),  # days of a job
        ("gcd-6127640010-d1", "gcd-6127637622-d5"),  # jobs started together
        ("g19-113812204462-11", "g19-113812204462-85"),  # tasks of a job
        ("nezha-adservice-5f6585d649-fnmft-0", "nezha-adservice-5f6585d649-abcde-1"),  # pods of a service
        ("rnd7-11", "rnd9-11"),  # months of a machine
    ],
)
def test_siblings_share_a_group_and_a_half(first, second):
    assert group_of(first) == group_of(second)
    assert half_of(first) is half_of(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("gcd-1297383150-d1", "gcd-5984978818-d1"),
        ("nezha-adservice-5f6585d649-fnmft-0", "nezha-cartservice-579f59597d-wc2lz-0"),
        ("rnd7-11", "rnd7-128"),
        ("gentd-045ffef5b5ca", "gentd-05d1c1aea3ae"),
    ],
)
def test_strangers_do_not(first, second):
    assert group_of(first) != group_of(second)


def test_what_the_sample_calls_unseen_is_judged_with_all_its_siblings():
    unseen = sample_facts()["unseen"]
    groups = {group_of(name) for name in unseen}
    assert len(unseen) == 62
    assert groups == ALWAYS_JUDGED
    assert {half_of(name) for name in SAMPLE if group_of(name) in groups} == {Half.JUDGED}


def test_of_the_samples_google_jobs_there_are_some_on_both_sides():
    # Its tasks and its Nezha pods are all unseen.
    assert {half_of(name) for name in SAMPLE if name.startswith("gcd-")} == set(Half)


def test_halves_of_an_unknown_source_are_even():
    training = [half_of(f"other-{i}") is Half.TRAINING for i in range(2000)]
    assert 0.45 < sum(training) / len(training) < 0.55


@given(st.text(max_size=40))
def test_any_name_has_a_group_and_a_half_that_hangs_on_the_group(series_id):
    assert half_of(series_id) in Half
    assert 0 <= fraction_of(group_of(series_id), 7) < 1
