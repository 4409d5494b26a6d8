"""In: what operator and agents wrote down. Out: the rows of `make bench-coord`, or why there are none."""

from dataclasses import asdict
from types import SimpleNamespace

import pytest

from builders.benches import bench_modules

AGENTS = 100
BEGAN = 1000.0  # of the machine's monotonic clock, seconds


@pytest.fixture(scope="module")
def bench():
    return bench_modules(main="coord", rows="coord_rows", server="coord_server")


def looks(bench, *, attending=AGENTS, heard_per_second=100.0, seconds=40, in_after=10):
    """A second each: half a core of the operator's, one and a half of the machine's; all in after a while."""
    return [
        asdict(
            bench.server.Look(
                at=BEGAN + second,
                cpu_seconds=3.0 + 0.5 * second,
                machine_busy_seconds=50.0 + 1.5 * second,
                samples=int(heard_per_second * second),
                attending=attending if second >= in_after else attending - 1,
                memory_mib=150.0,
                open_files=112,
            )
        )
        for second in range(seconds)
    ]


def seen(bench, **how):
    heard = {"looks": looks(bench, **how), "deltas": ["a", "b", "b"]}
    heard |= {"leases": [(BEGAN + 20, 0.001)] * 99 + [(BEGAN + 21, 0.1)] + [(BEGAN + 2, 9.0)] * 50}
    said = {
        "silent_at": BEGAN + 36,
        "samples": 3600,
        "samples_given_up": 3,
        "leases": 100,
        "leases_asked": 104,
    }
    said |= {"round_trips": [(BEGAN + 20, 0.005)] * 100 + [(BEGAN + 3, 9.0)] * 50}
    said |= {"deltas": ["a", "b", "c", "d"], "deltas_waiting": ["d"]}
    return said, heard


def steady(bench, load=None, **how):
    said, heard = seen(bench, **how)
    load = load or bench.rows.Load(AGENTS)
    rows = bench.rows.steady_rows(load.name, load, said, heard, 50.0)
    return {row.name.removeprefix(f"{load.name}."): row for row in rows}


def test_a_size_is_measured_while_all_attend_and_speak(bench):
    rows = steady(bench)
    values = {name: row.value for name, row in rows.items()}
    assert values["samples_per_second"] == 100.0
    assert (values["cores"], values["machine_cores"], values["cpu_ms_per_sample"]) == (0.5, 1.5, 5.0)
    assert (values["memory_mib"], values["memory_kib_per_stream"]) == (150.0, 1024.0)
    assert values["open_files"] == 112.0
    assert (values["lease_p50_ms"], values["lease_p99_ms"]) == (5.0, 5.0), "none of the beginning"
    assert values["lease_inside_p50_ms"] == 1.0
    assert 1.0 < values["lease_inside_p99_ms"] < 100.0
    assert rows["lease_p99_ms"].n == rows["lease_inside_p99_ms"].n == 100
    assert rows["cores"].n == 2100, "from 5 s after all were in until they fell silent"
    assert values["leases_unanswered"] == 4.0
    assert (values["lost"], values["repeated"], values["samples_given_up"]) == (1.0, 1.0, 3.0)
    assert bench.rows.carried([*rows.values()])
    assert all(row.why is None for row in rows.values())


def test_where_the_load_was_not_carried_nothing_is_told_of_it_but_what_was_seen(bench):
    rows = steady(bench, heard_per_second=60.0)
    absent = {name for name, row in rows.items() if row.value is None}
    of_leases = {f"lease{inside}_p{each}_ms" for inside in ("", "_inside") for each in (50, 99)}
    assert absent == {"cores"} | of_leases
    assert "60 of 100 samples a second arrived" in rows["cores"].why
    assert "1.50 were busy" in rows["cores"].why
    assert rows["cores"].why.endswith("it was 0.5 cores then")
    assert rows["cpu_ms_per_sample"].value == pytest.approx(8.333)
    assert not bench.rows.carried([*rows.values()])


def test_agents_that_say_less_have_rows_of_their_own(bench):
    rarely = bench.rows.Load(AGENTS, 0.1)
    rows = steady(bench, rarely, heard_per_second=10.0)
    assert rows["cores"].name == f"coord.{AGENTS}.rarely.cores"
    assert rows["cores"].value == 0.5
    assert "0.1 samples a second" in rows["cores"].note


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"attending": 99}, "99 of 100 agents attended at most"),
        ({"in_after": 28}, "attended for less than 10 s"),
        ({"seconds": 0}, "0 of 100 agents attended at most"),
    ],
)
def test_a_size_that_was_never_whole_says_so_and_is_counted_all_the_same(bench, how, why):
    rows = steady(bench, **how)
    assert {name for name, row in rows.items() if row.value is not None} == {
        "lost", "repeated", "samples_given_up",
    }  # fmt: skip
    assert all(why in row.why for row in rows.values() if row.value is None)
    assert bench.rows.STEADY.keys() < rows.keys()


def storm(bench, changes, agents=4):
    said = {"attending": changes, "deltas": ["a"], "deltas_waiting": [], "samples": 9, "samples_given_up": 0}
    heard = [{"deltas": ["a"]}, {"deltas": ["a"], "refusals": {"rate": 2}, "reviews": 6}]
    rows = bench.rows.storm_rows(bench.rows.Load(agents), said, heard, BEGAN + 20, BEGAN + 21)
    return {row.name.removeprefix("coord."): row for row in rows}


def test_a_storm_lasts_until_all_are_back(bench):
    away = [(BEGAN, 0), (BEGAN + 2, 4), (BEGAN + 20.3, 0)]
    rows = storm(bench, [*away, (BEGAN + 22, 1), (BEGAN + 23, 2), (BEGAN + 50, 4)])
    assert rows["storm_half_seconds"].value == 2.0
    assert rows["reconnect_storm_seconds"].value == 29.0
    assert rows["storm.lost"].value == rows["storm.repeated"].value == 0.0, "heard by both is no repetition"
    assert rows["storm.refused"].value == 2.0


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ([(BEGAN, 4), (BEGAN + 20.5, 0), (BEGAN + 22, 3)], "3 of 4 were back by the end"),
        ([(BEGAN, 3), (BEGAN + 20.5, 0), (BEGAN + 22, 4)], "3 of 4 agents attended when the operator was"),
    ],
)
def test_a_storm_that_does_not_end_or_was_none_has_no_figure(bench, changes, why):
    row = storm(bench, changes)["reconnect_storm_seconds"]
    assert row.value is None
    assert why in row.why


def test_a_size_with_too_few_open_files_is_not_begun_and_names_the_limit(bench, monkeypatch, tmp_path):
    monkeypatch.setattr(bench.main, "raised_open_files", lambda: 1024)
    monkeypatch.setattr(bench.main.subprocess, "Popen", lambda *_, **__: pytest.fail("it was begun"))
    options = SimpleNamespace(seconds=30.0, relayed=5000, without_storm=False)
    rows = [*bench.main.measured(tmp_path, [3000, 5000], options)]
    assert {row.name for row in rows} >= {f"coord.{each}.cores" for each in (3000, 5000, "relayed")}
    assert all(row.value is None and "may have 1024 (`ulimit -Hn`)" in row.why for row in rows)
    assert rows[-1].name == "coord.reconnect_storm_seconds"
    bench.main.checked(1024 - bench.main.FILES_OF_SERVER)


def test_an_operator_that_does_not_start_is_a_reason_and_no_traceback(bench, monkeypatch, tmp_path):
    monkeypatch.setattr(bench.main, "HERE", tmp_path)  # where no coord_server.py is
    (row, *_) = bench.main.steady(tmp_path, bench.rows.Load(2), 1.0)
    assert row.value is None
    assert "did not start" in row.why
