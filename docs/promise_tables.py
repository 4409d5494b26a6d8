"""Tables of `benchmark.md` about promises: chances of a kill as they were told, and what came.

In: docs/results/forecast.json. Out: Markdown. A forecast's levels end at a chance of 0.01 % within the hour:
nothing smaller can be promised, so where promises come near to that they say no more than that it is rare.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmark_parts import (
    NOT_YET,
    Document,
    alone,
    percent,
    ranged,
    rows_of,
    shown,
    table_head,
    table_line,
    with_interval,
)

from plimsoll.forecast.protocol import LEVELS
from plimsoll.replay.resample import UNSEEN_EVENTS

LEAST_PROMISE = float(1 - LEVELS[-1])  # of a kill within an hour
NEAR_THE_END = 1.3  # times the least that all hours can promise: what is promised is the scale's end
END_OF_SCALE = "end of the scale"


def by_class(document: Document) -> Iterator[str]:
    """Promised and realised, class by class."""
    rows = rows_of(document)
    start = "forecast.calibration"
    kinds = [name[len(start) + 1 : -len(".promised")] for name in rows if name.startswith(start)]
    kinds = [kind for kind in dict.fromkeys(kinds) if f"{start}.{kind}.promised" in rows]
    yield from table_head(("class", "series", "promised", "realised", "realised / promised"))
    for kind, stem in [("all", start), *((kind, f"{start}.{kind}") for kind in kinds)]:
        each = [rows[f"{stem}.{name}"] for name in ("promised", "realised", "realised_over_promised")]
        promised = percent(each[0]["value"])
        realised = percent(each[1]["value"])
        if each[1]["low"] is not None:
            realised += f" [{percent(each[1]['low'])}, {percent(each[1]['high'])}]"
        yield table_line(kind, f"{each[0]['n']}{alone(each[0])}", promised, realised, ranged(each[2]))


def by_price(document: Document) -> Iterator[str]:
    """Hours with a kill that were promised and that came, price by price."""
    rows = rows_of(document)
    end = ".realised_over_promised"
    stems = [name.removesuffix(end) for name in rows if name.startswith("forecast.promises.price_")]
    stems = [stem for stem in dict.fromkeys(stems) if f"{stem}{end}" in rows]
    if not stems:
        yield NOT_YET.format("forecast")
        return
    yield from table_head(
        ("price of a kill, container-days", "promised hours", "realised", "realised / promised", "")
    )
    least = LEAST_PROMISE * hours_of(document)
    for stem in stems:
        each = [rows[f"{stem}.{name}"] for name in ("promised", "realised", "realised_over_promised")]
        price = stem.removeprefix("forecast.promises.price_").replace("_", ".")
        at_end = END_OF_SCALE if each[0]["value"] <= NEAR_THE_END * least else ""
        yield table_line(price, shown(each[0]["value"]), *map(ranged, each[1:]), at_end)


def by_band(document: Document) -> Iterator[str]:
    """The hours of all series at the default price by what was promised of each."""
    bands = bands_of(document)
    if not bands:
        yield NOT_YET.format("forecast")
        return
    head = ("promised", "hours", "promised, mean", "realised", "realised / promised", "")
    yield from table_head(head)
    for band in bands:
        low, high = band["band"]
        hours, promised = band["windows"], band["promised"]
        came = bounded(band["realised"], hours)
        over = [None if each is None else each / promised for each in came]
        at_end = END_OF_SCALE if low <= LEAST_PROMISE < high else ""
        first = f"{percent(low)} to {percent(high)}"
        yield table_line(first, f"{hours:,}", percent(promised), _spread(came), with_interval(over), at_end)


def bounded(realised: Sequence[float | None], hours: int) -> list[float | None]:
    """A share and its bounds; where no hour was realised, up to what that many hours do not exclude.

    Results of before decision 0340 have an upper bound of 0 there.
    """
    value, low, high = realised
    if value == 0 and high is not None:
        high = min(max(high, UNSEEN_EVENTS / hours), 1.0)
    return [value, low, high]


def bands_of(document: Document) -> list[Mapping[str, Any]]:
    """Bands of the promise, over all series."""
    return [band for band in document.get("calibration", []) if band["class"] == "all"]


def hours_of(document: Document) -> int:
    """Hours in which something was promised."""
    return sum(band["windows"] for band in bands_of(document))


def _spread(share: Sequence[float | None]) -> str:
    value, low, high = share
    return percent(value) + ("" if low is None else f" [{percent(low)}, {percent(high)}]")
