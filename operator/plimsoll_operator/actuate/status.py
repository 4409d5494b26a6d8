"""A profile's status, put together from what is known now and what the last one said.

In: groups, choices, recommendations, checkpoints, and what the profile remembers. Out: `ProfileStatus`. The
original resources are taken from the first pods that are seen and copied on from then on; a kill is counted
once.
"""

import base64
import math
from collections.abc import Mapping

import numpy as np

from plimsoll.api.effective import HORIZON_SECONDS, EffectiveContainerPolicy, Mode
from plimsoll.api.fields import Condition
from plimsoll.api.precedence import Conflict, EffectivePolicy
from plimsoll.api.profile import (
    ContainerProfile,
    DecisionRecord,
    ForecastSummary,
    LeakSummary,
    MoveMemory,
    OomMemory,
    OriginalResources,
    ProfileStatus,
    PromiseSummary,
    QuantileForecast,
    RecommendationSummary,
    UsageSummary,
)
from plimsoll.guard.decision import DecisionKind
from plimsoll.guard.limits import GuardSettings
from plimsoll.guard.state import ControlState
from plimsoll.recommend.row_policy import row_policy
from plimsoll.usage.checkpoint import CheckpointError, RowState, decode
from plimsoll.usage.sample import HOUR_SECONDS, Float32Array, Float64Array, Quantity
from plimsoll_operator.actuate.conditions import Standing
from plimsoll_operator.actuate.resize import asked_by_us
from plimsoll_operator.asks import Asks, RowView
from plimsoll_operator.leaking import Projection, projections
from plimsoll_operator.membership import Group, GroupKey
from plimsoll_operator.planning import MOVED_SECONDS, Choice
from plimsoll_operator.records import (
    ContainerRecord,
    OomRecord,
    ProfileRecord,
    RememberedContainer,
    RememberedDecision,
)

SENTENCE_MAX = 1024
FLOOR_SECONDS = GuardSettings().oom_hold_seconds  # after a kill nothing goes below its floor for so long
REFUSED = frozenset({"Infeasible", "StaticMemoryManager"})  # holds after the kubelet has refused a resize


class StatusBuilder:
    """Puts a profile's status together from what is known now and what the last one said."""

    def __init__(
        self,
        asks: Asks,
        quantity: Quantity,
        model: str,
        now_seconds: float,
        control: ControlState,
        moved: Mapping[tuple[GroupKey, str], tuple[int, float]] | None = None,
    ) -> None:
        """`moved`: the limit that a container's pod is evicted for, and when, by group and container."""
        self._moved = moved or {}
        self._asks = asks
        self._quantity = quantity
        self._model = model
        self.now_seconds = now_seconds
        self._standing = Standing(asks, control, now_seconds)

    def conditions(
        self, group: Group, record: ProfileRecord | None, choices: Mapping[str, Choice]
    ) -> tuple[Condition, ...]:
        """The conditions a profile should have now."""
        return self._standing.conditions(group, record, choices)

    def status(
        self,
        group: Group,
        record: ProfileRecord | None,
        choices: Mapping[str, Choice],
        checkpoints: Mapping[int, bytes],
    ) -> ProfileStatus:
        """The whole status; containers without a choice in this loop keep their last decision."""
        policy = group.policy
        remembered = {each.name: each for each in record.containers} if record is not None else {}
        containers = tuple(
            self._container(group, name, row, remembered.get(name), choices.get(name), checkpoints.get(row))
            for name, row in sorted(group.rows.items())
        )
        speaks = policy if isinstance(policy, EffectivePolicy) else None
        return ProfileStatus(
            policy=str(speaks.ref) if speaks is not None else None,
            mode=speaks.mode if speaks is not None else Mode.OFF if isinstance(policy, Conflict) else None,
            pods=len(group.pods),
            updated_time_seconds=self.now_seconds,
            containers=containers,
            conditions=self.conditions(group, record, choices),
        )

    def _container(
        self,
        group: Group,
        name: str,
        row: int,
        before: RememberedContainer | None,
        choice: Choice | None,
        checkpoint: bytes | None,
    ) -> ContainerProfile:
        policy = group.container_policy(name)
        used, age = self._asks.usage(row)
        leaks = {each.container: _leak(each) for each in projections(group, self._asks, self.now_seconds)}
        view = self._asks.view(row)
        return ContainerProfile(
            name=name,
            mode=policy.mode if policy is not None else None,
            usage=self._based(self._usage(used, age, checkpoint), row),
            forecast=self._forecast(view, policy, checkpoint),
            recommendation=_recommendation(view) or (before.recommended if before is not None else None),
            last_decision=self._decision(
                choice,
                before,
                policy.cooldown_seconds if policy is not None else 0.0,
                under_way=before is not None
                and any(asked_by_us(pod, before) for pod in group.pods.values() if pod.resize is not None),
            ),
            original_resources=_original(group, name, before),
            oom=_oom(group, name, before, choice),
            moved=self._move(group, name, before),
            workload_class=self._asks.workload_class(row),
            leak=leaks.get(name),
            checkpoint=base64.b64encode(checkpoint).decode() if checkpoint else None,
        )

    def _move(self, group: Group, name: str, before: RememberedContainer | None) -> MoveMemory | None:
        """The newest eviction for a raise, while it counts."""
        remembered = before.moved if before is not None else None
        newest = self._moved.get(((group.ref, group.node_class), name), remembered)
        if newest is None or not abs(self.now_seconds - newest[1]) <= MOVED_SECONDS:
            return None
        return MoveMemory(limit_bytes=newest[0], time_seconds=newest[1])

    def _usage(
        self, used: float | None, age_seconds: float | None, checkpoint: bytes | None
    ) -> UsageSummary | None:
        past = _past(checkpoint, self._quantity)
        known = used is not None and age_seconds is not None
        if not known and past is None:
            return None
        first = past.first_seen_seconds if past is not None else math.nan
        return UsageSummary(
            quantity="working-set" if self._quantity is Quantity.WORKING_SET else "usage",
            current_bytes=int(used) if used is not None and known else None,
            peak_day_bytes=_peak(past.five_minute_bytes) if past is not None else None,
            peak_history_bytes=_peak(past.hourly_bytes) if past is not None else None,
            history_seconds=max(0, int(self.now_seconds - first)) if math.isfinite(first) else None,
            last_sample_time_seconds=self.now_seconds - age_seconds
            if age_seconds is not None and known
            else None,
        )

    def _based(self, seen: UsageSummary | None, row: int) -> UsageSummary | None:
        """With what the limit is made for, where the policy asks for needed memory."""
        view = self._asks.basis(row)
        if seen is None or view is None:
            return seen
        word = "needed" if view.basis.needed else "usage"
        update = {
            "basis": word,
            "basis_reason": view.sentence[:SENTENCE_MAX],
            "needed_bytes": view.needed_bytes,
        }
        return seen.model_copy(update=update)

    def _forecast(
        self, view: RowView | None, policy: EffectiveContainerPolicy | None, checkpoint: bytes | None
    ) -> ForecastSummary | None:
        if view is None:
            return None
        past = _past(checkpoint, self._quantity)
        model = row_policy(policy).model if policy is not None else self._model
        points = tuple(QuantileForecast(level=level, value_bytes=value) for level, value in view.quantiles)
        return ForecastSummary(
            model=model,
            horizon_seconds=HORIZON_SECONDS,
            time_seconds=view.made_seconds,
            quantiles=points,
            promises=_promises(past.promises) if past is not None else None,
            stand_in=view.stand_in[:SENTENCE_MAX],
        )

    def _in_cooldown(self, last: RememberedDecision, choice: Choice, cooldown_seconds: float) -> bool:
        """True where a change must stay on record, for a restart reads the cooldown off it."""
        if not last.acted or choice.decision.acts or last.at_seconds is None:
            return False
        if choice.decision.reason in REFUSED:
            return False  # the change was taken back: what is on record must not say that it is in force
        return self.now_seconds - last.at_seconds < cooldown_seconds

    def _decision(
        self,
        choice: Choice | None,
        before: RememberedContainer | None,
        cooldown_seconds: float,
        *,
        under_way: bool,
    ) -> DecisionRecord | None:
        last = before.decision if before is not None else None
        if choice is None or (last is not None and self._in_cooldown(last, choice, cooldown_seconds)):
            return _record_of(last)
        if under_way and not choice.decision.acts:
            return _record_of(last)  # by this a successor knows that the resize is ours to follow
        decision = choice.decision
        return DecisionRecord(
            kind=decision.kind.value,
            reason=decision.reason,
            message=decision.message[:SENTENCE_MAX],
            time_seconds=self.now_seconds,
            from_bytes=choice.from_bytes,
            to_bytes=decision.limit_bytes,
        )


def _record_of(decision: RememberedDecision | None) -> DecisionRecord | None:
    if decision is None or not decision.kind:
        return None
    return DecisionRecord(
        kind=decision.kind,
        reason=decision.reason,
        message=decision.message,
        time_seconds=decision.at_seconds,
        from_bytes=decision.from_bytes,
        to_bytes=decision.to_bytes,
    )


def _original(group: Group, name: str, before: RememberedContainer | None) -> OriginalResources | None:
    """Recorded once: from the first profile on it is only copied."""
    if before is not None and before.original is not None:
        limit, request = before.original
        return OriginalResources(limit_bytes=limit, request_bytes=request)
    specs = [each.spec for pod in group.pods.values() for each in pod.containers if each.spec.name == name]
    if not specs:
        return None
    return OriginalResources(limit_bytes=specs[0].limit_bytes, request_bytes=specs[0].request_bytes)


def _oom(
    group: Group, name: str, before: RememberedContainer | None, choice: Choice | None
) -> OomMemory | None:
    """The newest kill among the group's pods, joined to what is remembered; none is counted twice."""
    kills = [(pod, each) for pod in group.pods.values() for each in pod.containers if each.spec.name == name]
    newest = max((each.oom for _, each in kills if each.oom is not None), key=_at, default=None)
    known = before.oom_seconds if before is not None else None
    if newest is None or (known is not None and newest.at_seconds <= known + 1.0):
        return _remembered_oom(before)
    killed = next((each for _, each in kills if each.oom == newest), None)
    acted = choice is not None and choice.decision.kind is DecisionKind.RAISE
    return OomMemory(
        count=(before.oom_count if before is not None else 0) + 1,
        last_time_seconds=newest.at_seconds,
        limit_bytes=_limit_of(killed),
        floor_bytes=choice.decision.limit_bytes if choice is not None and acted else None,
        floor_until_seconds=newest.at_seconds + FLOOR_SECONDS if acted else None,
    )


def _remembered_oom(before: RememberedContainer | None) -> OomMemory | None:
    if before is None or not before.oom_count:
        return None
    return OomMemory(
        count=before.oom_count,
        last_time_seconds=before.oom_seconds,
        limit_bytes=before.oom_limit_bytes,
        floor_bytes=before.oom_floor_bytes,
        floor_until_seconds=before.oom_seconds + FLOOR_SECONDS
        if before.oom_seconds is not None and before.oom_floor_bytes is not None
        else None,
    )


def _limit_of(container: ContainerRecord | None) -> int | None:
    return container.spec.limit_bytes if container is not None else None


def _at(kill: OomRecord) -> float:
    return kill.at_seconds


def _recommendation(view: RowView | None) -> RecommendationSummary | None:
    if view is None:
        return None
    return RecommendationSummary(
        lower_bytes=view.lower_bytes,
        target_bytes=view.target_bytes,
        upper_bytes=view.upper_bytes,
        buffer_bytes=view.buffer_bytes,
        request_bytes=view.request_bytes,
        oom_price=float(f"{view.oom_price:.3g}") if view.oom_price > 0 else None,
    )


def _leak(found: Projection) -> LeakSummary:
    hourly = (HOUR_SECONDS * each for each in (found.leak.slope, found.leak.slope_low, found.leak.slope_high))
    middle, low, high = (max(0, math.ceil(each)) for each in hourly)
    return LeakSummary(
        since_time_seconds=found.leak.since_seconds,
        growth_per_hour_bytes=middle,
        growth_per_hour_low_bytes=low,
        growth_per_hour_high_bytes=high,
        death_time_seconds=found.death_seconds,
        cap_time_seconds=found.cap_seconds,
    )


def _promises(record: Float64Array) -> PromiseSummary | None:
    """What a checkpoint remembers of promises; None before the first hour was judged."""
    hours, promised, exceeded, shift = record.tolist()
    if not hours > 0:
        return None
    return PromiseSummary(
        hours=round(hours, 1),
        promised_fraction=float(f"{promised / hours:.3g}"),
        realised_fraction=float(f"{exceeded / hours:.3g}"),
        buffer_shift_fraction=round(math.expm1(shift), 4),
    )


def _past(checkpoint: bytes | None, quantity: Quantity) -> RowState | None:
    """What a checkpoint holds: the peaks that people want to see are in it already."""
    try:
        return decode(checkpoint, quantity) if checkpoint else None
    except CheckpointError:
        return None


def _peak(values: Float32Array) -> int | None:
    seen = values[np.isfinite(values)]
    return math.ceil(seen.max()) if len(seen) else None
