"""Lines that end-to-end tests note become rows of a benchmark; a run that failed becomes none."""

import subprocess

import pytest

from builders.benches import bench_modules

LINES = "lease.limit\t608\tMiB\nshrink.limit_fell\t42.19\t%\nlease.limit\t610\tMiB\n"


def test_each_figure_is_a_row_and_of_two_the_later_counts():
    rows = bench_modules(main="e2e_figures").main.rows_of(LINES, "a command")
    assert [(row.name, row.value, row.unit) for row in rows] == [
        ("e2e.figures.lease.limit", 610.0, "MiB"), ("e2e.figures.shrink.limit_fell", 42.19, "%"),
    ]  # fmt: skip


@pytest.mark.parametrize("failed", [False, True])
def test_a_run_with_a_failed_test_writes_nothing(monkeypatch, tmp_path, failed):
    main, written = bench_modules(main="e2e_figures").main, []
    monkeypatch.setattr(main, "FIGURES", tmp_path / "figures")
    monkeypatch.setattr(main, "write_results", lambda name, rows, *_: written.append((name, len(rows))))
    monkeypatch.setattr(main.sys, "argv", ["e2e_figures.py", "--dirty"])

    def run(command, *, check, cwd, env):
        (tmp_path / "figures").write_text(LINES)
        if failed:
            raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(main.subprocess, "run", run)
    if failed:
        with pytest.raises(subprocess.CalledProcessError):
            main.main()
    else:
        main.main()
    assert written == ([] if failed else [("e2e_figures", 2)])
