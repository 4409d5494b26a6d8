"""Chooses the weights of Autopilot's ML recommender, which its paper does not publish.

In: a directory of recorded traces, of which only the containers of the training half are read. Out: the
best settings of a seeded random search, printed; the first is what
`plimsoll.forecast.autopilot_ml.ArmSettings` has as its defaults. Best is after the paper's own aim (no more
overruns than the alternatives, at a higher utilisation), turned so that it is comparable: the fewest OOM
kills at no more slack than VPA has on the same series.

    python bench/choose_autopilot.py TRACES
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from plimsoll.forecast.autopilot_ml import ArmSettings
from plimsoll.replay.limits import ReplayRecommender, ReplaySettings, replay_limits
from plimsoll.replay.peers.autopilot_ml import AutopilotMlPeer
from plimsoll.replay.peers.vpa import Vpa
from plimsoll.replay.score import Outcome, join, outcome, score
from plimsoll.replay.series import SeriesBatch
from plimsoll.replay.split import Half, half_of
from plimsoll_cli.traces.parquet import read_trace, source_warmup_bins, trace_files

STRESS = ("bitbrains_rnd", "alibaba2018_machine")
SEED = 7
DRAWS = 240
CHOICES: dict[str, tuple[Any, ...]] = {
    "overrun": (3.0, 10.0, 30.0, 100.0, 300.0),
    "margins": (
        (0.1,),
        (0.1, 0.15),
        (0.05, 0.1, 0.15),
        (0.1, 0.2),
        (0.1, 0.15, 0.3),
        (0.05, 0.15, 0.3),
        (0.02, 0.05, 0.1, 0.2, 0.4),
    ),
    "half_lives": ((6.0, 24.0, 96.0), (24.0, 96.0), (48.0,), (12.0, 168.0)),
    "limit_change": (0.002, 0.01, 0.05, 0.2),
    "arm_change": (0.002, 0.01, 0.05, 0.2),
    "cost_half_life": (12.0, 24.0, 72.0, 168.0, 336.0),
}


def main() -> None:
    """Search and print."""
    parser = argparse.ArgumentParser(description="choose the weights of Autopilot's ML recommender")
    parser.add_argument("traces", type=Path)
    batches = training_batches(parser.parse_args().traces)
    vpa = measured(batches, Vpa())
    print(f"vpa: {told(vpa)}", flush=True)
    tried = {settings: measured(batches, AutopilotMlPeer(settings)) for settings in drawn()}
    allowed = [settings for settings in tried if tried[settings].slack <= vpa.slack]
    for settings in sorted(allowed, key=lambda settings: rank(tried[settings]))[:10]:
        print(f"{told(tried[settings])} {asdict(settings)}")


def drawn() -> list[ArmSettings]:
    """Settings at random, each once."""
    random = np.random.default_rng(SEED)
    draws = (
        ArmSettings(**{name: values[random.integers(len(values))] for name, values in CHOICES.items()})
        for _ in range(DRAWS)
    )
    return list(dict.fromkeys(draws))


def rank(found: Outcome) -> tuple[float, float]:
    """Fewest kills first, then least slack."""
    return found.oom_per_1000cd, found.slack


def training_batches(traces: Path) -> list[SeriesBatch]:
    """Containers of the training half."""
    batches = [read_trace(path) for path in trace_files([traces]) if path.stem not in STRESS]
    return [
        batch.take([i for i, name in enumerate(batch.series_ids) if half_of(name) is Half.TRAINING])
        for batch in batches
    ]


def measured(batches: Sequence[SeriesBatch], recommender: ReplayRecommender) -> Outcome:
    """What it comes to on all of them."""
    return outcome(
        join(
            [
                score(replay_limits(batch, recommender, ReplaySettings(source_warmup_bins(batch))))
                for batch in batches
                if len(batch)
            ]
        )
    )


def told(found: Outcome) -> str:
    """One line."""
    return (
        f"{found.oom_per_1000cd:.1f} OOM/1000 cd @ {found.slack:.4f}, {found.changes_per_cd:.2f} changes/cd"
    )


if __name__ == "__main__":
    main()
