"""What every benchmark writes: rows in, `bench/results/NAME.json` out, in the agreed format.

A row that could not be measured has no value and says why. The docs' tables are made from these files,
never typed.
"""

import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `low` and `high`: its 95 % interval. `against`: the same figure for each peer, same run."""

    name: str
    value: float | None
    unit: str
    n: int
    command: str
    low: float | None = None
    high: float | None = None
    against: dict[str, float | None] = field(default_factory=dict)
    why: str | None = None


def write_results(
    name: str, rows: Sequence[Row], seed: int, seconds: float, beside: Mapping[str, object] | None = None
) -> Path:
    """Write the results of the bench `name`, and what its plots need `beside` the rows; returns the file."""
    document = {
        "commit": commit(),
        "machine": machine(),
        "seed": seed,
        "seconds": round(seconds, 1),
        "rows": [_plain(row) for row in rows],
        **(beside or {}),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    return path


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
        return "unknown"
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
    return {key: value for key, value in plain.items() if key != "why" or value is not None}
