"""One container's part of a policy: the spec, with the `containers[]` override that fits its name laid
over it.

In: a policy's spec and a container name. Out: an `EffectiveContainerPolicy`. Which override fits: an exact
name before a pattern, of two patterns the one with more letters of its own, of equals the first by name;
so the order in which a merge left the list does not matter.
"""

from dataclasses import replace
from fnmatch import fnmatchcase

from plimsoll.api.effective import EffectiveContainerPolicy, PolicyRef
from plimsoll.api.limits import ContainerOverride, LimitsOverride
from plimsoll.api.policy import PolicySpec
from plimsoll.api.window import parse_window


def container_policy(
    ref: PolicyRef, spec: PolicySpec, container: str, problem: str = ""
) -> EffectiveContainerPolicy:
    """All that the policy says about the container of that name."""
    base = replace(_base(ref, spec), container=container, problem=problem)
    override = matching_override(spec.containers, container)
    return base if override is None or problem else _overridden(base, override)


def matching_override(overrides: tuple[ContainerOverride, ...], container: str) -> ContainerOverride | None:
    """The override that fits a container's name best, or None."""
    fitting = [each for each in overrides if fnmatchcase(container, each.name)]
    return min(fitting, key=lambda each: (_wildcards(each) > 0, -_letters(each), each.name), default=None)


def _wildcards(override: ContainerOverride) -> int:
    return override.name.count("*") + override.name.count("?")


def _letters(override: ContainerOverride) -> int:
    return len(override.name) - _wildcards(override)


def _base(ref: PolicyRef, spec: PolicySpec) -> EffectiveContainerPolicy:
    return EffectiveContainerPolicy(
        policy=ref,
        container="",
        mode=spec.mode,
        importance=spec.importance,
        controlled=spec.limits.controlled,
        basis=spec.limits.basis,
        objective=spec.limits.objective,
        oom_price=spec.limits.oom_price,
        buffer_min_fraction=spec.limits.buffer.min_fraction,
        buffer_max_fraction=spec.limits.buffer.max_fraction,
        min_bytes=spec.limits.min_bytes,
        max_bytes=spec.limits.max_bytes,
        cooldown_seconds=spec.updates.cooldown_seconds,
        min_change_fraction=spec.updates.min_change_fraction,
        window=parse_window(spec.updates.window) if spec.updates.window else None,
        resizes_per_hour=spec.updates.budget.resizes_per_hour,
        evictions_per_hour=spec.updates.budget.evictions_per_hour,
        model_name=spec.forecast.model,
        horizon_seconds=spec.forecast.horizon_seconds,
        history_seconds=spec.forecast.history_seconds,
        holidays=spec.forecast.holidays,
        leak_action=spec.leak.action,
        leak_cap_bytes=spec.leak.cap_bytes,
        leak_window_seconds=spec.leak.window_seconds,
    )


def _overridden(base: EffectiveContainerPolicy, override: ContainerOverride) -> EffectiveContainerPolicy:
    limits = override.limits or LimitsOverride()
    buffer = limits.buffer
    priced = override.importance or limits.objective or limits.oom_price
    return replace(
        base,
        mode=override.mode or base.mode,
        importance=override.importance or base.importance,
        objective=limits.objective if priced else base.objective,
        oom_price=limits.oom_price if priced else base.oom_price,
        controlled=limits.controlled or base.controlled,
        basis=limits.basis or base.basis,
        buffer_min_fraction=buffer.min_fraction if buffer else base.buffer_min_fraction,
        buffer_max_fraction=buffer.max_fraction if buffer else base.buffer_max_fraction,
        min_bytes=base.min_bytes if limits.min_bytes is None else limits.min_bytes,
        max_bytes=base.max_bytes if limits.max_bytes is None else limits.max_bytes,
    )
