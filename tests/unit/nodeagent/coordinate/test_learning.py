"""A whole agent on a twin kernel: containers start from the fleet's models, and it hears what is learned."""

import numpy as np
import pytest

from builders.companions import Attending
from plimsoll.coordinate.messages import ModelDelta, ModelVersion
from plimsoll.pages.survival import prior_hazard
from plimsoll.pressure.bank import shipped_mix
from plimsoll.store.letters import SCHEMA, Given, checksum_of, given_payload, read_delta
from plimsoll.store.shared_kinds import KINDS_SHARED, PAGES, PRESSURE, REUSE, page_vector
from plimsoll_nodeagent.control.policies import FilePolicies
from plimsoll_nodeagent.serve.exposition import Exposition

KEY = "example.org/redis redis"
HOT = 2.0 * prior_hazard()


class Sharing(Attending):
    """An agent of one image."""

    def told(self):
        """What it says of models."""
        return [each for each in self.said() if isinstance(each, ModelDelta)]

    def gives(self, kind, vector, rival=None):
        payload = given_payload(Given(1, vector, rival))
        self.companion.hear(ModelVersion(kind, KEY, 1, SCHEMA, checksum_of(payload), payload))
        self.companion.heed(self.on.now)

    @property
    def containers(self):
        return list(self.agent.reclaimer.controlled.values())


@pytest.fixture
def sharing(tmp_path, monkeypatch):
    monkeypatch.setattr(FilePolicies, "shared_class_of", lambda *_: KEY)
    return Sharing(tmp_path)


def test_the_operator_is_asked_once_for_each_kind_of_an_image(sharing):
    sharing.on.tick()
    assert sorted(each.kind for each in sharing.told()) == sorted(KINDS_SHARED)
    sharing.on.tick(3)
    assert sharing.told() == []


def test_it_speaks_as_often_as_it_was_told_to(tmp_path, monkeypatch):
    """Of what it has seen since: the report tells of how many pairs of looks its loss is."""
    monkeypatch.setattr(FilePolicies, "shared_class_of", lambda *_: KEY)
    seldom, often = Sharing(tmp_path / "seldom"), Sharing(tmp_path / "often", "--models-interval", "90s")
    for each in (seldom, often):
        each.on.tick()
        assert each.told()
        each.on.lives(10, 15.0)
    assert seldom.told() == []
    (said,) = [each for each in often.told() if each.kind == PAGES]
    seen = [each.survival.observations for each in often.containers]
    assert [each.model_observations for each in often.agent.latest.containers] == seen
    assert said.observations <= sum(seen)
    assert min(seen) > 0


def test_containers_take_over_the_fleets_hazards_and_go_on_learning(sharing):
    sharing.on.tick()
    np.testing.assert_array_equal(sharing.containers[0].survival.prior, prior_hazard())
    sharing.gives(PAGES, page_vector(HOT))
    sharing.on.tick()
    for each in sharing.containers:
        np.testing.assert_allclose(each.survival.prior, np.clip(HOT, 0, 1), rtol=1e-5)
    sharing.on.lives(5)
    assert sharing.containers[0].survival.observations > 0


def test_a_container_that_comes_later_starts_from_the_fleets_at_once(sharing):
    sharing.on.tick()
    sharing.gives(PAGES, page_vector(HOT))
    sharing.agent.reclaimer.controlled.clear()
    sharing.on.tick()
    np.testing.assert_allclose(sharing.containers[0].survival.prior, np.clip(HOT, 0, 1), rtol=1e-5)


def test_what_the_workload_has_learned_on_this_node_goes_before_the_fleets(sharing):
    sharing.on.lives(8)
    sharing.on.made.save_models(sharing.on.now, at_once=True)
    own = sharing.on.made.models.tables
    assert own
    sharing.agent.reclaimer.controlled.clear()
    sharing.gives(PAGES, page_vector(HOT))
    sharing.on.tick()
    for each in sharing.containers:
        np.testing.assert_array_equal(each.survival.prior, own[each.workload_class])


def test_new_scopes_start_from_the_fleets_mix_and_those_that_have_seen_little_take_it_over(sharing):
    mix = shipped_mix() + np.array([0.3, -0.2, 0.1, 0.1, 0.05, -0.1, 0.2, -0.3])
    sharing.on.tick()
    sharing.gives(PRESSURE, mix)
    sharing.on.tick()
    forecasts = sharing.agent.pressing.forecasts
    found, outcomes = forecasts.shared_learned()[PRESSURE, KEY]
    assert outcomes < 30
    assert np.abs(found - mix).max() < 0.05
    assert np.abs(found - shipped_mix()).max() > 0.1


def test_what_was_learned_is_told_without_what_the_fleet_had_said(sharing):
    sharing.on.tick()
    sharing.told()
    sharing.gives(PAGES, page_vector(np.full_like(HOT, 1e-7)))
    sharing.on.lives(30)
    told = [each for each in sharing.told() if each.kind == PAGES and each.payload]
    assert told
    said = read_delta(PAGES, told[-1].payload).contribution
    assert said.samples >= KINDS_SHARED[PAGES].least_samples
    assert said.vector.min() > np.log(1e-7) + 1.0, "where nothing was seen it is what ships"


def test_reuse_tables_start_the_plans_by_address(tmp_path, monkeypatch):
    monkeypatch.setattr(FilePolicies, "shared_class_of", lambda *_: KEY)
    sharing = Sharing(tmp_path, policy={"importance": "Low", "reclaim": {"mode": "Predictive"}})
    sharing.on.tick()
    vector = KINDS_SHARED[REUSE].ships()
    vector[5:9] += 1.5
    before = sharing.containers[0].addresses
    sharing.gives(REUSE, vector)
    sharing.on.tick()
    np.testing.assert_allclose(before.predictor.tables, vector, atol=0.02)
    sharing.agent.reclaimer.controlled.clear()
    sharing.on.tick()
    assert sharing.containers[0].addresses is not before
    np.testing.assert_allclose(sharing.containers[0].addresses.predictor.tables, vector, atol=0.02)


def test_with_the_operator_away_nothing_is_said_and_all_goes_on_from_what_is_there(sharing):
    sharing.link.state.attending = False
    sharing.on.lives(30)
    assert sharing.told() == []
    assert sharing.containers[0].survival.observations > 0
    np.testing.assert_array_equal(sharing.containers[0].survival.prior, prior_hazard())


def test_what_came_of_models_is_served(sharing):
    sharing.on.tick()
    sharing.gives(PAGES, page_vector(HOT))
    sharing.on.tick()
    watch, agent = sharing.agent.watch, sharing.agent
    text = Exposition(lambda: watch.latest, "test", lambda: agent.latest).text().decode()
    assert 'plimsoll_agent_models_total{outcome="given"} 1.0' in text
    assert 'plimsoll_agent_models_total{outcome="told"} 3.0' in text


def test_a_hello_names_the_kernel_and_what_it_lacks(sharing):
    facts, found = sharing.link._facts(), sharing.agent.reclaimer.capabilities
    assert facts.kernel == found.kernel != ""
    assert facts.agent_version
    assert {each.engine: each.missing for each in facts.capabilities} == {
        each.engine.value: each.why for each in found.engines
    }
