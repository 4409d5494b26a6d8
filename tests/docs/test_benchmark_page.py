"""The benchmark's page: every recommender is on it, tests it names exist, tables are the results'."""

import json
import re
import subprocess

import pytest

from builders.benchmark_page import PAGE, ROOT, benchmark_tables, read, row
from plimsoll.forecast import prior
from plimsoll.recommend.objective import DEFAULT_OBJECTIVE, price_at
from plimsoll.replay.recommenders import NAMES

NAMED_TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


@pytest.fixture(scope="module")
def tables():
    return benchmark_tables()


@pytest.mark.parametrize(("path", "test"), NAMED_TESTS)
def test_tests_that_it_names_exist(path, test):
    text = (ROOT / path).read_text("utf-8")
    assert not test or f"def {test}(" in text


@pytest.mark.parametrize("name", NAMES)
def test_every_recommender_is_explained(name):
    assert f"\n| `{name}` |" in PAGE


def test_without_results_the_tables_say_so_and_the_text_stays(tables):
    emptied = tables.with_tables(PAGE, None)
    not_yet = [tables.NOT_YET.format(bench) for bench in ("forecast", "ablation")]
    assert sum(emptied.count(each) for each in not_yet) == PAGE.count("<!-- table ")
    assert emptied.count(not_yet[1]) == 1
    assert tables.with_tables(emptied, None) == emptied
    assert "## Score your own program" in emptied


def test_every_mark_has_a_table_or_a_plot(tables):
    marked = re.findall(r"<!-- table (\w+) -->", PAGE)
    assert sorted(marked) == sorted(["ran", tables.ABLATION, *tables.TABLES, *tables.PLOTS])


def test_points_are_taken_over_with_intervals_and_gaps(tables):
    rows = [
        row("forecast.core.oom_at_slack_268", 24.6, 12.0, 38.25, {"vpa": 78.4, "oracle": None}),
        row("forecast.core.slack_at_oom_76", None, against={"vpa": 0.2621}),
    ]
    made = tables.with_tables("<!-- table points -->\n<!-- end of table -->\n", {"rows": rows})
    assert "| **Plimsoll** | 24.6 [12, 38.2] | - |\n" in made
    assert "| vpa | 78.4 | 0.262 |\n| oracle | - | - |\n" in made


def test_what_was_asked_for_stands_beside_how_often_chance_would_have_it(tables):
    stems = [f"forecast.core.promised.{name}" for name in ("slack_268", "oom_76")]
    figures = ("oom", "slack", "changes_per_container_day", "realised_over_asked")
    rows = [row(f"{stem}.{figure}", 0.5) for stem in stems for figure in figures]
    shares = f"{stems[0]}.share_of_draws_within_5_percent"
    rows += [row(shares, 0.12), row(f"{shares}.at_a_fitted_price", 0.24)]
    made = tables.with_tables("<!-- table promised -->\n<!-- end of table -->\n", {"rows": rows})
    assert "| `slack:0.268` | 0.5 | 0.5 | 0.5 | 0.5 | 12 % | 24 % |\n" in made
    assert "| `oom:76` | 0.5 | 0.5 | 0.5 | 0.5 | - | - |\n" in made  # results of before


def test_differences_stand_beside_each_other(tables):
    rows = [
        row("forecast.core.oom.minus_vpa", -40.0, -60.0, -20.0),
        row("forecast.core.oom.minus_vpa_guarded", -30.0, -50.0, -5.0),
    ]
    made = tables.with_tables("<!-- table differences -->\n<!-- end of table -->\n", {"rows": rows})
    assert "| `forecast.core.oom` (u) | -40 [-60, -20] | -30 [-50, -5] |\n" in made


def aimed(**have):
    """Rows of an invented result; `have`: the value of a row by the end of its name."""
    names = (
        "core.oom_at_slack_268",
        "core.slack_at_oom_76",
        "core.changes_per_container_day",
        "class.growth.oom",
    )
    rows = [row(f"forecast.{name}", have.get(name.split(".")[-1], 0.1), 0.05, 0.2) for name in names]
    stems = [f"forecast.core.promised.{name}" for name in ("slack_268", "oom_76")]
    rows += [row(f"{stem}.realised_over_asked", have.get("realised", 1.02)) for stem in stems]
    for group in ("class.flat", "source.nezha_pod", "hosts"):
        worse = group.split(".")[-1] == have.get("worse")
        rows.append(row(f"forecast.{group}.oom", 3.0 if worse else 1.0, against={"vpa": 2.0}))
        rows.append(row(f"forecast.{group}.slack", 0.3, against={"vpa": 0.2}))
    rows.append(row("forecast.class.growth.slack", 0.1, against={"vpa": 0.2}))
    return {"rows": rows}


def test_a_miss_is_said_beside_its_aim(tables):
    mark = "<!-- table aims -->\n<!-- end of table -->\n"
    met = tables.with_tables(mark, aimed())
    assert "missed" not in met
    assert "| OOM/1000 cd at slack .268 | ≤ 25 | ≤ 17 | 0.1 [0.05, 0.2] | 3 | met |\n" in met
    for have, said in (
        ({"oom_at_slack_268": 25.1}, "| 25.1 [0.05, 0.2] | 3 | **missed** |"),
        ({"slack_at_oom_76": 0.21}, "| 0.21 [0.05, 0.2] | 3 | **missed** |"),
        ({"changes_per_container_day": 2.6}, "| 2.6 [0.05, 0.2] | 3 | **missed** |"),
        ({"realised": 0.94}, "| 0.94 | 3 | **missed** |"),
        ({"worse": "nezha_pod"}, "| source.nezha_pod | 4 looked at | **missed** |"),
    ):
        assert said in tables.with_tables(mark, aimed(**have)), have
    assert "| - [0.05, 0.2] | 3 | not measured |" in tables.with_tables(mark, aimed(slack_at_oom_76=None))


def test_an_aim_is_met_surely_only_where_the_whole_interval_meets_it(tables):
    mark = "<!-- table aims -->\n<!-- end of table -->\n"

    def aims(**changed):
        document = aimed()
        document["rows"][0] |= changed
        return tables.with_tables(mark, document)

    assert "| 0.1 [0.05, 119] | 3 | met, not surely |\n" in aims(high=119.0)
    assert "| 0.1 (1 group) | 3 | met, not surely |\n" in aims(low=None, high=None, groups=1)
    assert "| 0.1 [0.05, 0.2], in 55 % of the draws | 3 | met |\n" in aims(finite_draws=0.55)
    assert ", in 99.9 % of the draws" in aims(finite_draws=0.9998)
    assert tables.READ_OFF in aims()


def test_peers_have_their_intervals_and_one_group_is_said_in_words(tables):
    oom = row("forecast.source.nezha_pod.oom", 5.57, against={"vpa": 8.0})
    slack = row("forecast.source.nezha_pod.slack", 0.2, 0.1, 0.3, {"vpa": 0.25})
    rows = [oom | {"groups": 1}, slack | {"spreads": {"vpa": [0.2, 0.3, 1.0]}}]
    made = tables.with_tables("<!-- table sources -->\n<!-- end of table -->\n", {"rows": rows})
    assert "| nezha_pod | 3 (1 group) | 5.57 @ 0.2 [0.1, 0.3] | 8 @ 0.25 [0.2, 0.3] |\n" in made


def test_classes_with_enough_groups_stand_with_both_axes(tables):
    rows = [
        row(f"forecast.class.flat.{name}", 1.0, 0.5, 2.0, {"vpa": 3.0})
        | {"groups": 12, "spreads": {"vpa": [2.0, 4.0, 0.5]}}
        for name in ("oom_at_slack_268", "slack_at_oom_76")
    ]
    made = tables.with_tables("<!-- table classpoints -->\n<!-- end of table -->\n", {"rows": rows})
    assert made.count("| flat | 3 | 12 | 1 [0.5, 2] | 3 [2, 4], in 50 % of the draws |\n") == 2
    rows[0]["against"]["vpa"] = None
    assert "| 1 [0.5, 2] | - |" in tables.with_tables(
        "<!-- table classpoints -->\n<!-- end of table -->\n", {"rows": rows}
    ), "no figure has no interval"


def test_the_page_says_at_which_prices_a_kill_is_judged_and_ships():
    training = json.loads((ROOT / "bench" / "weights" / "training_half.json").read_text("utf-8"))
    judged, ships = (
        price_at(DEFAULT_OBJECTIVE, table["objectives"]) for table in (training, prior.document())
    )
    said = f"`{DEFAULT_OBJECTIVE}` is {judged:.2f} container-days of unused limit a kill by the training"
    assert f"{said} half's table, and {ships:.2f} by the one that ships" in PAGE


def test_the_page_says_which_aims_the_committed_results_miss(tables):
    rows = {each["name"]: each for each in read("forecast")["rows"]}
    shown = PAGE.split("<!-- table aims -->")[1].split("<!-- end of table -->")[0]
    for title, name, aim, _ in tables.AIMS:
        (line,) = (line for line in shown.splitlines() if line.startswith(f"| {title} |"))
        assert ("**missed**" in line) == (rows[name]["value"] > aim), line


def test_every_part_stands_beside_the_whole(tables):
    rows = [
        row(f"ablation.whole.{name}", 0.5, 0.25, 0.75) for name in ("oom_at_slack_268", "slack_at_oom_76")
    ]
    rows += [row("ablation.no_guard.oom_at_slack_268", 44.0), row("ablation.no_guard.slack_at_oom_76", None)]
    rows += [row("ablation.no_guard.oom_at_slack_268.minus_whole", 23.5, 1.5, 57.5)]
    rows += [row("ablation.no_guard.changes_per_container_day_at_slack_268.minus_whole", -0.6, -0.9, -0.3)]
    rows += [row("ablation.first_day.no_relatives.oom.minus_whole", 53.0, 0.0, 189.0)]
    rows += [
        row(f"ablation.{slug}.calibration{kind}.realised_over_promised", 1.5)
        for slug in ("whole", "no_guard")
        for kind in ("", ".bursty")
    ]
    rows += [row("ablation.whole.shipped.oom", 35.0)]
    rows += [row(f"ablation.first_day.{slug}.oom", 300.0) for slug in ("whole", "no_relatives")]
    document = {"commit": "abc", "seed": 7, "seconds": 12.0, "rows": rows}
    made = tables.with_tables("<!-- table ablation -->\n<!-- end of table -->\n", None, document)
    assert "| **nothing: the whole** | 0.5 [0.25, 0.75] | - | 0.5 [0.25, 0.75] | - | - | - | - |\n" in made
    changes = "-0.6 [-0.9, -0.3] | fewer kills, more changes"
    assert f"| guard | 44 | 23.5 [1.5, 57.5] | - | - | - | {changes} |\n" in made
    assert "| without, or instead | OOM/1000 cd | slack | all | bursty |\n" in made
    assert "| **nothing: the whole** | 35 | - | 1.5 | 1.5 |\n" in made
    assert "| relatives | 300 | 53 [0, 189] | - | - | - | - | nothing |\n" in made


def test_to_be_better_on_neither_axis_than_guarded_vpa_is_a_miss_and_equal_is_not_worse_than_vpa(tables):
    mark = "<!-- table aims -->\n<!-- end of table -->\n"
    document = aimed()
    for each in document["rows"]:
        if each["name"].startswith("forecast.hosts."):
            each["against"] = dict.fromkeys(("vpa", "vpa-guarded", "vpa-climb"), each["value"])
    made = tables.with_tables(mark, document)
    assert "more slack than `vpa` | none |  | none | 4 looked at | met |\n" in made
    for rival in ("vpa-guarded", "vpa-climb"):
        title = f"classes and sources with neither fewer kills nor less slack than `{rival}`"
        assert f"| {title} | none |  | hosts | 4 looked at | **missed** |\n" in made


WEIGHTS = {
    "script": "bench/train_prior.py",
    "seed": 7,
    "sources": {"nezha_pod": 8, "google2019_task": 10},
    "held_out": "the judged half",
    "rows": 83922,
    "commit": "0123456789ab",
    "versions": {"LightGBM": "4.6.0", "numpy": "2.3.5"},
    "data": {"nezha_pod.parquet": "89ab"},
}


def test_where_weights_come_from_is_a_sentence(tables):
    machine = {"cores": 2, "memory_gib": 23.5, "kernel": "6.18"}
    document = {
        "commit": "abc",
        "seed": 7,
        "seconds": 3.0,
        "machine": machine,
        "rows": [],
        "weights": WEIGHTS,
    }
    made = tables.with_tables("<!-- table ran -->\n<!-- end of table -->\n", document)
    assert "fitted by `bench/train_prior.py` (seed 7) to 83,922 rows" in made
    assert "8 of `nezha_pod`, 10 of `google2019_task`; without the judged half." in made
    assert "at commit `0123456789ab` with LightGBM 4.6.0 and numpy 2.3.5" in made
    assert "`nezha_pod.parquet` 89ab." in made
    assert "{" not in made
    assert "Not on record" not in made
    for lacks, said in (
        ("commit", "Not on record: the commit."),
        ("versions", "Not on record: the versions of LightGBM and numpy."),
        ("data", "Not on record: digests of the data."),
    ):
        older = {**document, "weights": {key: value for key, value in WEIGHTS.items() if key != lacks}}
        assert said in tables.with_tables("<!-- table ran -->\n<!-- end of table -->\n", older)


def test_both_ways_to_count_a_replays_speed_are_named(tables):
    rows = [
        row("forecast.replay.series_days_per_second", 2.0),
        row("forecast.replay.times_real_time", 172800.0),
        row("forecast.core.oom", 30.0) | {"n": 100},
    ]
    made = tables.with_tables("<!-- table speed -->\n<!-- end of table -->\n", {"rows": rows})
    assert "2 series-days a second: 172,800 times real time, all series' time added up." in made
    assert "(100) that lived side by side would pass 1,728 times as fast as it lived." in made


def test_every_command_of_the_page_is_a_target_of_the_makefile():
    """They take minutes, so they are not run here: make says what it would do, which runs the bench."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines() if line]
    assert commands
    for command in commands:
        program, *arguments = command.split()
        assert program == "make", command
        told = subprocess.run(
            ["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert f"bench/{arguments[0].removeprefix('bench-')}.py" in told.stdout
