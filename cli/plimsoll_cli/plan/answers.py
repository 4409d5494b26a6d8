"""The answers to a what-if: one document for programs, rows for CSV, sentences that say what is an estimate.

In: a `Fleet`, what was asked, what the core answered. Out: plain values. What is not known is None, and the
reason stands beside it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from plimsoll.placement.capacity import CONFIDENCE, HOURS_PER_DAY, Range
from plimsoll.placement.sizing import MOST_PODS, Sizing
from plimsoll.replay.whatif import Question, WhatIf
from plimsoll_cli.amounts import short
from plimsoll_cli.plan.fleet import Fleet, counted

Row = dict[str, object]
FORECAST = "forecast"
PER_CONTAINER_DAYS = 1000
# Any node, and the likeliest one, is short at some time within a day.
SHORT = ("any_short", "worst_short")
BY_REQUESTS = (
    "By requests: nodes whose sum of requests is enough, and nodes that kube-scheduler fills (memory alone,"
    f" at most {MOST_PODS} pods each, one random order); chances are what the forecasts say of these nodes."
)
BY_FORECAST = (
    "By forecast: an estimate. Each node stays below its memory all day with a chance of {certainty} or more,"
    " if the coming day is like the pods' own last 28 days. Any node: with nodes taken as independent."
)
INFLATED = (
    "In the last days sums of pods varied {times} times as much as independent ones do: it is in the chances."
)
UNTRUSTED = "In the last days requests told use better than these forecasts do: do not plan by them."
REHEARSED = (
    "Rehearsed: of plans by forecast for the last {days}, each made from what was known before it, {short} of"
    " {of} node-days would have been short; {promised} were expected."
)
NOT_REHEARSED = "Rehearsed: not; too little is known before the last day."
KILLS = (
    "OOM kills: an estimate. What the pipeline promises of its limits at {policy}, for {promised} of"
    " {containers} containers: chances that use exceeds them, counted as kills; raises between two decisions"
    " prevent a part."
)
NO_KILLS = "OOM kills: not known, for the pipeline promises nothing of these containers' limits yet."
WEEKS = (
    f"Weeks ahead: an estimate with an interval of {CONFIDENCE:.0%}, from the trend of the daily peak of what"
    " these pods use; more pods than today are not in it."
)


@dataclass(frozen=True, slots=True)
class Answers:
    """A what-if and its answers."""

    fleet: Fleet
    question: Question
    answer: WhatIf
    policy: str
    notes: tuple[str, ...] = ()

    @property
    def shown(self) -> Sizing:
        """The nodes that charts are about: those asked about, else the fewest."""
        return self.answer.given or self.answer.packed

    @property
    def room_bytes(self) -> float:
        """What a node has for pods that are placed."""
        return self.question.node_bytes - self.answer.every_node_bytes

    @property
    def kills(self) -> float | None:
        """Exceedances expected in 1000 container-days: each is an OOM kill unless a raise comes first."""
        if self.fleet.exceeding is None:
            return None
        return self.fleet.exceeding * HOURS_PER_DAY * PER_CONTAINER_DAYS

    @property
    def needed(self) -> list[Row]:
        """Nodes by each way to count them."""
        rows = [self._by_requests(each.hand) for each in self.answer.by_requests]
        packed = self.answer.packed
        need = {"memory_bytes": round(float(packed.need_bytes.max(initial=0.0)))}
        counted: Row = {"by": FORECAST, **need, "least_nodes": None, "nodes": packed.nodes}
        return [*rows, {**counted, **_chances(packed), "why": ""}]

    @property
    def given(self) -> Row | None:
        """What becomes of as many nodes as were asked about."""
        made = self.answer.given
        if made is None:
            return None
        return {
            "nodes": made.nodes,
            **_chances(made),
            "keeps_bound": bool(made.worst_short <= self.question.bound),
        }

    @property
    def weeks(self) -> list[Row]:
        """Weeks ahead; empty where they are not known."""
        return [
            {
                "week": each.number,
                **_spread("nodes", each.nodes),
                **_spread("peak_bytes", each.peak_bytes),
            }
            for each in self.answer.outlook.weeks
        ]

    @property
    def hours(self) -> list[Row]:
        """Need against capacity on the shown nodes, by hour of the day from the coming one on."""
        made = self.shown
        return [
            {
                "hour": (self.fleet.source.hour_of_day + lane) % HOURS_PER_DAY,
                "mean_bytes": round(float(made.mean_bytes[lane])),
                "need_bytes": round(float(made.need_bytes[lane])),
                "capacity_bytes": round(self.room_bytes * made.nodes),
            }
            for lane in range(HOURS_PER_DAY)
        ]

    def document(self) -> Row:
        """Everything, nested."""
        trend = self.answer.outlook.trend
        return {
            "from": self.fleet.source.said,
            "pods": len(self.fleet.names),
            "containers": self.fleet.containers,
            "node_bytes": round(self.question.node_bytes),
            "every_node_bytes": round(self.answer.every_node_bytes),
            "bound": self.question.bound,
            "policy": self.policy,
            "needed": self.needed,
            "given": self.given,
            "oom_kills_per_1000_container_days": self.kills,
            "oom_kills_of_containers": self.fleet.promised,
            "inflation": self.answer.judge.inflation,
            "forecasts_beat_requests": self.answer.judge.trusted if self.answer.judge.judged else None,
            "rehearsal": asdict(self.answer.rehearsal),
            "trend": None if trend is None else asdict(trend),
            "weeks": self.weeks or None,
            "weeks_why": self.answer.outlook.why or None,
            "hours": self.hours,
            "notes": self.sentences(),
        }

    def rows(self) -> list[Row]:
        """Everything but the hours, flat: one figure a row."""
        made = []
        for row in self.needed:
            by, why = str(row["by"]), str(row["why"])
            made.append(_row("nodes", by, row["nodes"], "nodes", why=why))
            made += _short_rows(row, by)
        if self.given is not None:
            made += _short_rows(self.given, f"{FORECAST}, {self.question.nodes} nodes")
        made.append(_row("oom_kills", f"limits, {self.policy}", self.kills, "per 1000 container-days"))
        for week in self.answer.outlook.weeks:
            ahead, peak = f"week {week.number}", week.peak_bytes
            made.append(_row("nodes_ahead", ahead, round(week.nodes.middle), "nodes", week.nodes))
            made.append(_row("peak_ahead", ahead, peak.middle, "bytes", peak))
        if self.answer.outlook.why:
            made.append(_row("nodes_ahead", "weeks", None, "nodes", why=self.answer.outlook.why))
        return made

    def sentences(self) -> list[str]:
        """What is an estimate, of what; what was not known."""
        bound, judge = self.question.bound, self.answer.judge
        told = [BY_REQUESTS, BY_FORECAST.format(certainty=f"{1 - bound:.6g}")]
        if judge.inflation > 1.0:
            told.append(INFLATED.format(times=f"{judge.inflation:.2g}"))
        if judge.judged and not judge.trusted:
            told.append(UNTRUSTED)
        told += [self._of_rehearsal(), self._of_kills()]
        if self.answer.every_node_bytes > 0:
            told.append(
                f"Pods of DaemonSets take {short(round(self.answer.every_node_bytes))} of every node."
            )
        why = self.answer.outlook.why
        told.append(f"Weeks ahead: not known, for {why}." if why else WEEKS)
        return [*told, *(f"{each[0].upper()}{each[1:]}." for each in (*self.fleet.notes, *self.notes))]

    def _of_rehearsal(self) -> str:
        rehearsal = self.answer.rehearsal
        if not rehearsal.days:
            return NOT_REHEARSED
        return REHEARSED.format(
            days=counted(rehearsal.days, "day"),
            short=rehearsal.short,
            of=rehearsal.node_days,
            promised=f"{rehearsal.promised:.2g}",
        )

    def _of_kills(self) -> str:
        if self.kills is None:
            return NO_KILLS
        fleet = self.fleet
        return KILLS.format(policy=self.policy, promised=fleet.promised, containers=fleet.containers)

    def _by_requests(self, hand: str) -> Row:
        (each,) = (one for one in self.answer.by_requests if one.hand == hand)
        why = ""
        if each.too_large is not None:
            request = short(round(float(self.fleet.pods.request_bytes[hand][each.too_large])))
            why = f"{self.fleet.names[each.too_large]} requests {request}, more than a node has for it"
        return {
            "by": hand,
            "memory_bytes": round(each.request_bytes),
            "least_nodes": each.least_nodes,
            "nodes": None if each.on_nodes is None else each.on_nodes.nodes,
            **_chances(each.on_nodes),
            "why": why,
        }


def _chances(made: Sizing | None) -> Row:
    known: tuple[float | None, ...] = (None, None)
    if made is not None:
        known = (made.any_short, made.worst_short)
    return {f"{name}_probability": value for name, value in zip(SHORT, known, strict=True)}


def _spread(name: str, figure: Range) -> Mapping[str, object]:
    return {name: round(figure.middle), f"{name}_low": round(figure.low), f"{name}_high": round(figure.high)}


def _row(answer: str, of: str, value: object, unit: str, interval: Range | None = None, why: str = "") -> Row:
    low, high = (interval.low, interval.high) if interval is not None else (None, None)
    return {"answer": answer, "of": of, "value": value, "low": low, "high": high, "unit": unit, "why": why}


def _short_rows(row: Row, of: str) -> list[Row]:
    return [_row(name, of, row[f"{name}_probability"], "probability") for name in SHORT]
