"""The conditions a policy carries in its status: `Conflict`, and what of its spec cannot be honoured.

In: a policy, the conflicts found while resolving workloads, the conditions it had. Out: the conditions it
should have; `lastTransitionTime` moves only where a status changes, so that writing the same again writes
nothing.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from plimsoll.api.duration import format_duration
from plimsoll.api.effective import HORIZON_SECONDS, Basis
from plimsoll.api.engines import HOLIDAY_MODEL, inactive_engines
from plimsoll.api.fields import Condition
from plimsoll.api.limits import ContainerOverride
from plimsoll.api.policy import PolicySpec
from plimsoll.api.precedence import Conflict, EffectivePolicy
from plimsoll.api.reclaim import ReclaimMode

CONFLICT = "Conflict"
NOT_YET_ACTIVE = "NotYetActive"
INVALID = "Invalid"
HORIZON_NOT_SUPPORTED = "HorizonNotSupported"
MODEL_UNKNOWN = "ModelUnknown"
MODEL_UNAVAILABLE = "ModelUnavailable"
HOLIDAYS_IGNORED = "HolidaysIgnored"
NEED_NOT_TOLD = "NeedNotTold"
OBJECTIVE_OUT_OF_REACH = "ObjectiveOutOfReach"
_MESSAGE_MAX = 1024  # what the schema takes
NOTHING: Mapping[str, str] = MappingProxyType({})
Reach = Mapping[str, tuple[float, float]]  # "slack", "oom": least and most X that a price is known for
ANYTHING: Reach = MappingProxyType({})


def policy_conditions(
    policy: EffectivePolicy,
    conflicts: Sequence[Conflict],
    before: Iterable[Condition],
    now_seconds: float,
    models: Collection[str] = (),
    unavailable: Mapping[str, str] = NOTHING,
    reach: Reach = ANYTHING,
) -> tuple[Condition, ...]:
    """Conditions of one policy; `Conflict` is always there, the others only where they are true.

    `models` are the forecast models that exist (none given: any name passes), `unavailable` those of them
    that cannot work here, with the sentence that says why. `reach` bounds the objectives (none given: any
    passes).
    """
    wanted = [_conflict(policy, conflicts)]
    if engines := inactive_engines(policy.spec):
        asked = ", ".join(f"spec.{engine}" for engine in engines)
        text = f"{asked}: what this asks for is not built yet; limits are handled without it"
        wanted.append(Condition(type=NOT_YET_ACTIVE, status="True", reason="EngineNotBuilt", message=text))
    if policy.problem:
        text = policy.problem[:_MESSAGE_MAX]
        wanted.append(Condition(type=INVALID, status="True", reason="Unreadable", message=text))
    if text := needed_sentence(policy.spec):
        text = f"spec.limits.basis: {text}"[:_MESSAGE_MAX]
        wanted.append(Condition(type=NEED_NOT_TOLD, status="True", reason="NotReclaimed", message=text))
    if found := list(unreached(policy.spec, reach)):
        text = "; ".join(f"{path}: {sentence}" for path, sentence in found)[:_MESSAGE_MAX]
        made = Condition(type=OBJECTIVE_OUT_OF_REACH, status="True", reason="NotMeasured", message=text)
        wanted.append(made)
    wanted += _forecast(policy.spec, models, unavailable)
    old = {each.type: each for each in before}
    return tuple(dated(each, old.get(each.type), policy.generation, now_seconds) for each in wanted)


def horizon_sentence(spec: PolicySpec) -> str:
    """Why the horizon that a spec asks for is not the one it gets; "" where it is."""
    if spec.forecast.horizon_seconds == HORIZON_SECONDS:
        return ""
    asked, used = (format_duration(each) for each in (spec.forecast.horizon_seconds, HORIZON_SECONDS))
    return f"{asked} is not supported: decisions are renewed each hour, so the peak is forecast {used} ahead"


def model_sentence(spec: PolicySpec, models: Collection[str]) -> str:
    """Why the model that a spec asks for is not the one it gets; "" where it is."""
    if not models or spec.forecast.model in models:
        return ""
    return f"policies know no forecast model {spec.forecast.model!r}; there are {', '.join(models)}"


def holidays_sentence(spec: PolicySpec) -> str:
    """Why the holidays that a spec names are not looked at; "" where they are, or there are none."""
    if not spec.forecast.holidays or spec.forecast.model == HOLIDAY_MODEL:
        return ""
    return f"only the model {HOLIDAY_MODEL} looks at holidays; this policy's is {spec.forecast.model}"


def needed_sentence(spec: PolicySpec) -> str:
    """Why needed memory, which a spec asks for, is told of no container; "" where it is, or nobody asks."""
    quiet = [
        each for each in (None, *spec.containers) if _asks_need(spec, each) and not _reclaims(spec, each)
    ]
    if not quiet:
        return ""
    which = "it" if quiet[0] is None else f"containers {quiet[0].name}"
    told = "agents tell what is needed only of what they may reclaim"
    return f"{told}, and reclaim.mode is Off for {which}: the limit is made for usage"


def unreached(spec: PolicySpec, reach: Reach) -> Iterator[tuple[str, str]]:
    """Fields whose objective no price is known for, and what stands for it instead."""
    asked = [("spec.limits.objective", spec.limits.objective)]
    for number, each in enumerate(spec.containers):
        own = None if each.limits is None else each.limits.objective
        asked.append((f"spec.containers[{number}].limits.objective", own))
    for path, objective in asked:
        if objective is not None and (sentence := objective_sentence(objective, reach)):
            yield path, f"{sentence}, and is moved from there by what comes of it"


def objective_sentence(objective: str, reach: Reach) -> str:
    """Why the price of `slack:X` or `oom:X` is not its own; "" where it is."""
    kind, _, wanted = objective.partition(":")
    if kind not in reach or reach[kind][0] <= float(wanted) <= reach[kind][1]:
        return ""
    # Rounded inwards: what is named here is itself within reach.
    least, most = _three_digits(reach[kind][0], math.ceil), _three_digits(reach[kind][1], math.floor)
    nearest = least if float(wanted) < reach[kind][0] else most
    return (
        f"{objective} is out of reach: prices are known from {kind}:{least:g} to {kind}:{most:g};"
        f" that of {kind}:{nearest:g} stands for it"
    )


def _three_digits(value: float, rounded: Callable[[float], int]) -> float:
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return rounded(value / unit) * unit


def _asks_need(spec: PolicySpec, override: ContainerOverride | None) -> bool:
    own = None if override is None or override.limits is None else override.limits.basis
    return (own or spec.limits.basis) is Basis.NEEDED


def _reclaims(spec: PolicySpec, override: ContainerOverride | None) -> bool:
    reclaim = spec.reclaim if override is None else spec.reclaim.with_override(override.reclaim)
    return reclaim.mode is not ReclaimMode.OFF


def _forecast(
    spec: PolicySpec, models: Collection[str], unavailable: Mapping[str, str]
) -> Iterator[Condition]:
    if text := horizon_sentence(spec):
        text = f"spec.forecast.horizon: {text}"
        yield Condition(type=HORIZON_NOT_SUPPORTED, status="True", reason="OneHourOnly", message=text)
    if text := model_sentence(spec, models):
        text = f"spec.forecast.model: {text}; auto stands in for it"[:_MESSAGE_MAX]
        yield Condition(type=MODEL_UNKNOWN, status="True", reason="NoSuchModel", message=text)
    if text := unavailable.get(spec.forecast.model, ""):
        text = f"spec.forecast.model: {text}"[:_MESSAGE_MAX]
        yield Condition(type=MODEL_UNAVAILABLE, status="True", reason="NotHere", message=text)
    if text := holidays_sentence(spec):
        text = f"spec.forecast.holidays: {text}"
        yield Condition(type=HOLIDAYS_IGNORED, status="True", reason="OtherModel", message=text)


def _conflict(policy: EffectivePolicy, conflicts: Sequence[Conflict]) -> Condition:
    mine = [each for each in conflicts if policy.ref in each.refs]
    if not mine:
        return Condition(type=CONFLICT, status="False", reason="Alone", message="")
    first = min(mine, key=lambda each: each.workload)
    workloads = len({each.workload for each in mine})
    more = f"; so do they for {workloads - 1} more" if workloads > 1 else ""
    text = (first.message + more)[:_MESSAGE_MAX]
    return Condition(type=CONFLICT, status="True", reason="SamePrecedence", message=text)


def dated(wanted: Condition, old: Condition | None, generation: int, now_seconds: float) -> Condition:
    """The condition with the time its status last changed, and the generation it speaks of."""
    kept = old.last_transition_time_seconds if old is not None and old.status == wanted.status else None
    since = float(int(now_seconds)) if kept is None else kept
    return wanted.model_copy(
        update={"last_transition_time_seconds": since, "observed_generation": generation}
    )
