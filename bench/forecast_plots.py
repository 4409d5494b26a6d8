"""The plots of bench/results/forecast.json: frontiers, small multiples by class, calibration.

In: the JSON file. Out: SVG and PNG beside it. What is drawn is what the file says, so they can be drawn anew
without a replay:

    python bench/forecast_plots.py bench/results/forecast.json
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

Point = Mapping[str, Any]
# Dark and thick: whom it is about. Warm: VPA's kin. Cold: Autopilot's. Grey: the rest.
COLOURS = {
    "plimsoll": "#0b3c8c",
    "plimsoll-no-guard": "#6f9be8",
    "vpa": "#c0392b",
    "vpa-guarded": "#e67e22",
    "vpa-climb": "#f1b04c",
    "krr": "#7d3c98",
    "autopilot": "#148f77",
    "autopilot-ml": "#58b368",
    "static": "#8a8f98",
    "oracle": "#111111",
}
BANDED = ("plimsoll", "vpa-climb")
CROSSED = ("plimsoll", "vpa")  # whose default shows its intervals
NAMED = {"plimsoll": "Plimsoll", "plimsoll-no-guard": "Plimsoll, no guard", "vpa": "VPA", "krr": "KRR"}
NAMED |= {
    "vpa-guarded": "VPA + guard",
    "vpa-climb": "VPA + our guard",
    "autopilot": "Autopilot, window",
    "autopilot-ml": "Autopilot, ML",
}
CLASS_ORDER = ("flat", "drift", "sawtooth", "bursty", "growth", "diurnal")
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "plimsoll",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e7eb",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.edgecolor": "#9aa1ab",
    "axes.labelcolor": "#333333",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "figure.facecolor": "white",
}
DEFAULT = "default"
SLACK_LABEL = "slack: mean unused part of the limit"
OOM_LABEL = "OOM kills per 1000 container-days"


def draw(results: Path) -> list[Path]:
    """Draw all plots; returns the SVG files."""
    document = json.loads(results.read_text("utf-8"))
    with mpl.rc_context(STYLE):
        figures = {
            "frontier": frontier_figure(document),
            "classes": classes_figure(document),
            "calibration": calibration_figure(document),
        }
        return [save(figure, results.with_name(f"{results.stem}-{name}")) for name, figure in figures.items()]


def save(figure: Figure, stem: Path) -> Path:
    """Write SVG (without a date, so that the same results give the same file) and PNG."""
    svg = stem.with_suffix(".svg")
    figure.savefig(svg, bbox_inches="tight", metadata={"Date": None})
    figure.savefig(stem.with_suffix(".png"), bbox_inches="tight", dpi=150)
    return svg


# -- frontiers ----------------------------------------------------------------------------------------------


def frontier_figure(document: Mapping[str, Any]) -> Figure:
    """OOMs against slack of every recommender, over all judged containers."""
    figure = Figure(figsize=(9, 6))
    axes = figure.subplots()
    points = of_class(document["frontier"], "all")
    bands(axes, of_class(document["bands"], "all"))
    curves(axes, points)
    unasked = [p["oom"][0] for p in points if p["setting"] == DEFAULT and p["recommender"] != "static"]
    axes.set_ylim(0, 1.15 * max(*unasked, 100.0))
    axes.set_xlim(0, 0.45)
    aims(axes)
    n, days = points[0]["n"], "judged half of the development traces"
    title(
        axes,
        "Who kills least at the same slack",
        f"{n} containers, {days}; bands: 95 % of bootstraps over groups",
    )
    labels(axes)
    beside = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "alignment": "left"}
    axes.legend(frameon=False, title="ring: as it is unasked", title_fontsize=9, fontsize=9, **beside)
    return figure


def bands(axes: Axes, found: Sequence[Mapping[str, Any]]) -> None:
    """The intervals of those that matter most."""
    for band in found:
        if band["recommender"] in BANDED and band["slack_oom_low_high"]:
            slack, _, low, high = np.array(band["slack_oom_low_high"], dtype=np.float64).T
            axes.fill_between(slack, low, high, color=COLOURS[band["recommender"]], alpha=0.13, linewidth=0)


def aims(axes: Axes) -> None:
    """The two operating points at which results are told."""
    for draw_line, at in ((axes.axvline, 0.268), (axes.axhline, 76)):
        draw_line(at, color="#b8bec7", linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    axes.annotate(
        "slack .268", (0.268, 0.985), xycoords=("data", "axes fraction"), **NOTE, rotation=90, va="top"
    )
    axes.annotate("76 kills", (0.004, 76), **NOTE, va="bottom")


NOTE: dict[str, Any] = {"fontsize": 8, "color": "#7c838d", "ha": "left"}


def curves(axes: Axes, points: Sequence[Point]) -> None:
    """A line through every recommender's settings, and a ring where it is unasked."""
    for who, colour in COLOURS.items():
        mine = sorted(
            (p for p in points if p["recommender"] == who and p["knob"]), key=lambda p: p["slack"][0]
        )
        mine = [point for point in mine if point["oom"][0] is not None]
        ours = who == "plimsoll"
        style = {"color": colour, "linewidth": 2.6 if ours else 1.4, "zorder": 5 if ours else 3}
        if len(mine) > 1:
            axes.plot(*coordinates(mine), marker="o", markersize=3.2, label=named(who), **style)
        for point in points:
            if point["recommender"] == who and point["setting"] == DEFAULT and point["oom"][0] is not None:
                alone = named(who) if len(mine) < 2 else None
                ring(axes, point, colour, alone)


def ring(axes: Axes, point: Point, colour: str, label: str | None) -> None:
    """A default setting; for the two that matter with its intervals as a cross."""
    slack, oom = point["slack"], point["oom"]
    face = {"markerfacecolor": "white", "markeredgecolor": colour, "markeredgewidth": 1.8, "markersize": 7}
    crossed = point["recommender"] in CROSSED
    errors = {"xerr": arms_of(slack), "yerr": arms_of(oom)} if crossed else {}
    style = {"ecolor": colour, "elinewidth": 0.9, "zorder": 6, **face}
    axes.errorbar(slack[0], oom[0], **errors, fmt="o", label=label, **style)


def arms_of(spread: Sequence[float]) -> list[list[float]]:
    """How far the interval reaches below and above the value."""
    value, low, high = (_known(each, spread[0]) for each in spread)
    return [[max(value - low, 0.0)], [max(high - value, 0.0)]]


def classes_figure(document: Mapping[str, Any]) -> Figure:
    """The same for every class of series."""
    there = {point["class"] for point in document["frontier"]}
    kinds = [kind for kind in CLASS_ORDER if kind in there]
    figure = Figure(figsize=(11, 3.4 * -(-len(kinds) // 3)))
    panels = figure.subplots(-(-len(kinds) // 3), 3, squeeze=False)
    for axes, kind in zip(panels.flat, kinds, strict=False):
        points = of_class(document["frontier"], kind)
        bands(axes, of_class(document["bands"], kind))
        curves(axes, points)
        axes.set_title(f"{kind}  ·  {points[0]['n']} series", loc="left", fontsize=10, fontweight="bold")
        usual = [
            p["oom"][0] or 0.0 for p in points if p["setting"] == DEFAULT and p["recommender"] != "static"
        ]
        axes.set_ylim(0, 1.4 * max(*usual, 20.0))
        axes.set_xlim(0, None)
        axes.xaxis.set_major_formatter(FuncFormatter(short_fraction))
    for axes in list(panels.flat)[len(kinds) :]:
        axes.set_visible(False)
    figure.supxlabel(SLACK_LABEL, fontsize=10, color="#333333")
    figure.supylabel(OOM_LABEL, fontsize=10, color="#333333")
    handles, names = unique_legend(panels.flat)
    figure.legend(
        handles, names, frameon=False, ncols=5, loc="upper center", bbox_to_anchor=(0.5, 1.07), fontsize=9
    )
    figure.tight_layout()
    return figure


def unique_legend(panels: Iterable[Axes]) -> tuple[list[Any], list[str]]:
    """Every label once, in the order of `COLOURS`."""
    found = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    ordered = [label for who in COLOURS if (label := named(who)) in found]
    return [found[label] for label in ordered], ordered


# -- calibration --------------------------------------------------------------------------------------------


def calibration_figure(document: Mapping[str, Any]) -> Figure:
    """Promised against realised chance of an OOM in the coming hour, over all and by class."""
    figure = Figure(figsize=(11, 5))
    whole, split = figure.subplots(1, 2, width_ratios=(1, 1))
    promises = document["calibration"]
    reliability(whole, of_class(promises, "all"))
    rates = [row for row in document["rows"] if row["name"].startswith("forecast.calibration.")]
    by_class(split, {row["name"].removeprefix("forecast.calibration."): row for row in rates})
    figure.tight_layout()
    return figure


def _known(bound: float | None, value: float | None) -> float:
    """A bound of an interval; the value itself where there is none: one group has no interval."""
    return (value or 0.0) if bound is None else bound


def reliability(axes: Axes, bands: Sequence[Point]) -> None:
    """One dot a band of promises; on the line, promises are kept."""
    least = 1e-5
    axes.plot([least, 1], [least, 1], color="#b8bec7", linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    for band in bands:
        realised, low, high = (max(_known(each, band["realised"][0]), least) for each in band["realised"])
        errors = [[realised - low], [high - realised]]
        axes.errorbar(
            band["promised"], realised, yerr=errors, fmt="o", color=COLOURS["plimsoll"], elinewidth=1
        )
        note = f"{band['windows']:,} h"
        axes.annotate(note, (band["promised"], realised), (6, -10), textcoords="offset points", **NOTE)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(least, 1)
    axes.set_ylim(least * 0.7, 1)
    axes.set_xlabel("promised chance of an OOM within the hour")
    axes.set_ylabel("realised share of hours with an OOM")
    title(axes, "Are promises kept?", "hours banded by their promise; on the dashed line they are")


def by_class(axes: Axes, rates: Mapping[str, Any]) -> None:
    """Promised and realised rates of every class side by side."""
    kinds = [kind for kind in CLASS_ORDER if f"{kind}.promised" in rates]
    upper, lower = ({"height": 0.36, "label": name} for name in ("promised", "realised"))
    places = np.arange(len(kinds))
    promised = [rates[f"{kind}.promised"]["value"] or 0.0 for kind in kinds]
    found = [rates[f"{kind}.realised"] for kind in kinds]
    spreads = [[_known(each[key], each["value"]) for key in ("value", "low", "high")] for each in found]
    realised = [spread[0] for spread in spreads]
    errors = np.hstack([arms_of(spread) for spread in spreads])
    axes.barh(places - 0.19, promised, color="#b9cdf0", **upper)
    axes.barh(places + 0.19, realised, xerr=errors, color=COLOURS["plimsoll"], ecolor="#555555", **lower)
    axes.set_yticks(range(len(kinds)), kinds)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    axes.locator_params(axis="x", nbins=6)
    axes.set_xlabel("hours with an OOM")
    axes.legend(frameon=False, loc="lower right")
    title(axes, "By class of series", "95 % intervals of what was realised")


# -- parts --------------------------------------------------------------------------------------------------


def of_class(points: Iterable[Point], kind: str) -> list[Point]:
    """Those of one class; `all`: over all."""
    return [point for point in points if point["class"] == kind]


def coordinates(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    """Slack and OOMs."""
    return [point["slack"][0] for point in points], [point["oom"][0] for point in points]


def named(who: str) -> str:
    """As in the legend."""
    return NAMED.get(who, who)


def labels(axes: Axes) -> None:
    """What the axes are."""
    axes.set_xlabel(SLACK_LABEL)
    axes.set_ylabel(OOM_LABEL)
    axes.xaxis.set_major_formatter(FuncFormatter(short_fraction))


def title(axes: Axes, head: str, below: str) -> None:
    """A title, and a line of explanation."""
    axes.set_title(head, loc="left", fontsize=13, fontweight="bold", pad=22)
    axes.text(0, 1.02, below, transform=axes.transAxes, fontsize=9, color="#666666")


def short_fraction(value: float, _position: int) -> str:
    """.25 instead of 0.25."""
    return f"{value:.2f}".lstrip("0") or "0"


if __name__ == "__main__":
    print(*draw(Path(sys.argv[1])))
