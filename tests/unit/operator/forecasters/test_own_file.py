"""The file of own weights: the same comes back, and what is not ours is passed over with a reason."""

import json
from dataclasses import replace

import numpy as np
import pytest

from builders.lessons import lessons_of
from plimsoll.forecast.own import OwnWeights, RefitTask, refit
from plimsoll_operator.forecasters.own_file import OwnFileError, read_own, write_own


@pytest.fixture(scope="module")
def own() -> OwnWeights:
    made = refit(RefitTask(1, lessons_of(80, 12, moved=1.5))).own
    assert made is not None
    return replace(made, made_seconds=1_800_000_000.0)


def test_what_is_written_comes_back(tmp_path, own):
    path = tmp_path / "own.json"
    write_own(path, {"usage": own, "working_set": own})
    write_own(path, {"usage": own})
    found = read_own(path)
    assert list(found) == ["usage"]
    assert (found["usage"].evidence, found["usage"].made_seconds) == (own.evidence, own.made_seconds)
    for mine, back in zip(own.networks(), found["usage"].networks(), strict=True):
        np.testing.assert_array_equal(mine.third, back.third)
        np.testing.assert_array_equal(mine.skip, back.skip)
    assert [each.name for each in tmp_path.iterdir()] == ["own.json"]


def test_no_file_is_no_weights(tmp_path):
    assert read_own(tmp_path / "none.json") == {}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda said: said.update(version=99),
        lambda said: said["weights"]["usage"].update(networks_sha256="0" * 32),
        lambda said: said["weights"]["usage"]["layers"].pop(),
        lambda said: said["weights"]["usage"]["layers"][0]["third"].append(1.0),
        lambda said: said["weights"]["usage"]["layers"][0].update(bias=[1e30]),
        lambda said: said["weights"]["usage"]["evidence"].pop("tail"),
        lambda said: said.update(weights=[1]),
    ],
)
def test_what_is_not_for_these_networks_is_refused(tmp_path, own, spoil):
    path = tmp_path / "own.json"
    write_own(path, {"usage": own})
    said = json.loads(path.read_text())
    spoil(said)
    path.write_text(json.dumps(said))
    with pytest.raises(OwnFileError, match=r"own\.json"):
        read_own(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "3"])
def test_what_is_no_document_of_ours_is_refused(tmp_path, text):
    path = tmp_path / "own.json"
    path.write_text(text)
    with pytest.raises(OwnFileError):
        read_own(path)
