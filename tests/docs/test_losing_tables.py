"""Where Plimsoll loses is told by the results, and the page's words about it are true of them."""

import re

import pytest

from builders.benchmark_page import PAGE, benchmark_tables, read, row


@pytest.fixture(scope="module")
def tables():
    return benchmark_tables()


def losses(**changed):
    """Two groups; by default Plimsoll is better on both axes than everybody."""
    rows = []
    for group in ("class.growth", "hosts"):
        have = changed.get(group, {})
        for figure in ("oom", "slack"):
            peers = dict.fromkeys(("vpa", "vpa-guarded", "vpa-climb", "krr", "oracle"), 2.0)
            rows.append(row(f"forecast.{group}.{figure}", have.get(figure, 1.0), against=peers))
    return {"rows": rows}


def test_where_it_loses_is_told_by_the_results(tables):
    mark = "<!-- table losing -->\n<!-- end of table -->\n"

    def told(**changed):
        return tables.with_tables(mark, losses(**{"class.growth": changed}))

    assert "growth" not in told()
    assert "| class.growth | 3 | `krr` | 2 | 2 | 2 | 2 | **better on neither** |\n" in told(
        oom=2.0, slack=2.0
    )
    assert "`oracle`" not in told(oom=3.0, slack=3.0)
    assert "| class.growth | 3 | `vpa-climb` | 3 | 2 | 1 | 2 | more kills |\n" in told(oom=3.0)
    paid = told(slack=3.0)
    assert "| class.growth | 3 | `vpa` | 1 | 2 | 3 | 2 | more slack |\n" in paid
    assert "`krr`" not in paid, "what is paid is told against VPA with and without our guard"


def test_only_what_is_surely_worse_is_behind(tables):
    rows = [
        row("forecast.core.changes.minus_vpa_climb", 0.9, 0.5, 1.3),
        row("forecast.core.slack.minus_vpa", 0.1, -0.1, 0.3),
        row("forecast.core.oom.minus_vpa", -9.0, -12.0, -3.0),
        row("forecast.calibration.bursty.realised_over_promised", 5.0, 2.0, 9.0),
        row("forecast.calibration.flat.realised_over_promised", 2.0, 0.5, 4.0),
    ]
    made = tables.with_tables("<!-- table behind -->\n<!-- end of table -->\n", {"rows": rows})
    assert "| `forecast.core.changes` (u) | `vpa-climb` | 0.9 [0.5, 1.3] |\n" in made
    assert "bursty.realised_over_promised` | what was promised | 5 [2, 9] times |\n" in made
    assert made.count("\n| `") == 2


def test_classes_that_the_words_below_name_are_in_the_table_of_losses():
    section = PAGE.split("### Where it loses")[1].split("\n### ")[0]
    table, words = section.split("<!-- table behind -->")
    named = re.findall(r"^- (.*)", words, re.MULTILINE)
    groups = [
        name for each in named for name in re.findall(r"`((?:class|source)\.\w+|hosts|bitbrains)`", each)
    ]
    assert groups
    for group in groups:
        assert f"\n| {group} |" in table, f"{group} loses no more: the words below the table are old"


def test_growth_is_lost_by_a_kill_that_a_lower_price_does_not_have():
    """What the page says of it; where this is over, so is that sentence."""
    points = [
        point
        for point in read("forecast")["frontier"]
        if (point["class"], point["recommender"]) == ("growth", "plimsoll")
    ]
    (unasked,) = (point for point in points if point["setting"] == "default")
    assert unasked["oom"][0] > 0
    assert any(
        point["knob"] and point["oom"][0] == 0 and point["slack"][0] < unasked["slack"][0] for point in points
    )
