"""`make bench-demo`: the sandbox's outcome as a benchmark, and its picture for the README.

In: flags of `plimsoll sandbox` that matter. Out: bench/results/demo.json (Plimsoll beside the arms that saw
the same pods) and docs/demo.svg. The run is seeded; what the figures mean is said in docs/results.md.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import Row, write_results

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "plimsoll sandbox --seed {seed} --duration {hours:g}"
FIGURES = {
    "ooms": ("OOM kills", "demo.ooms"),
    "oom_per_1000cd": ("1/1000 container-days", "demo.oom"),
    "slack": ("fraction of the limit", "demo.slack"),
    "changes_per_cd": ("1/container-day", "demo.changes"),
}


def play(seed: int, hours: float, picture: Path) -> dict[str, object]:
    """Run the sandbox as a person would; returns its JSON."""
    program = Path(sys.executable).parent / "plimsoll"
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "outcome.json"
        flags = ["--seed", str(seed), "--duration", f"{hours:g}", "--json", str(out), "--svg", str(picture)]
        subprocess.run([str(program), "sandbox", *flags], check=True)
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
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--hours", type=float, default=36.0)
    parser.add_argument("--picture", type=Path, default=ROOT / "docs" / "demo.svg")
    options = parser.parse_args()
    started = time.monotonic()
    outcome = play(options.seed, options.hours, options.picture)
    command = COMMAND.format(seed=options.seed, hours=options.hours)
    write_results("demo", rows(outcome, command), options.seed, time.monotonic() - started)


if __name__ == "__main__":
    main()
