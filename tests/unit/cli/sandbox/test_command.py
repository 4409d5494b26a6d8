"""How long a sandbox plays, as people write it."""

import pytest
import typer

from plimsoll_cli.sandbox.command import hours_of


@pytest.mark.parametrize(
    ("text", "hours"), [("6h", 6.0), ("90m", 1.5), ("2", 2.0), (48.0, 48.0), ("1d", 24.0)]
)
def test_a_duration_is_written_with_its_unit_or_in_hours(text, hours):
    assert hours_of(text) == hours


@pytest.mark.parametrize("text", ["", "soon", "-1", "0", "nan", "1s"])
def test_nonsense_is_refused(text):
    with pytest.raises(typer.BadParameter):
        hours_of(text)
