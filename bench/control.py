"""Control laws beside each other on a small MODEL of a container's memory: a table and
bench/results/control.json.

In: the model and the loads of tests/builders/container_model.py, an hour each. Out: for off, TMO's formula,
oomd's senpai, senpai.py (memory.high) and ours at each arm: memory saved, what had to be brought back of what
was touched (the distinct memory of each minute, which is what a node's agent can know and what a refault
budget is a share of), time stalled. It shows how the laws behave on the same memory; what a machine saves is
measured by `make bench-node`.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from builders.container_model import LOADS, ContainerModel, Outcome, run, run_senpai
from plimsoll.api.reclaim import ReclaimMode
from plimsoll.pages.control_bandit import ARMS
from plimsoll.pages.control_baselines import OomdSenpai, Tmo
from plimsoll.pages.control_law import ReclaimLaw
from plimsoll.pages.control_types import ReclaimPolicy
from report import Row, bench_options, write_results

POLICY = ReclaimPolicy(ReclaimMode.COLD)
BLOCKS = 2048


def outcomes(load: str, seconds: int) -> dict[str, Outcome]:
    """Every law on one load, each on memory of its own that is touched alike."""

    def model(*, sees: bool = True) -> ContainerModel:
        return ContainerModel(LOADS[load](), BLOCKS, sees_idle_age=sees)

    found = {
        "off": run(model(), None, seconds),
        "tmo": run(model(), Tmo(), seconds),
        "oomd-senpai": run(model(), OomdSenpai(), seconds),
        "senpai-high": run_senpai(model(), seconds),
        "plimsoll-blind": run(model(sees=False), ReclaimLaw(POLICY), seconds),
    }
    arms = {f"plimsoll-{arm.name}": run(model(), ReclaimLaw(POLICY, arm), seconds) for arm in ARMS}
    return found | arms


def rows_of(load: str, found: dict[str, Outcome], command: str) -> list[Row]:
    """Three rows a law."""
    return [
        Row(f"control.{load}.{law}.{name}", 100.0 * value, "%", 1, command)
        for law, each in found.items()
        for name, value in (
            ("saved", each.saved_ratio),
            ("refaults", each.refault_ratio),
            ("stalled", each.stalled_ratio),
        )
    ]


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=3600, help="simulated (default: %(default)s)")
    options = bench_options(parser)
    command = f".venv/bin/python bench/control.py --seconds {options.seconds}"
    began, rows = time.perf_counter(), []
    print(f"A MODEL of memory, {options.seconds} s each; refault budget {POLICY.refault_budget_ratio:.0%}")
    print(f"{'load':12} {'law':16} {'saved':>8} {'refaults':>9} {'stalled':>9}")
    for load in LOADS:
        found = outcomes(load, options.seconds)
        for law, each in found.items():
            told = f"{each.saved_ratio:8.1%} {each.refault_ratio:9.3%} {each.stalled_ratio:9.4%}"
            print(f"{load:12} {law:16} {told}", flush=True)
        rows += rows_of(load, found, command)
    print(write_results("control", rows, seed=0, seconds=time.perf_counter() - began))


if __name__ == "__main__":
    main()
