"""The fleet's pressure mixes are charged for what really came, by class; who hardly saw anything is young."""

import numpy as np

from builders.pressure import sample
from plimsoll.pressure.bank import PressureBank, learned_of, shipped_mix
from plimsoll.pressure.sample import ScopeKind
from plimsoll.store.letters import SCHEMA, Given, checksum_of, given_payload
from plimsoll.store.shared_kinds import PRESSURE
from plimsoll_nodeagent.control.fleet_models import FleetModels, ModelVersion
from plimsoll_nodeagent.control.shared_mixes import judge_mixes, mixes_learned, young

KEY, OTHER = "example.org/redis redis", "example.org/web web"
# It says the contrary: pressure where persistence sees calm, calm where it sees pressure.
CONTRARY = np.array([0.0, 1.0, 0.0, 0.0, 0.9, 0.1, *shipped_mix()[6:]])


def fleet_of(mix):
    fleet = FleetModels()
    fleet.keep({KEY, OTHER})
    payload = given_payload(Given(1, mix))
    fleet.hear(ModelVersion(PRESSURE, KEY, 1, SCHEMA, checksum_of(payload), payload))
    return fleet


def lived(fleet, seconds=300):
    """Two scopes of two classes: pressure stays what it is for ten seconds."""
    bank = PressureBank(None)
    rows = bank.add([ScopeKind.CONTAINER] * 2)
    classes = {int(rows[0]): KEY, int(rows[1]): OTHER}
    for second in range(seconds):
        pressed = second // 10 % 2
        samples = [sample(seconds=float(second), psi_some_ratio=0.5 * pressed)] * 2
        forecast = bank.predict(rows, samples, float(second))
        forecast.inputs[:, 0] = 0.0  # a network that does not know
        forecast.inputs[:, 3] = 0.5
        realised = np.full(2, float(pressed))
        judge_mixes(fleet, classes, forecast, realised)
        bank.update(forecast, realised)
    return bank, rows


def test_a_mix_that_says_the_contrary_is_let_go_and_the_other_class_is_not_charged():
    fleet = fleet_of(CONTRARY)
    lived(fleet)
    assert fleet.vector(PRESSURE, KEY) is None
    assert KEY in fleet.take_changed(PRESSURE)
    assert fleet.counts["refused"] == 1


def test_a_mix_that_knows_what_these_scopes_do_stays():
    better = shipped_mix()
    better[4:6] = 0.05, 0.95
    fleet = fleet_of(better)
    lived(fleet)
    np.testing.assert_allclose(fleet.vector(PRESSURE, KEY), better, rtol=1e-6)
    assert fleet.counts["refused"] == 0


def test_what_nobody_knows_is_not_charged():
    fleet = fleet_of(CONTRARY)
    bank = PressureBank(None)
    rows = bank.add([ScopeKind.CONTAINER])
    for second in range(200):
        forecast = bank.predict(rows, [sample(seconds=float(second))], float(second))
        judge_mixes(fleet, {int(rows[0]): KEY}, forecast, np.array([np.nan]))
    assert fleet.vector(PRESSURE, KEY) is not None


def test_scopes_are_young_until_they_have_seen_outcomes_and_weigh_by_them():
    bank, rows = lived(fleet_of(shipped_mix()))
    fresh = bank.add([ScopeKind.CONTAINER])
    assert young(bank, int(fresh[0]))
    assert not young(bank, int(rows[0]))
    bank.teach(fresh, learned_of(CONTRARY)[None, :])
    mix, outcomes = mixes_learned(bank, [int(rows[0]), int(fresh[0])])
    own, _ = mixes_learned(bank, [int(rows[0])])
    np.testing.assert_allclose(mix, own, atol=1e-9)
    assert outcomes >= 30
