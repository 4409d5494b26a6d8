"""What every benchmark writes: rows in, `bench/results/NAME.json` out, in the agreed format.

A row that could not be measured has no value and says why. The docs' tables are made from these files,
never typed. What was measured must be there to be checked out: a bench does not begin in a tree with changes
that are in no commit, unless it is told `--dirty`, and then its results are marked. They name the files that
they measure (`measured.py`) and digests of the data, so that a page can say when they are old.
"""

import argparse
import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from measured import data_digests, measured, working_tree

RESULTS = Path(__file__).parent / "results"
COMMITTED = Path(__file__).parents[1] / "docs" / "results"
UNKNOWN = "unknown"
CHANGED = "the tree has changes that are in no commit, so nobody could check out what is measured"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `low` and `high`: its 95 % interval. `against`: the same figure for each peer, same run.

    `spreads`: the peers' low, high and share of finite draws. `groups`: what was drawn; one has no interval.
    `finite_draws`: share of the draws that have the figure, where some have not. `note`: how to read it.
    `commit`, `bench`: what was measured, and by which bench, where these are others than those of the results
    it stands in.
    """

    name: str
    value: float | None
    unit: str
    n: int
    command: str
    low: float | None = None
    high: float | None = None
    against: dict[str, float | None] = field(default_factory=dict)
    why: str | None = None
    commit: str | None = None
    bench: str | None = None
    spreads: dict[str, list[float | None]] | None = None
    groups: int | None = None
    finite_draws: float | None = None
    note: str | None = None


class DirtyTreeError(RuntimeError):
    """What ran is in no commit, and nobody said that it may be."""


class _Allowed:
    """What the command line said: a bench is a process."""

    dirty = False
    data: tuple[object, ...] = ()  # what was named to be measured: directories and files


def bench_options(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None
) -> argparse.Namespace:
    """The command line of a bench, with `--dirty`. Ends the process where the tree is dirty without it.

    `--quick`, where a bench has it, only shows that the bench runs: its results are taken over nowhere.
    """
    parser.add_argument("--dirty", action="store_true", help="measure code that is in no commit, and mark it")
    options = parser.parse_args(arguments)
    _Allowed.dirty = options.dirty or bool(getattr(options, "quick", False))
    _Allowed.data = tuple(getattr(options, name, None) for name in ("traces", "recordings"))
    if not _Allowed.dirty and commit().endswith("+"):
        parser.error(f"{CHANGED}: commit them, or say --dirty")
    return options


def write_results(
    name: str, rows: Sequence[Row], seed: int, seconds: float, beside: Mapping[str, object] | None = None
) -> Path:
    """Write the results of the bench `name`, and what its plots need `beside` the rows; returns the file.

    Raises `DirtyTreeError` where the tree was changed meanwhile, for processes that a bench starts read it
    anew; what was measured then lies in NAME-dirty.json, which the docs do not take over.
    """
    at = commit()
    refused = at.endswith("+") and not _Allowed.dirty
    document = {
        "commit": at,
        "machine": machine(),
        "seed": seed,
        "seconds": round(seconds, 1),
        "rows": [_plain(row) for row in rows],
        **(beside or {}),
        "measured": _measured(name),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}{'-dirty' if refused else ''}.json"
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    if refused:
        raise DirtyTreeError(f"{CHANGED}; the results are in {path.name} and go no further")
    return path


def _measured(name: str) -> dict[str, object]:
    data = {file: digest for given in _Allowed.data for file, digest in data_digests(given).items()}
    return {**measured(name, working_tree()), "data": data}


def machine() -> dict[str, object]:
    """What it ran on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "kernel": platform.release(),
    }


def commit() -> str:
    """The commit that was measured; `+` where code differs from it; `unknown` outside a checkout.

    What benches write into docs/ (their figures, the demo's picture) does not count.
    """
    try:
        shown = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--", ":/", ":(top,exclude)docs", ":(top,exclude)README.md")
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN
    return f"{shown}+" if changed else shown


def _git(*words: str) -> str:
    command = ["git", *words]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def finite(value: float | None) -> float | None:
    """JSON has no NaN: a figure that is none is absent."""
    return None if value is None or not math.isfinite(value) else value


def _plain(row: Row) -> dict[str, object]:
    plain = asdict(row)
    for name in ("value", "low", "high"):
        plain[name] = finite(plain[name])
    plain["against"] = {peer: finite(value) for peer, value in row.against.items()}
    if plain["value"] is None and not row.why:
        plain["why"] = "nothing to divide by: no scored series"
    optional = ("why", "commit", "bench", "spreads", "groups", "finite_draws", "note")
    return {key: value for key, value in plain.items() if key not in optional or value is not None}


def row_of(name: str, other: str) -> Row | None:
    """The row `name` of the last results of another bench, with the commit that was measured there.

    The last ones are those that it has written here; else those that are committed.
    """
    path = next(
        (each for each in (RESULTS / f"{other}.json", COMMITTED / f"{other}.json") if each.is_file()), None
    )
    if path is None:
        return None
    document = json.loads(path.read_text("utf-8"))
    found = (row for row in document["rows"] if row["name"] == name)
    return next((Row(**{"commit": document["commit"], "bench": other, **row}) for row in found), None)
