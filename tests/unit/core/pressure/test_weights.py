"""Weights are read only when whole: else the ones before, else none, and then the plain forecasters speak."""

import json

import numpy as np
import pytest

from builders.pressure import network, recurrent, sample
from plimsoll.pressure import registry
from plimsoll.pressure.mlp4 import blind_weights
from plimsoll.pressure.protocol import Source
from plimsoll.pressure.sample import ScopeKind
from plimsoll.pressure.weights import (
    Weights,
    WeightsError,
    checksum,
    first_sound,
    format_weights,
    parse_weights,
    shipped,
)

TEXT = format_weights(Weights(network(), recurrent(), blind_weights(), {"data": "none"}))


def changed(change, sealed=True):
    """The document after `change`; `sealed` with a checksum that fits, as a wrong trainer would write it."""
    document = json.loads(TEXT)
    change(document)
    if sealed:
        document["checksum"] = checksum(document["weights"])
    return json.dumps(document)


def test_what_is_written_is_read():
    read = parse_weights(TEXT)
    features = np.linspace(0, 1, read.boosted.inputs)
    assert float(read.boosted.logit(features)) == pytest.approx(float(network().logit(features)), rel=1e-4)
    assert read.provenance == {"data": "none"}
    assert format_weights(read) == TEXT


def poke(*path, value):
    def change(document):
        part = document
        for step in path[:-1]:
            part = part[step]
        part[path[-1]] = value

    return change


DAMAGE = {
    "empty": "",
    "cut": TEXT[: len(TEXT) // 2],
    "no JSON": "weights",
    "a list": "[]",
    "a number that was changed": changed(poke("weights", "mlp4", 3, value=1.25), sealed=False),
    "not a number": changed(poke("weights", "mlp4", 3, value=None)),
    "NaN": changed(poke("weights", "boosted", "layers", 0, 0, 0, 0, value=float("nan"))),
    "infinite": changed(poke("weights", "gru", "out", 0, value=1e999)),
    "huge": changed(poke("weights", "mlp4", 0, value=1e9)),
    "too short": changed(poke("weights", "mlp4", value=[0.0] * 48)),
    "ragged": changed(poke("weights", "boosted", "layers", 0, 0, 0, value=[1.0])),
    "of other features": changed(poke("features", value=["free_now"])),
    "of another version": changed(poke("version", value=2)),
    "without a network": changed(poke("weights", "gru", value={})),
    "with no layers": changed(poke("weights", "boosted", "layers", value=[])),
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_weights_are_refused_and_the_ones_before_are_taken(name):
    with pytest.raises(WeightsError, match="pressure weights"):
        parse_weights(DAMAGE[name])
    assert first_sound([DAMAGE[name], TEXT]).provenance == {"data": "none"}


def test_without_any_sound_weights_the_plain_forecasters_speak():
    assert first_sound([DAMAGE["cut"], DAMAGE["NaN"]]) is None
    for name in ("boosted", "gru"):
        forecast = registry.predictor(name, ScopeKind.CONTAINER, None).predict(sample(), 100.0)
        assert forecast.source is Source.FALLBACK


def test_what_ships_is_sound_and_claims_a_real_kernel_only_for_runs_on_one():
    said = shipped().provenance
    assert sum(said["runs"].values()) > 0
    measured = set(said["runs"]) - {"model"}
    assert ("recordings" in said["data"], "no measurement" in said["data"]) == (bool(measured), not measured)


@pytest.mark.parametrize("name", registry.NAMES)
def test_every_name_is_a_predictor(name):
    predictor = registry.predictor(name, ScopeKind.KUBE_NODE, shipped())
    assert predictor.name == name
    assert 0.0 <= predictor.predict(sample(), 100.0).probability <= 1.0


def test_an_unknown_name_is_named():
    with pytest.raises(ValueError, match="no pressure predictor 'oracle'"):
        registry.predictor("oracle", ScopeKind.KUBE_NODE, None)


def test_shipped_weights_tell_a_scope_in_trouble_from_a_calm_one():
    calm = registry.predictor(registry.DEFAULT, ScopeKind.CONTAINER, shipped())
    tight = registry.predictor(registry.DEFAULT, ScopeKind.CONTAINER, shipped())
    for second in range(10):
        quiet = calm.predict(sample(float(second)), float(second))
        left = 0.3 - 0.03 * second
        loud = tight.predict(
            sample(
                float(second),
                free_ratio=left,
                available_ratio=left,
                allocation_bytes_per_second=4e7,
                psi_some_ratio=0.03 * second,
                events_max=20.0 * second,
                direct_reclaims_per_second=20.0 * second,
            ),
            float(second),
        )
    assert quiet.probability < 0.2
    assert loud.probability > 0.6
