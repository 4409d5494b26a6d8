"""Fits what ships with the forecast room: `hazard.json` (networks) and `prior.json` (ratios, price table).

In: a directory of recorded traces. Held out and never seen: what `sample.json` calls unseen,
and every other series of the same (same job, same service's pod). The price table comes from replays
in which each half of the groups is decided by networks trained on the other half. Seeded: the same traces
give the same files.

    python bench/train_prior.py --traces DIRECTORY [--only ratios]

With `--only ratios` only that table of `prior.json` is written anew.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from draw_sample import owner
from plimsoll.forecast import prior
from plimsoll.forecast.autopilot_ml import AutopilotMl
from plimsoll.forecast.growth import line_errors
from plimsoll.forecast.hazard import HazardPeak, Network
from plimsoll.forecast.holt_winters import HoltWinters
from plimsoll.forecast.moving_windows import MovingWindows
from plimsoll.forecast.protocol import PeakModel
from plimsoll.forecast.seasonal import SeasonalPeak
from plimsoll.forecast.window import FloatArray, UsageWindow
from plimsoll.forecast.windowed import WindowedPeak
from plimsoll.pipeline import PipelineSettings
from plimsoll.replay.limits import ReplaySettings, replay_limits
from plimsoll.replay.live import LiveRecommender
from plimsoll.replay.score import join as join_scores
from plimsoll.replay.score import outcome, score
from plimsoll.replay.series import SeriesBatch
from plimsoll.replay.split import group_of
from plimsoll_cli.traces.parquet import read_trace, source_warmup_bins, trace_files
from plimsoll_cli.traces.sample import sample_facts
from prior_network import train
from prior_rows import Rows, rows_of, windows_at
from prior_rows import join as join_rows

SEED = 7
NETWORKS = 3
# Spiky machines teach the tail, but there are many of them: every sixth hour, at a lower weight.
STRESS = ("bitbrains_rnd", "alibaba2018_machine")
STRESS_EVERY, STRESS_WEIGHT, ALTERED_WEIGHT = 6, 0.3, 0.3
RATIO_LEVELS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999)
# Container-days of unused limit a kill is worth, from reckless to anxious.
PRICES = (0.125, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 24.0, 48.0)
# Series of other sources turn out looser and deadlier than the ones at hand, so aim below.
SLACK_MARGIN, OOM_MARGIN = 1.05, 1.15
TABLES = Path(prior.__file__).parent


@dataclass(frozen=True, slots=True)
class Material:
    """Rows to train on; machines are no containers and only teach."""

    plain: Rows
    altered: Rows
    machines: Rows


def main() -> None:
    """Read, train, replay, write."""
    parser = argparse.ArgumentParser(description="fit the tables that ship with plimsoll.forecast")
    parser.add_argument("--traces", type=Path, required=True)
    parser.add_argument("--only", choices=["ratios"])
    arguments = parser.parse_args()
    held_out = held_out_series()
    batches = [without(read_trace(path), held_out) for path in trace_files([arguments.traces])]
    containers = [batch for batch in batches if batch.source not in STRESS]
    ratios = {"levels": list(RATIO_LEVELS), "log_ratio": pooled_ratios(containers)}
    if arguments.only == "ratios":
        write("prior.json", {**prior.document(), "ratios": ratios})
        return
    machines = [batch for batch in batches if batch.source in STRESS]
    material = Material(
        rows_of(containers, (0, 4, 8)),
        rows_of(containers, (0, 6), augment=np.random.default_rng(SEED)),
        rows_of(machines, (0,), STRESS_EVERY),
    )
    facts = provenance(batches, held_out, material)
    write("hazard.json", {**facts, "networks": [plain(network) for network in networks(material, None)]})
    write("prior.json", {**facts, "ratios": ratios, "objectives": price_table(containers, material)})


def held_out_series() -> frozenset[str]:
    """Names of the series that nothing is trained on: the demo plays them."""
    return frozenset(sample_facts()["unseen"])


def without(batch: SeriesBatch, held_out: frozenset[str]) -> SeriesBatch:
    """The batch without the sample's series and without other days or instances of them."""
    owners = {owner(name) for name in held_out}
    return batch.take([i for i, name in enumerate(batch.series_ids) if owner(name) not in owners])


def networks(material: Material, groups: frozenset[str] | None) -> list[Network]:
    """Networks trained on these groups (None: all) and on all machines."""
    kept = [part if groups is None else chosen(part, groups) for part in (material.plain, material.altered)]
    parts = [(kept[0], 1.0), (kept[1], ALTERED_WEIGHT), (material.machines, STRESS_WEIGHT)]
    return [train(parts, SEED + index) for index in range(NETWORKS)]


def chosen(rows: Rows, groups: frozenset[str]) -> Rows:
    """The rows of these groups."""
    return rows.take(np.isin(rows.group, list(groups)))


def price_table(containers: Sequence[SeriesBatch], material: Material) -> dict[str, list[float]]:
    """What each price comes to on series whose group the networks have not seen."""
    groups = np.unique(material.plain.group)
    first = frozenset(np.random.default_rng(SEED).permutation(groups)[: len(groups) // 2].tolist())
    halves = (first, frozenset(groups.tolist()) - first)
    models = [HazardPeak(networks(material, half)) for half in halves]
    slack, kills, changes = [], [], []
    for price in PRICES:
        scores = [scored(containers, halves[1 - i], models[i], price) for i in range(2)]
        pooled = outcome(join_scores([part for half in scores for part in half]))
        slack.append(pooled.slack)
        kills.append(pooled.oom_per_1000cd)
        changes.append(pooled.changes_per_cd)
        print(
            f"{price=:g}: {kills[-1]:.1f} OOM/1000 cd @ {slack[-1]:.4f}, {changes[-1]:.2f} changes/cd",
            flush=True,
        )
    return {
        "oom_price": list(PRICES),
        "slack": rounded(np.maximum.accumulate(slack) * SLACK_MARGIN),
        "oom_per_1000_cd": rounded(np.minimum.accumulate(kills) * OOM_MARGIN),
        "measured_slack": rounded(slack),
        "measured_oom_per_1000_cd": rounded(kills),
        "measured_changes_per_cd": rounded(changes),
    }


def scored(
    containers: Sequence[SeriesBatch], groups: frozenset[str], model: HazardPeak, price: float
) -> list[Any]:
    """Scores of the series of these groups at one price."""
    out = []
    for batch in containers:
        mine = batch.take([i for i, name in enumerate(batch.series_ids) if group_of(name) in groups])
        if len(mine):
            recommender = LiveRecommender(replace(PipelineSettings(), oom_price=price), model)
            out.append(score(replay_limits(mine, recommender, ReplaySettings(source_warmup_bins(batch)))))
    return out


def pooled_ratios(containers: Sequence[SeriesBatch]) -> dict[str, list[float]]:
    """Quantiles of the simple models' log errors, pooled by hours."""
    models = (WindowedPeak(), SeasonalPeak(), MovingWindows(), AutopilotMl(), HoltWinters())
    # The line's own errors, wherever there was one to follow: its other rows have the windowed peak's.
    rules = {"growth": lambda window: line_errors(window.hourly_bytes)}
    rules = {**{model.name: errors_of(model) for model in models}, **rules}
    windows = [whole_window(batch) for batch in containers]
    out = {}
    for name, errors in rules.items():
        pooled = np.concatenate([errors(window).ravel() for window in windows])
        out[name] = rounded(np.quantile(pooled[np.isfinite(pooled)], RATIO_LEVELS))
    return out


def errors_of(model: PeakModel) -> Callable[[UsageWindow], FloatArray]:
    """The model's past log errors [n, t], from a window."""
    return lambda window: model.fit(window).hindcast().log_error


def whole_window(batch: SeriesBatch) -> UsageWindow:
    """All series of a batch, each at its last whole hour."""
    ends = batch.length_bins // 12 * 12
    windows = [
        windows_at(usage[:length], np.array([end]))
        for usage, length, end in zip(batch.usage_bytes, batch.length_bins, ends, strict=True)
    ]
    return UsageWindow(
        np.concatenate([window.recent_bytes for window in windows]),
        np.concatenate([window.hourly_bytes for window in windows]),
    )


def provenance(
    batches: Sequence[SeriesBatch], held_out: frozenset[str], material: Material
) -> dict[str, Any]:
    """Where the tables come from."""
    return {
        "script": "bench/train_prior.py",
        "seed": SEED,
        "sources": {batch.source: len(batch) for batch in batches},
        "held_out": f"the {len(held_out)} unseen series of the sample and their siblings",
        "rows": len(join_rows([material.plain, material.altered, material.machines]).need),
    }


def plain(network: Network) -> dict[str, Any]:
    """A network as JSON; six digits are as many as float32 needs here."""
    return {field.name: rounded(getattr(network, field.name)) for field in fields(network)}


def rounded(values: Any) -> Any:  # noqa: ANN401
    """Nested lists of numbers with six significant digits."""
    array = np.asarray(values)
    return [rounded(part) for part in array] if array.ndim else float(f"{float(array):.6g}")


def write(name: str, document: dict[str, Any]) -> None:
    """One key a line, so that a diff shows what changed."""
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in document.items())
    (TABLES / name).write_text("{\n" + lines + "\n}\n", encoding="utf-8")
    print(f"wrote {name}", flush=True)


if __name__ == "__main__":
    main()
