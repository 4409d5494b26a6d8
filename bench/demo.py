"""`make bench-demo`: the outcome of `make demo` as a benchmark, and its picture for the README.

In: nothing, and then it is the very run of `make demo`; `--seed`, `--hours` and `--pods` ask for another,
whose results are `demo-quick` and are not taken over into the docs. Out: bench/results/demo.json (Plimsoll
beside the arms that saw the same pods) and docs/demo.svg. What the figures mean is said in docs/results.md.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from plimsoll_cli.sandbox.command import DEFAULT_HOURS, DEFAULT_PODS, DEFAULT_SEED
from report import Row, bench_options, write_results

ROOT = Path(__file__).resolve().parents[1]
# Flags of `plimsoll sandbox`, what they are in `make demo`, and their names here.
DEFAULTS = {
    "--seed": ("seed", DEFAULT_SEED),
    "--duration": ("hours", DEFAULT_HOURS),
    "--pods": ("pods", DEFAULT_PODS),
}
FIGURES = {
    "ooms": ("OOM kills", "demo.ooms"),
    "oom_per_1000cd": ("1/1000 container-days", "demo.oom"),
    "slack": ("fraction of the limit", "demo.slack"),
    "changes_per_cd": ("1/container-day", "demo.changes"),
}


def asked_flags(options: argparse.Namespace) -> list[str]:
    """What differs from `make demo`, as flags; none for that run itself."""
    asked = {flag: getattr(options, name) for flag, (name, _) in DEFAULTS.items()}
    unit = {"--duration": "h"}
    return [
        part
        for flag, value in asked.items()
        if value != DEFAULTS[flag][1]
        for part in (flag, f"{value:g}{unit.get(flag, '')}")
    ]


def play(flags: list[str], picture: Path) -> dict[str, object]:
    """Run the sandbox as a person would; returns its JSON."""
    program = Path(sys.executable).parent / "plimsoll"
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "outcome.json"
        command = [str(program), "sandbox", *flags, "--json", str(out), "--svg", str(picture)]
        subprocess.run(command, check=True)
        outcome: dict[str, object] = json.loads(out.read_text("utf-8"))
    return outcome


def rows(outcome: dict[str, object], command: str) -> list[Row]:
    """A row a figure; the other arms are what it is held against."""
    arms = {arm["arm"]: arm for arm in outcome["arms"]}  # type: ignore[attr-defined]
    ours = arms.pop("plimsoll")
    series = len(outcome["series"])  # type: ignore[arg-type]
    return [
        Row(
            name=name,
            value=ours[key],
            unit=unit,
            n=series,
            command=command,
            against={other: arm[key] for other, arm in arms.items()},
        )
        for key, (unit, name) in FIGURES.items()
    ]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Measure the demo and take its picture.")
    for name, default in DEFAULTS.values():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--picture", type=Path, default=ROOT / "docs" / "demo.svg")
    options = bench_options(parser)
    flags = asked_flags(options)
    started = time.monotonic()
    outcome = play(flags, options.picture)
    seconds = time.monotonic() - started
    command = " ".join(("plimsoll", "sandbox", *flags)) if flags else "make demo"
    name = "demo-quick" if flags else "demo"
    print(write_results(name, rows(outcome, command), options.seed, seconds))


if __name__ == "__main__":
    main()
