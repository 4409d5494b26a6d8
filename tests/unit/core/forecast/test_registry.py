"""The one list of models that policies may name, and the two places where a person reads it."""

from pathlib import Path

from plimsoll.api.policy import Forecast
from plimsoll.forecast.registry import POLICY_MODELS, REPLAY_ONLY, model_names

PAGE = Path(__file__).parents[4] / "docs" / "policies.md"


def test_every_model_is_a_policys_or_said_to_be_a_replays():
    assert set(POLICY_MODELS) | REPLAY_ONLY == set(model_names())
    assert not set(POLICY_MODELS) & REPLAY_ONLY


def test_the_schema_and_the_page_name_every_model_that_a_policy_may_name_and_no_other():
    described = str(Forecast.model_json_schema(by_alias=True)["properties"]["model"]["description"])
    row = next(
        line
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `forecast.model`")
    )
    for name in POLICY_MODELS:
        assert any(f"{name}{end}" in described for end in (" (", ",", ";", " and")), name
        assert f"`{name}`" in row
    for name in REPLAY_ONLY:
        assert name not in described
        assert f"`{name}`" not in row
