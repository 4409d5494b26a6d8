"""Why one container's limit is what it is: the numbers, as sentences for people and a document for programs.

In: whatever a MemoryProfile, a policy and a history, or a replay, know. Out: sentences that leave out what is
not known, and a document in which it is None. The numbers come from elsewhere; here they are only told.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from plimsoll.forecast.protocol import LEVELS
from plimsoll.guard.limits import GuardSettings
from plimsoll.guard.proposal import say
from plimsoll_cli.amounts import quoted

TOLD_LEVELS = (0.5, 0.95, 0.99, 0.999)
# No distribution says how much less likely than this a peak is: every promise below is this one.
SCALE_END = 1 - float(LEVELS[-1])
SCALE_ROUNDING = 1e-3  # a mean of many such promises, kept with few digits, is one still


@dataclass(frozen=True, slots=True)
class Usage:
    """What was seen; bytes, None: not known."""

    quantity: str = ""
    current_bytes: int | None = None
    sample_age: str | None = None
    peak_day_bytes: int | None = None
    peak_history_bytes: int | None = None
    history_hours: int | None = None
    basis: str | None = None  # "needed" or "usage", where the policy asks for limits.basis needed
    basis_reason: str = ""
    needed_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What forecast and price ask for."""

    target_bytes: int | None = None
    request_bytes: int | None = None
    lower_bytes: int | None = None
    upper_bytes: int | None = None
    buffer_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Promises:
    """How forecasts of this container were kept."""

    hours: float
    promised_fraction: float
    realised_fraction: float
    buffer_shift_fraction: float


@dataclass(frozen=True, slots=True)
class Decided:
    """The last decision."""

    kind: str
    reason: str
    message: str
    age: str | None = None
    from_bytes: int | None = None
    to_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Kills:
    """What is remembered of OOM kills."""

    count: int = 0
    last_age: str | None = None
    limit_bytes: int | None = None
    floor_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Leak:
    """A leak, as the operator last found it; ages are until then."""

    growth_per_hour_bytes: int | None = None
    since_age: str | None = None
    limit_in: str | None = None  # until it reaches the limit in force
    cap_in: str | None = None  # until it reaches the policy's leak.cap


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that is known about one container's limit."""

    workload: str
    container: str
    mode: str | None
    policy: str | None
    pods: int | None
    limit_bytes: int | None  # in force
    usage: Usage
    model: str
    quantiles: tuple[tuple[float, int], ...]  # of the next hour's peak
    wanted: Wanted
    oom_price: float | None  # container-days of unused limit that one OOM kill is worth
    price_from: str  # which field of the policy says so
    kills: Kills
    decided: Decided | None
    original: tuple[int | None, int | None] | None  # request, limit before Plimsoll touched them
    restoring: bool = False
    conditions: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()  # the last ones, newest first
    lack: str = ""  # why nothing is recommended
    workload_class: str = ""  # the shape of its usage
    leak: Leak | None = None
    promises: Promises | None = None
    stand_in: str = ""  # why another model than the policy's made the forecast

    def document(self) -> dict[str, object]:
        """Return plain values."""
        plain: dict[str, object] = asdict(self)
        plain["quantiles"] = [{"level": level, "value_bytes": value} for level, value in self.quantiles]
        if self.original is not None:
            plain["original"] = {"request_bytes": self.original[0], "limit_bytes": self.original[1]}
        for name in ("conditions", "changes"):
            plain[name] = list(getattr(self, name))
        return {"workload": self.workload, **plain, "sentences": list(self.sentences())}

    def sentences(self) -> Iterator[str]:
        """Say it, one line a stage, in the order in which a limit is decided; amounts as in manifests."""
        return map(quoted, self._lines())

    def _lines(self) -> Iterator[str]:
        yield self._head()
        for label, text in (
            ("usage", self._usage()),
            ("basis", self._basis()),
            ("class", self.workload_class),
            ("leak", self._leak()),
            ("forecast", self._forecast()),
            ("promises", self._promises()),
            ("price", self._price()),
            ("recommendation", self._recommendation()),
            ("floors", self._floors()),
            ("decision", self._decision()),
            ("original", self._original()),
        ):
            if text:
                yield f"  {label + ':':<16}{text}"
        for condition in self.conditions:
            yield f"  {'condition:':<16}{condition}"
        for change in self.changes:
            yield f"  {'change:':<16}{change}"

    def _head(self) -> str:
        named = f"{self.workload}, container {self.container}" if self.container else self.workload
        words = [f"limit {say(self.limit_bytes)} in force"] if self.limit_bytes is not None else []
        if self.policy:
            words.append(f"mode {self.mode} by {self.policy}")
        if self.pods is not None:
            words.append(f"{self.pods} {'pod' if self.pods == 1 else 'pods'}")
        return f"{named}: {', '.join(words)}" if words else named

    def _usage(self) -> str:
        seen = self.usage
        words = []
        if seen.current_bytes is not None:
            told = f" ({seen.quantity})" if seen.quantity else ""
            ago = f", {seen.sample_age} ago" if seen.sample_age else ""
            words.append(f"{say(seen.current_bytes)} now{told}{ago}")
        if seen.peak_day_bytes is not None:
            words.append(f"peak of the last day {say(seen.peak_day_bytes)}")
        if seen.peak_history_bytes is not None:
            words.append(f"of all {seen.history_hours} hours seen {say(seen.peak_history_bytes)}")
        return "; ".join(words)

    def _basis(self) -> str:
        seen = self.usage
        if seen.basis is None:
            return ""
        needed = f" ({say(seen.needed_bytes)} needed now)" if seen.needed_bytes is not None else ""
        made = "what is needed" if seen.basis == "needed" else "all that is used"
        return f"the limit is made for {made}{needed}: {seen.basis_reason}"

    def _leak(self) -> str:
        leak = self.leak
        if leak is None:
            return ""
        words = [f"it grows by {say(leak.growth_per_hour_bytes)} an hour"]
        words += [f"told since {leak.since_age}"] if leak.since_age else []
        words += [f"reaches its limit in {leak.limit_in}"] if leak.limit_in else []
        words += [f"its leak.cap in {leak.cap_in}"] if leak.cap_in else []
        return ", ".join(words)

    def _forecast(self) -> str:
        told = [
            f"{say(value)} with {level * 100:g} %" for level, value in self.quantiles if level in TOLD_LEVELS
        ]
        if not told:
            return ""
        why = f": {self.stand_in}" if self.stand_in else ""
        model = f" (model {self.model}{why})" if self.model else ""
        return f"the next hour's peak stays below {', '.join(told)}{model}"

    def _promises(self) -> str:
        kept = self.promises
        if kept is None:
            return ""
        shift = kept.buffer_shift_fraction
        side = "thicker" if shift >= 0 else "thinner"
        return (
            f"promised {_promised(kept.promised_fraction)}, realised {kept.realised_fraction * 100:.2g} %"
            f" of {kept.hours:.0f} hours above the limit;"
            f" the buffer is {abs(shift) * 100:.2g} % {side} for it"
        )

    def _price(self) -> str:
        if self.oom_price is None:
            return ""
        days = f"{self.oom_price:.3g} container-days of unused limit"
        source = f" ({self.price_from})" if self.price_from else ""
        return f"one OOM kill is worth {days}{source}"

    def _recommendation(self) -> str:
        wanted = self.wanted
        if wanted.target_bytes is None:
            return f"none: {self.lack}" if self.lack else ""
        words = [f"limit {say(wanted.target_bytes)}, where a kill's price and the slack's balance"]
        if wanted.buffer_bytes is not None:
            # Negative where the price is so low that the 95 % quantile is not paid for.
            side = "above" if wanted.buffer_bytes >= 0 else "below"
            words.append(
                f"a buffer of {say(abs(wanted.buffer_bytes))} {side} the raw forecast's 95 % quantile,"
                " for its past errors, the price and the floors"
            )
        if wanted.request_bytes is not None:
            words.append(f"request {say(wanted.request_bytes)}")
        if wanted.lower_bytes is not None and wanted.upper_bytes is not None:
            band = f"{say(wanted.lower_bytes)} and {say(wanted.upper_bytes)}"
            words.append(f"between {band} a change gains too little")
        return "; ".join(words)

    def _floors(self) -> str:
        words = []
        if self.usage.current_bytes is not None:
            margin = GuardSettings().present_margin
            least = self.usage.current_bytes * (1 + margin)
            words.append(f"present use + {margin:.0%} = {say(least)}")
        if self.kills.count:
            times = "once" if self.kills.count == 1 else f"{self.kills.count} times"
            at = f" at {say(self.kills.limit_bytes)}" if self.kills.limit_bytes is not None else ""
            ago = f", last {self.kills.last_age} ago" if self.kills.last_age else ""
            floor = self.kills.floor_bytes
            raised = f", then raised to {say(floor)}" if floor is not None else ""
            words.append(f"OOM-killed {times}{at}{ago}{raised}")
        return "; ".join(words)

    def _decision(self) -> str:
        decided = self.decided
        if decided is None:
            return ""
        ago = f", {decided.age} ago" if decided.age else ""
        said = f": {decided.message}" if decided.message else ""
        return f"{decided.kind} ({decided.reason}){ago}{said}"

    def _original(self) -> str:
        if self.original is None:
            return ""
        request, limit = self.original
        state = "being restored" if self.restoring else "plimsoll restore puts them back"
        return f"request {say(request)}, limit {say(limit)} before Plimsoll; {state}"


def _promised(fraction: float) -> str:
    """A promise in percent; at the last level of a distribution it is only known to be less than that."""
    if fraction <= SCALE_END * (1 + SCALE_ROUNDING):
        return f"less than {SCALE_END * 100:.2g} %"
    return f"{fraction * 100:.2g} %"
