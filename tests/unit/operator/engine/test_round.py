"""What a tick gathers: failures by whether they hold, factors of prices by objective, promises by class."""

from plimsoll_operator.engine.round import Round


def test_a_stage_that_fails_is_a_problem_or_a_notice_and_the_next_still_runs():
    made = Round(0.0)
    with made.stage("append"):
        raise RuntimeError("boom")
    with made.stage("prophet", holds=False):
        raise RuntimeError("bang")
    assert made.tick().problems == ("engine stage append: RuntimeError: boom",)
    assert made.tick().notices == ("engine stage prophet: RuntimeError: bang",)
    assert made.tick().stages.keys() == {"append", "prophet"}


def test_of_two_histories_the_price_further_from_the_tables_is_told():
    made = Round(0.0)
    made.steered({"slack:0.2": 0.5})
    made.steered({"slack:0.2": 1.5, "oom:7": 1.0})
    assert made.tick().price_factors == {"slack:0.2": 0.5, "oom:7": 1.0}


def test_what_was_kept_adds_up_over_histories():
    made = Round(0.0)
    made.keep({"flat": (0.5, 1.0)})
    made.keep({"flat": (0.25, 0.0), "bursty": (1.0, 3.0)})
    assert made.tick().kept == {"flat": (0.75, 1.0), "bursty": (1.0, 3.0)}
