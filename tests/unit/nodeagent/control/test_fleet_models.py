"""What a node does with shared models: asks, starts from them, tells its own, lets go of what is worse."""

import numpy as np
import pytest

from plimsoll.coordinate.messages import ModelVersion
from plimsoll.pages.survival import prior_hazard
from plimsoll.store.letters import SCHEMA, Given, checksum_of, given_payload, read_delta
from plimsoll.store.shared_kinds import KINDS_SHARED, PAGES, PRESSURE, REUSE, page_vector
from plimsoll_nodeagent.control.fleet_models import (
    MOST_AT_ONCE,
    MOST_CLASSES,
    SAY_ON_TRIAL_SECONDS,
    SAY_SECONDS,
    FleetModels,
)

NOW = 1_700_000_000.0
KEY = "example.org/redis redis"
HOT = np.asarray(page_vector(2.0 * prior_hazard()), np.float32).astype(np.float64)


def version(given=None, *, kind=PAGES, key=KEY, schema=SCHEMA, payload=None, checksum=None):
    data = payload if payload is not None else (b"" if given is None else given_payload(given))
    return ModelVersion(kind, key, 1, schema, checksum_of(data) if checksum is None else checksum, data)


@pytest.fixture
def fleet():
    made = FleetModels()
    made.keep({KEY})
    return made


def speak(fleet, now, learned=None):
    """One look of the loop: what is said, all of it taken by the stream."""
    found = list(fleet.say(fleet.due(now), learned or {}, now))
    for each in found:
        fleet.said(each, now)
    return found


def test_a_new_class_is_asked_about_at_once_and_spoken_of_every_ten_minutes(fleet):
    first = speak(fleet, NOW)
    assert {each.kind for each in first} == set(KINDS_SHARED)
    assert all(not each.payload and not each.base_checksum for each in first)
    assert speak(fleet, NOW + SAY_SECONDS - 1.0) == []
    learned = {(PAGES, KEY): (HOT, 50), (REUSE, KEY): (KINDS_SHARED[REUSE].ships(), 3)}
    said = {each.kind: each for each in speak(fleet, NOW + SAY_SECONDS, learned)}
    contribution = read_delta(PAGES, said[PAGES].payload).contribution
    np.testing.assert_array_equal(contribution.vector, HOT)
    assert (contribution.samples, contribution.sequence) == (50, int((NOW + SAY_SECONDS) * 1000))
    assert not said[REUSE].payload, "three samples are no word"
    assert not said[PRESSURE].payload


def test_what_the_stream_did_not_take_is_said_again(fleet):
    assert len(list(fleet.say(fleet.due(NOW), {}, NOW))) == 3
    assert len(fleet.due(NOW + 1.0)) == 3


def test_what_is_given_is_what_is_started_from_and_named_when_asking_again(fleet):
    assert fleet.vector(PAGES, KEY) is None
    told = version(Given(2, HOT))
    fleet.hear(told)
    np.testing.assert_array_equal(fleet.vector(PAGES, KEY), HOT)
    assert fleet.take_changed(PAGES) == {KEY}
    fleet.hear(told)
    assert fleet.take_changed(PAGES) == set(), "heard twice"
    (again,) = [each for each in speak(fleet, NOW) if each.kind == PAGES]
    assert again.base_checksum == told.checksum
    fleet.hear(version())
    assert fleet.vector(PAGES, KEY) is None
    assert fleet.counts["withdrawn"] == 1


@pytest.mark.parametrize("how", [
    {"payload": b"nonsense"},
    {"payload": given_payload(Given(1, HOT))[:-4]},
    {"given": Given(1, HOT[1:])},
    {"given": Given(1, HOT + 1e6)},
    {"given": Given(1, HOT), "checksum": "another"},
    {"given": Given(1, HOT), "schema": SCHEMA + 1},
    {"payload": b"x" * (1 << 20)},
])  # fmt: skip
def test_what_makes_no_sense_changes_nothing(fleet, how):
    fleet.hear(version(Given(1, HOT)))
    fleet.hear(version(**{"given": None, **how}))
    np.testing.assert_array_equal(fleet.vector(PAGES, KEY), HOT)
    assert fleet.counts == {"given": 1, "unreadable": 1}


def test_a_model_of_a_class_that_has_gone_or_never_was_is_nothing(fleet):
    fleet.hear(version(Given(1, HOT), key="somebody else's"))
    assert fleet.vector(PAGES, "somebody else's") is None
    fleet.hear(version(Given(1, HOT)))
    fleet.keep(set())
    assert fleet.vector(PAGES, KEY) is None
    assert fleet.due(NOW) == []
    fleet.hear(version(Given(1, HOT), kind="a newer kind"))
    assert fleet.counts["given"] == 1


def test_what_is_worse_here_than_what_ships_is_let_go_and_whoever_started_from_it_is_told(fleet):
    fleet.hear(version(Given(1, HOT)))
    fleet.take_changed(PAGES)
    for _ in range(200):
        fleet.judge(PAGES, KEY, lambda vector: 2.0 if (vector == HOT).all() else 1.0)
    assert fleet.vector(PAGES, KEY) is None
    assert fleet.take_changed(PAGES) == {KEY}
    assert fleet.counts["refused"] == 1
    fleet.hear(version(Given(3, HOT)))
    assert fleet.vector(PAGES, KEY) is None, "the same numbers again"


def test_on_trial_losses_are_told_each_minute(fleet):
    fleet.hear(version(Given(4, HOT, page_vector(prior_hazard()), on_trial=True)))
    speak(fleet, NOW)
    for _ in range(5):
        fleet.judge(PAGES, KEY, lambda vector: 0.5 if (vector == HOT).all() else 1.0)
    (said,) = speak(fleet, NOW + SAY_ON_TRIAL_SECONDS)
    judged = read_delta(PAGES, said.payload).judged
    assert (judged.generation, judged.candidate_loss, judged.current_loss) == (4, 0.5, 1.0)
    assert judged.sequence > 0
    (said,) = speak(fleet, NOW + 2 * SAY_ON_TRIAL_SECONDS)
    assert not said.payload, "nothing new"


def test_losses_that_a_full_buffer_refused_are_told_later(fleet):
    fleet.hear(version(Given(4, HOT, page_vector(prior_hazard()), on_trial=True)))
    fleet.judge(PAGES, KEY, lambda vector: 0.5 if (vector == HOT).all() else 1.0)
    for _ in fleet.say(fleet.due(NOW), {}, NOW):
        pass  # refused
    said = next(each for each in speak(fleet, NOW + 1.0) if each.kind == PAGES)
    assert read_delta(PAGES, said.payload).judged.candidate_loss == 0.5


def test_a_node_of_very_many_images_speaks_of_so_many_and_never_all_at_once():
    fleet = FleetModels()
    fleet.keep({f"image-{number} app" for number in range(500)})
    spoken = set()
    for second in range(40):
        said = speak(fleet, NOW + second)
        assert len(said) <= MOST_AT_ONCE
        spoken |= {(each.kind, each.class_name) for each in said}
    assert len(spoken) == MOST_CLASSES * len(KINDS_SHARED)
    fleet.keep({f"image-{number} app" for number in range(400, 500)})
    assert len({key for _, key in fleet.due(NOW + 3600)}) > 0


def test_without_a_class_nothing_is_shared():
    fleet = FleetModels()
    fleet.keep({""})
    assert fleet.due(NOW) == []
    fleet.judge(PAGES, "", lambda _: 1.0)
    assert fleet.vector(PAGES, "") is None
