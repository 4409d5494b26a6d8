"""The rules between fields, once more in Python: the API server checks them in CEL, but not every client
asks one.

In: a policy's spec. Out: what contradicts itself, each with the field's path. Used by `plimsoll policy
check` and by the operator on policies that reached it past the API server's validation. tests/contract
holds both to the same verdicts.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from plimsoll.api.limits import Buffer, ContainerOverride, Limits, LimitsOverride
from plimsoll.api.policy import MemoryPolicySpec, PolicySpec
from plimsoll.api.quantity import format_quantity
from plimsoll.api.selector import LabelSelector, Operator


@dataclass(frozen=True, slots=True)
class Contradiction:
    """What is wrong, and the field to change."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def contradictions(spec: PolicySpec) -> Iterator[Contradiction]:
    """Every contradiction within one spec."""
    if isinstance(spec, MemoryPolicySpec) and (spec.target_ref is None) == (spec.selector is None):
        yield Contradiction("spec.targetRef", "set exactly one of spec.targetRef and spec.selector")
    for name in ("selector", "namespace_selector"):
        yield from _selector(
            f"spec.{'namespaceSelector' if '_' in name else name}", getattr(spec, name, None)
        )
    yield from _limits("spec.limits", spec.limits)
    yield from _containers(spec)


def _containers(spec: PolicySpec) -> Iterator[Contradiction]:
    seen: set[str] = set()
    for index, override in enumerate(spec.containers):
        path = f"spec.containers[{index}]"
        if override.name in seen:
            yield Contradiction(path, f"a second override for {override.name!r}")
        seen.add(override.name)
        yield from _override(path, override, spec.limits)


def _override(path: str, override: ContainerOverride, policy: Limits) -> Iterator[Contradiction]:
    own = override.limits
    if own is None:
        return
    yield from _limits(f"{path}.limits", own)
    if own.max_bytes is None and _above(own.min_bytes, policy.max_bytes):
        yield Contradiction(f"{path}.limits.min", "must not be above spec.limits.max")
    if own.min_bytes is None and _above(policy.min_bytes, own.max_bytes):
        yield Contradiction(f"{path}.limits.max", "must not be below spec.limits.min")


def _limits(path: str, limits: Limits | LimitsOverride) -> Iterator[Contradiction]:
    if limits.objective is not None and limits.oom_price is not None:
        yield Contradiction(f"{path}.objective", "set limits.objective or limits.oomPrice, not both")
    if limits.min_bytes is not None and limits.max_bytes is not None and limits.min_bytes > limits.max_bytes:
        low, high = format_quantity(limits.min_bytes), format_quantity(limits.max_bytes)
        yield Contradiction(f"{path}.min", f"limits.min must not be above limits.max ({low} > {high})")
    if isinstance(limits.buffer, Buffer) and _above(limits.buffer.min_fraction, limits.buffer.max_fraction):
        yield Contradiction(f"{path}.buffer.min", "limits.buffer.min must not be above limits.buffer.max")


def _selector(path: str, selector: LabelSelector | None) -> Iterator[Contradiction]:
    for index, line in enumerate(selector.match_expressions if selector else ()):
        if (line.operator in (Operator.IN, Operator.NOT_IN)) != bool(line.values):
            message = "values are needed with In and NotIn, and must be absent with Exists and DoesNotExist"
            yield Contradiction(f"{path}.matchExpressions[{index}].values", message)


def _above(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and low > high
