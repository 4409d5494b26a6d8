"""What the histories in the memory say of tomorrow: the operator's own pipeline, asked offline.

In: documents of kind `history` (a checkpoint, its quantity, the limit in force), a `now`. Out: for each the
forecast of the next hours' peak, the limit that the pipeline would set at an operating point, its shape, and
what a person should know. Nothing is written, and how much memory is the pipeline's word alone.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from plimsoll.forecast.window import read_window
from plimsoll.forecast.workload_class import WorkloadClass, workload_classes
from plimsoll.pipeline import LimitPipeline, PipelineSettings
from plimsoll.store.content import ContentError, Document
from plimsoll.store.incidents import Incident
from plimsoll.usage.checkpoint import CheckpointError, decode
from plimsoll.usage.history import History
from plimsoll.usage.sample import DAY_SECONDS, Quantity

STALE_SECONDS = DAY_SECONDS  # not seen for so long, a container is asked about at its own end
Histories = Mapping[str, Mapping[str, Any]]  # by key


@dataclass(frozen=True, slots=True)
class Outlook:
    """One container's. None: there is not enough of a past."""

    key: str
    hours: int  # in which it was seen
    peak_bytes: int | None
    oom_kills: int
    shape: str
    limit_bytes: int | None  # in force
    target_bytes: int | None = None  # what the pipeline asks for
    lower_bytes: int | None = None
    upper_bytes: int | None = None
    quantiles: tuple[tuple[float, int], ...] = ()
    problem: str = ""
    as_of_seconds: float = 0.0  # the moment that was asked about

    @property
    def saved_bytes(self) -> int | None:
        """What the limit asked for gives back; negative where it is higher."""
        if self.limit_bytes is None or self.target_bytes is None:
            return None
        return self.limit_bytes - self.target_bytes

    @property
    def too_low(self) -> bool:
        """True where a higher limit is worth its slack."""
        known = self.limit_bytes is not None and self.lower_bytes is not None
        return known and (self.limit_bytes or 0) < (self.lower_bytes or 0)

    @property
    def too_high(self) -> bool:
        """True where a lower limit is worth its risk."""
        known = self.limit_bytes is not None and self.upper_bytes is not None
        return known and (self.limit_bytes or 0) > (self.upper_bytes or 0)


def history_document(
    checkpoint: bytes, quantity: Quantity, limit_bytes: int | None = None, kin: str = ""
) -> Document:
    """What kind `history` keeps of one container. `kin` is the word that relatives share."""
    return {
        "checkpoint": np.frombuffer(checkpoint, dtype=np.uint8),
        "quantity": quantity.value,
        "limit_bytes": limit_bytes,
        "kin": kin,
    }


def checkpoint_of(document: Mapping[str, Any]) -> tuple[bytes, Quantity]:
    """The checkpoint in a document. Raises `ContentError`."""
    try:
        return np.asarray(document["checkpoint"], dtype=np.uint8).tobytes(), Quantity(document["quantity"])
    except (KeyError, ValueError, TypeError) as error:
        raise ContentError(f"a history's document cannot be read: {error}") from error


def promises_of(checkpoint: bytes, quantity: Quantity) -> tuple[float, float, float, float] | None:
    """How a checkpoint says promises were kept: hours, exceedances promised and come, shift of the log.

    None where none was judged yet, or it cannot be read.
    """
    try:
        hours, promised, exceeded, shift = decode(checkpoint, quantity).promises.tolist()
    except CheckpointError:
        return None
    return (hours, promised, exceeded, shift) if hours > 0 else None


def outlooks(
    histories: Histories, now_seconds: float, settings: PipelineSettings | None = None
) -> list[Outlook]:
    """One a history, in their order; who was not seen for a day is asked about at its end."""
    groups: defaultdict[tuple[Quantity, float], dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for key, document in histories.items():
        try:
            _, quantity = checkpoint_of(document)
        except ContentError:
            continue
        last = last_seen_seconds(document)
        present = last is None or abs(now_seconds - last) <= STALE_SECONDS
        groups[quantity, now_seconds if present or last is None else last + 1.0][key] = document
    made: dict[str, Outlook] = {}
    for (quantity, moment), mine in groups.items():
        made |= _of_quantity(mine, quantity, moment, settings or PipelineSettings())
    unknown = "its document cannot be read"
    return [made.get(key) or Outlook(key, 0, None, 0, "unknown", None, problem=unknown) for key in histories]


def _of_quantity(
    histories: Histories, quantity: Quantity, now_seconds: float, settings: PipelineSettings
) -> dict[str, Outlook]:
    history = History(quantity, len(histories))
    rows = history.add_rows(len(histories))
    history.advance(now_seconds)
    problems = [
        _restored(history, int(row), each) for row, each in zip(rows, histories.values(), strict=True)
    ]
    pipeline = LimitPipeline(history, settings)
    limits = [_limit(each) for each in histories.values()]
    pipeline.observe_limits(rows, np.array([math.nan if each is None else each for each in limits]))
    said = pipeline.decide(rows, now_seconds)
    window = read_window(history, rows)
    shapes = workload_classes(window, history.starts(rows), now_seconds)
    made = {}
    for place, (key, limit) in enumerate(zip(histories, limits, strict=True)):
        row = slice(place, place + 1)
        seen: dict[str, Any] = {
            "key": key,
            "hours": int(np.count_nonzero(np.isfinite(window.hourly_bytes[place]))),
            "peak_bytes": _whole(float(np.fmax.reduce(window.hourly_bytes[place]))),
            "oom_kills": int(history.ooms(rows[row]).count[0]),
            "shape": WorkloadClass(int(shapes[place])).label,
            "limit_bytes": limit,
            "problem": problems[place],
            "as_of_seconds": now_seconds,
        }
        if said.ready[place]:
            levels = zip(said.quantile_levels.tolist(), said.quantile_bytes[place].tolist(), strict=True)
            seen |= {
                "target_bytes": _whole(float(said.target_bytes[place])),
                "lower_bytes": _whole(float(said.lower_bytes[place])),
                "upper_bytes": _whole(float(said.upper_bytes[place])),
                "quantiles": tuple((level, math.ceil(value)) for level, value in levels),
            }
        elif not problems[place]:
            seen["problem"] = f"{seen['hours']} hours of history, none of them lately: too little to say more"
        made[key] = Outlook(**seen)
    return made


def _restored(history: History, row: int, document: Mapping[str, Any]) -> str:
    """Give a row its past; returns what is wrong with it."""
    try:
        data, _ = checkpoint_of(document)
        history.restore(row, data)
    except (ContentError, CheckpointError) as error:
        return str(error)
    return ""


def last_seen_seconds(document: Mapping[str, Any]) -> float | None:
    """When a history's container was last seen; None where nobody knows."""
    try:
        data, quantity = checkpoint_of(document)
        history = History(quantity, 1)
        rows = history.add_rows(1)
        history.restore(int(rows[0]), data)
    except (ContentError, CheckpointError):
        return None
    last = float(history.last_seen_seconds(rows)[0])
    return last if math.isfinite(last) else None


def suggestions(seen: Sequence[Outlook], lately: Sequence[Incident] = ()) -> list[tuple[str, str]]:
    """(key, sentence) of what is worth a person's look, the most urgent first.

    `lately`: what went wrong, the newest first; of each container the newest is told, and how many.
    """
    urgent, saving = [], []
    many = Counter(each.whose for each in lately)
    newest = {each.whose: each for each in reversed(lately)}
    for whose, last in sorted(newest.items(), key=lambda pair: -pair[1].at_seconds):
        told = f"{many[whose]} incidents, the last " if many[whose] > 1 else ""
        urgent.append((whose, f"{told}{_moment(last.at_seconds)}: {last.what}: {last.text}"))
    for each in seen:
        if each.too_low:
            urgent.append((each.key, f"its limit is below {each.lower_bytes} bytes: not worth the risk"))
        elif each.shape == WorkloadClass.GROWTH.label:
            urgent.append((each.key, "its usage grows in a line: look for a leak before its limit is raised"))
        elif each.oom_kills:
            urgent.append((each.key, f"it was killed {_times(each.oom_kills)} within memory"))
        elif each.saved_bytes and each.too_high:
            saving.append((each.saved_bytes, each.key))
    gains = [(key, f"a limit lower by {saved} bytes would do") for saved, key in sorted(saving, reverse=True)]
    return [*urgent, *gains]


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def describe(seen: Outlook) -> str:
    """One sentence of what was learned of a container, for patterns and search."""
    days = seen.hours * 3600 / DAY_SECONDS
    peak = f", peak {seen.peak_bytes} bytes" if seen.peak_bytes is not None else ""
    kills = f", {seen.oom_kills} OOM kill{'s' if seen.oom_kills > 1 else ''}" if seen.oom_kills else ""
    return f"{seen.shape} usage over {days:.1f} days{peak}{kills}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _limit(document: Mapping[str, Any]) -> int | None:
    value = document.get("limit_bytes")
    return value if isinstance(value, int) and value > 0 else None


def _whole(value: float) -> int | None:
    return math.ceil(value) if math.isfinite(value) else None
