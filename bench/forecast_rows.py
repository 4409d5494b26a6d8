"""From scores to the rows of bench/results/forecast.json and to what its plots are drawn from.

In: `Findings`, one a dataset. Out: rows in the agreed format, with peers beside Plimsoll, and beside the
rows: `frontier` (every setting of every recommender, over all and by class), `bands` (the interval of each
frontier) and `calibration`. Nothing is replayed here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from arms import CENSORED, CENSORED_PRICE, DEFAULT, OBJECTIVES, RECOMMENDERS, SUBJECT
from drawn import NAMES, UNITS, Drawn, plain, unseen_over
from plimsoll.replay.classes import SeriesClass
from plimsoll.replay.promises import BAND_EDGES, BANDS, Kept
from plimsoll.replay.resample import (
    OOM,
    SLACK,
    UNSEEN_EVENTS,
    draws,
    figures,
    frontier,
    groups_in,
    interval,
    oom_at_slack,
    slack_at_oom,
)
from plimsoll.replay.score import SeriesScores
from plimsoll.replay.series import BoolArray, FloatArray
from report import Row, row_of

# Held against Plimsoll draw by draw.
RIVALS = ("vpa", "vpa-guarded", "vpa-climb")
ASKED_SLACK, ASKED_OOM = 0.268, 76.0
GRID = np.round(np.arange(0.10, 0.501, 0.01), 3)
COMMAND = "make bench-forecast"
PROMISES = "forecast.promises"
WITHIN = "share_of_draws_within_5_percent"
ENOUGH_GROUPS = 8  # for a curve of a class to be read off
ORACLE = "oracle"
READ_OFF = "read off the curve of the judged half itself: the setting is chosen on what is judged"
Key = tuple[str, str]  # recommender, setting


@dataclass(frozen=True, slots=True)
class Findings:
    """Scores of every recommender and setting on one dataset, and the promises that Plimsoll kept there."""

    dataset: str
    scores: Mapping[Key, SeriesScores]
    frontier: frozenset[Key]
    promises: Mapping[Key, Kept]  # of those settings of Plimsoll's that note them

    @property
    def kept(self) -> Kept:
        """Plimsoll's promises, unasked."""
        return self.promises[SUBJECT, DEFAULT]

    @property
    def subject(self) -> SeriesScores:
        """Plimsoll's, unasked; series and their order are everybody's."""
        return self.scores[SUBJECT, DEFAULT]

    def settings(self, recommender: str) -> list[SeriesScores]:
        """Every step of a recommender's knob."""
        return [
            scores for key, scores in self.scores.items() if key[0] == recommender and key in self.frontier
        ]


def found_rows(found: Sequence[Findings], seed: int) -> Iterator[Row]:
    """All rows, dataset by dataset."""
    for each in found:
        prefix = "forecast.cold" if each.dataset == "cold" else f"forecast.{each.dataset}"
        names = ("oom_first_24h", "slack_first_24h", "changes_first_24h") if each.dataset == "cold" else NAMES
        yield from default_rows(each, prefix, names, draws(each.subject, seed))
        if each.dataset == "core":
            yield from core_rows(each, seed)
    yield leak_row()
    yield from absent_rows(found)


def absent_rows(found: Sequence[Findings]) -> Iterator[Row]:
    """Agreed rows for which the traces that were given have no series."""
    if not any(each.dataset == "bitbrains" for each in found):
        for figure, unit in zip(NAMES, UNITS, strict=True):
            yield Row(
                f"forecast.bitbrains.{figure}", None, unit, 0, COMMAND, why="none of these traces were given"
            )
    core = next(each.subject for each in found if each.dataset == "core")
    for kind in SeriesClass:
        if kind is not SeriesClass.IDLE and not (core.scored & (core.series_class == kind.value)).any():
            why = "no judged series is of this class"
            yield Row(f"forecast.class.{kind.value}.oom", None, UNITS[OOM], 0, COMMAND, why=why)


def core_rows(found: Findings, seed: int) -> Iterator[Row]:
    """What only containers have: operating points, classes, sources, calibration."""
    weights = draws(found.subject, seed)
    yield from point_rows(found, weights)
    yield from promised_rows(found, weights)
    yield from censored_rows(found, weights)
    for name, among in groups(found.subject):
        drawn = draws(found.subject, seed, among)
        yield from default_rows(found, f"forecast.{name}", NAMES, drawn, brief=True)
        if name.startswith("class.") and groups_in(found.subject, drawn) >= ENOUGH_GROUPS:
            yield from point_rows(found, drawn, f"forecast.{name}", brief=True)
    yield from calibration_rows(found, seed)
    yield from price_rows(found, weights)


def groups(scores: SeriesScores) -> Iterator[tuple[str, BoolArray]]:
    """Classes and sources that have scored series."""
    for kind in SeriesClass:
        among = scores.series_class == kind.value
        if (among & scores.scored).any():
            yield f"class.{kind.value}", among
    sources = np.array(scores.source)
    for source in dict.fromkeys(scores.source):
        if ((sources == source) & scores.scored).any():
            yield f"source.{source}", sources == source


def default_rows(
    found: Findings, prefix: str, names: Sequence[str], weights: FloatArray, *, brief: bool = False
) -> Iterator[Row]:
    """OOM, slack and changes of everybody as they are unasked, and the paired differences."""
    drawn = {
        name: figures(found.scores[name, DEFAULT], weights)
        for name in RECOMMENDERS
        if (name, DEFAULT) in found.scores
    }
    among = Drawn.of(found.subject, weights, COMMAND)
    for column, name in enumerate(names):
        columns = {who: values[:, column] for who, values in drawn.items()}
        at_most = among.unseen_kills if column == OOM else np.nan
        yield compared(f"{prefix}.{name}", columns, UNITS[column], among, at_most)
        if not brief:
            yield from paired(f"{prefix}.{name}", columns, UNITS[column], among, at_most)


def point_rows(
    found: Findings, weights: FloatArray, prefix: str = "forecast.core", *, brief: bool = False
) -> Iterator[Row]:
    """Every frontier at the same slack, and at the same OOMs, by interpolation between its settings."""
    curves = {who: frontier(found.settings(who), weights) for who in RECOMMENDERS if found.settings(who)}
    among = Drawn.of(found.subject, weights, COMMAND)
    for name, column, rule, asked in (
        ("oom_at_slack_268", OOM, oom_at_slack, ASKED_SLACK),
        ("slack_at_oom_76", SLACK, slack_at_oom, ASKED_OOM),
    ):
        at = {who: rule(curve, asked) for who, curve in curves.items()}
        at_most = among.unseen_kills if column == OOM else np.nan
        yield replace(compared(f"{prefix}.{name}", at, UNITS[column], among, at_most), note=READ_OFF)
        if not brief:
            yield from paired(f"{prefix}.{name}", at, UNITS[column], among, at_most)


def censored_rows(found: Findings, weights: FloatArray) -> Iterator[Row]:
    """Where usage of a killed bin is cut off at the limit: figures, and what they are more than told."""
    among = Drawn.of(found.subject, weights, COMMAND)
    for told in (DEFAULT, f"price {CENSORED_PRICE:g}"):
        for name in CENSORED:
            if (SUBJECT, f"{told} {name}") in found.scores:
                cut, shown = (
                    figures(found.scores[SUBJECT, key], weights) for key in (f"{told} {name}", told)
                )
                stem = f"forecast.core.{name} {told}".replace(" ", "_")
                yield from among.figures(stem, cut)
                yield from among.differences(f"{stem}.minus_told", cut - shown)


def promised_rows(found: Findings, weights: FloatArray) -> Iterator[Row]:
    """What comes out where an operating point is asked for by name: nothing is fitted to what is judged."""
    for objective in OBJECTIVES:
        values = figures(found.scores[SUBJECT, objective], weights)
        kind, _, asked = objective.partition(":")
        command = f"plimsoll replay limits --objective {objective}"
        among = Drawn.of(found.subject, weights, command)
        stem = f"forecast.core.promised.{kind}_{asked.removeprefix('0.')}"
        yield from among.figures(stem, values)
        column = SLACK if kind == "slack" else OOM
        realised = values[:, column] / float(asked)
        at_most = among.at_most(column) / float(asked)
        yield among.figure(f"{stem}.realised_over_asked", realised, "ratio", at_most)
        yield Row(f"{stem}.{WITHIN}", within_5_percent(realised), "share of draws", among.n, command)
        fitted = at_fitted_knob(found.settings(SUBJECT), weights, column, float(asked)) / float(asked)
        unreached = "no two neighbouring prices have it between them"
        share, why = (within_5_percent(fitted), None) if np.isfinite(fitted[0]) else (None, unreached)
        name = f"{stem}.{WITHIN}.at_a_fitted_price"
        yield Row(name, share, "share of draws", among.n, COMMAND, why=why)


def within_5_percent(realised_over_asked: FloatArray) -> float:
    """Share of the draws that land within 5 % of what was asked for."""
    return float((np.abs(realised_over_asked[1:] - 1) <= 0.05).mean())


def at_fitted_knob(
    settings: Sequence[SeriesScores], weights: FloatArray, column: int, wanted: float
) -> FloatArray:
    """A figure [r] of every draw at the setting that comes exactly to `wanted` on what was measured.

    Between two neighbouring settings draws are interpolated as the measured figure is; NaN: none has it.
    """
    curve = np.array([figures(scores, weights)[:, column] for scores in settings])  # [k, r]
    for left, right in pairwise(curve):
        if left[0] != right[0] and min(left[0], right[0]) <= wanted <= max(left[0], right[0]):
            part = (wanted - left[0]) / (right[0] - left[0])
            return np.asarray(left + part * (right - left))
    return np.full(len(weights), np.nan)


def calibration_rows(found: Findings, seed: int) -> Iterator[Row]:
    """Realised over promised exceedance, over all and by class, and both rates."""
    everything = np.ones(len(found.subject), dtype=np.bool_)
    kinds = [
        (f".{name.removeprefix('class.')}", among) for name, among in groups(found.subject) if "class" in name
    ]
    for suffix, among in [("", everything), *kinds]:
        weights = draws(found.subject, seed, among)
        drawn = Drawn.of(found.subject, weights, COMMAND)
        title = f"forecast.calibration{suffix}"
        yield drawn.ratio(f"{title}.realised_over_promised", found.kept, weights)
        windows = weights @ found.kept.windows.sum(axis=1)
        for name in ("promised", "realised"):
            rate = weights @ getattr(found.kept, name).sum(axis=1) / np.where(windows > 0, windows, np.nan)
            at_most = unseen_over(float(windows[0]))
            yield drawn.figure(f"{title}.{name}", rate, "1/window of an hour", at_most)


def price_rows(found: Findings, weights: FloatArray) -> Iterator[Row]:
    """The same over all at every price: the less is promised, the harder it is to keep."""
    among = Drawn.of(found.subject, weights, COMMAND)
    for key, kept in found.promises.items():
        if key in found.frontier:
            stem = f"{PROMISES}.{key[1].replace(' ', '_').replace('.', '_')}"
            promised, realised = (weights @ each.sum(axis=1) for each in (kept.promised, kept.realised))
            yield among.figure(f"{stem}.promised", promised, "hours")
            yield among.figure(f"{stem}.realised", realised, "hours", UNSEEN_EVENTS)
            yield among.ratio(f"{stem}.realised_over_promised", kept, weights)


def leak_row() -> Row:
    """From bench/leak.py, where it has run: false alarms are not a matter of replays of limits."""
    name, unit = "forecast.leak.false_alarms_per_1000cd", "1/1000 container-days"
    absent = Row(name, None, unit, 0, "make bench-leak", why="bench/leak.py has not been run before this")
    return row_of(name, "leak") or absent


def compared(
    name: str, columns: Mapping[str, FloatArray], unit: str, among: Drawn, at_most: float = np.nan
) -> Row:
    """Plimsoll's figure with its interval, and the others' beside it with theirs."""
    found = {who: interval(values, among.groups, unsure_of(who, at_most)) for who, values in columns.items()}
    row = among.row(name, found.pop(SUBJECT), unit)
    why = None if row.value is not None else "no setting that was tried comes so far"
    against: dict[str, float | None] = {who: each.value for who, each in found.items()}
    return replace(
        row,
        against=against,
        spreads={who: [*plain(each)[1:], each.finite] for who, each in found.items()},
        why=why,
    )


def unsure_of(who: str, at_most: float) -> float:
    """What no kill at all leaves open of a recommender: nothing of the one that knows what comes."""
    return np.nan if who == ORACLE else at_most


def paired(
    name: str, columns: Mapping[str, FloatArray], unit: str, among: Drawn, at_most: float = np.nan
) -> Iterator[Row]:
    """Plimsoll minus each rival, on the same draws."""
    for rival in RIVALS:
        difference = columns[SUBJECT] - columns[rival]
        yield among.difference(f"{name}.minus_{rival.replace('-', '_')}", difference, unit, at_most)


# -- what plots are drawn from ------------------------------------------------------------------------------


def document_parts(found: Sequence[Findings], seed: int) -> dict[str, Any]:
    """`frontier`, `bands` and `calibration` of the containers."""
    core = next(each for each in found if each.dataset == "core")
    everything = np.ones(len(core.subject), dtype=np.bool_)
    kinds = {"all": everything} | {
        name.removeprefix("class."): among
        for name, among in groups(core.subject)
        if name.startswith("class.")
    }
    points, bands, kept = [], [], []
    for kind, among in kinds.items():
        weights = draws(core.subject, seed, among)
        points += [point(core, key, kind, weights) for key in core.scores]
        kept += calibration(core.kept, kind, weights, groups_in(core.subject, weights))
        bands += [{"class": kind, **band(core, who, weights)} for who in RECOMMENDERS if core.settings(who)]
    return {"frontier": points, "bands": bands, "calibration": kept}


def point(found: Findings, key: Key, kind: str, weights: FloatArray) -> dict[str, Any]:
    """One setting of one recommender on one class."""
    values, among = figures(found.scores[key], weights), Drawn.of(found.scores[key], weights, COMMAND)
    each = {
        name: plain(interval(values[:, column], among.groups, unsure_of(key[0], among.at_most(column))))
        for column, name in enumerate(NAMES)
    }
    return {
        "class": kind,
        "recommender": key[0],
        "setting": key[1],
        "knob": key in found.frontier,
        "n": among.n,
        "groups": among.groups,
        **each,
    }


def band(found: Findings, who: str, weights: FloatArray) -> dict[str, Any]:
    """OOMs over slack with the interval at each slack; absent where too few draws reach it."""
    curves = frontier(found.settings(who), weights)
    among = Drawn.of(found.subject, weights, COMMAND)
    at_most = unsure_of(who, among.unseen_kills)
    at = np.array([np.interp(GRID, c[:, SLACK], c[:, OOM], left=np.nan, right=np.nan) for c in curves])
    inside = np.isfinite(at[0]) & (np.isfinite(at).mean(axis=0) > 0.5)
    rows = [
        (float(slack), *plain(interval(column, among.groups, at_most)))
        for slack, column in zip(GRID[inside], at[:, inside].T, strict=True)
    ]
    return {"recommender": who, "slack_oom_low_high": [list(row) for row in rows]}


def calibration(kept: Kept, kind: str, weights: FloatArray, groups: int) -> list[dict[str, Any]]:
    """Promised and realised rates by band of the promise."""
    out = []
    for index in range(BANDS):
        windows = weights @ kept.windows[:, index]
        if windows[0] == 0:
            continue
        per_window = np.where(windows > 0, windows, np.nan)
        rate = weights @ kept.realised[:, index] / per_window
        realised = interval(rate, groups, unseen_over(float(windows[0])))
        out.append(
            {
                "class": kind,
                "band": [BAND_EDGES[index], BAND_EDGES[index + 1]],
                "windows": int(windows[0]),
                "promised": float((weights @ kept.promised[:, index] / per_window)[0]),
                "realised": plain(realised),
            }
        )
    return out
