"""Explanations out of a MemoryProfile, the policy that speaks for it, its kept history and the pods' Events.

In: a cluster and a profile. Out: one `Explanation` a container. Policy and Events are left out where they
may not be read.
"""

import base64
import binascii
import math
from collections.abc import Iterator

import numpy as np

from plimsoll.api.precedence import EffectivePolicy, read_policy
from plimsoll.api.profile import ContainerProfile, ForecastSummary
from plimsoll.recommend.objective import price_of
from plimsoll.usage.checkpoint import CheckpointError
from plimsoll.usage.history import History
from plimsoll.usage.sample import Float32Array, Quantity
from plimsoll_cli.advice.explanation import Decided, Explanation, Kills, Leak, Promises, Usage, Wanted
from plimsoll_cli.ages import age
from plimsoll_cli.cluster import PLIMSOLL_API, Body, Cluster, ForbiddenError, MissingError, namespaced
from plimsoll_cli.status import limit_of
from plimsoll_cli.workloads import Profile
from plimsoll_operator import parse

EVENT_CONTROLLER = "plimsoll.dev/operator"  # as plimsoll_operator.actuate.events reports
LAST_CHANGES = 5
HOURS_PER_DAY = 24
SAME_PRICE = 0.01  # a profile's is rounded
QUANTITIES = {"usage": Quantity.USAGE, "working-set": Quantity.WORKING_SET}


def explain_profile(cluster: Cluster, profile: Profile, now_seconds: float) -> Iterator[Explanation]:
    """Yield the explanation of every container that the profile knows."""
    policy = _policy(cluster, profile.status.policy)
    changes = _changes(cluster, profile, now_seconds)
    conditions = tuple(
        f"{each.type} is {each.status}: {each.message or each.reason}"
        for each in profile.status.conditions
        if each.message or each.reason
    )
    for container in profile.status.containers:
        wanted, oom, original = container.recommendation, container.oom, container.original_resources
        mode = container.mode or profile.status.mode
        price, price_from = _price(policy, container)
        forecast = container.forecast
        yield Explanation(
            workload=str(profile),
            container=container.name,
            mode=mode.value if mode is not None else None,
            policy=profile.status.policy,
            pods=profile.status.pods,
            limit_bytes=limit_of(container),
            usage=_usage(container, now_seconds),
            model=forecast.model if forecast is not None else "",
            quantiles=tuple((each.level, each.value_bytes) for each in forecast.quantiles)
            if forecast is not None
            else (),
            wanted=Wanted(
                wanted.target_bytes,
                wanted.request_bytes,
                wanted.lower_bytes,
                wanted.upper_bytes,
                wanted.buffer_bytes,
            )
            if wanted is not None
            else Wanted(),
            oom_price=price,
            price_from=price_from,
            kills=Kills(oom.count, age(oom.last_time_seconds, now_seconds), oom.limit_bytes, oom.floor_bytes)
            if oom is not None
            else Kills(),
            decided=_decided(container, now_seconds),
            original=(original.request_bytes, original.limit_bytes) if original is not None else None,
            restoring=profile.restore,
            conditions=conditions,
            changes=changes,
            lack="" if wanted is not None else "not enough history yet",
            workload_class=container.workload_class,
            leak=_leak(container, now_seconds),
            promises=_promises(forecast),
            stand_in=forecast.stand_in if forecast is not None else "",
        )


def _promises(forecast: ForecastSummary | None) -> Promises | None:
    kept = forecast.promises if forecast is not None else None
    if kept is None:
        return None
    return Promises(kept.hours, kept.promised_fraction, kept.realised_fraction, kept.buffer_shift_fraction)


def _decided(container: ContainerProfile, now_seconds: float) -> Decided | None:
    last = container.last_decision
    if last is None:
        return None
    when = age(last.time_seconds, now_seconds)
    return Decided(last.kind, last.reason, last.message, when, last.from_bytes, last.to_bytes)


def _leak(container: ContainerProfile, now_seconds: float) -> Leak | None:
    leak = container.leak
    if leak is None:
        return None
    # What is to come is said as an age, the other way round.
    ends = (leak.death_time_seconds, leak.cap_time_seconds)
    limit, cap = (None if end is None else age(now_seconds, max(end, now_seconds)) for end in ends)
    return Leak(leak.growth_per_hour_bytes, age(leak.since_time_seconds, now_seconds), limit, cap)


def _usage(container: ContainerProfile, now_seconds: float) -> Usage:
    """Join what the status says to what the history it keeps remembers."""
    said = container.usage
    quantity = (said.quantity if said is not None else None) or ""
    hourly = _kept(container.checkpoint, QUANTITIES.get(quantity))
    return Usage(
        quantity=quantity.replace("-", " "),
        current_bytes=said.current_bytes if said is not None else None,
        sample_age=age(said.last_sample_time_seconds, now_seconds) if said is not None else None,
        peak_day_bytes=_peak(hourly[-HOURS_PER_DAY:]),
        peak_history_bytes=_peak(hourly),
        history_hours=int(np.count_nonzero(np.isfinite(hourly))) or None,
        basis=said.basis if said is not None else None,
        basis_reason=said.basis_reason if said is not None else "",
        needed_bytes=said.needed_bytes if said is not None else None,
    )


def _kept(checkpoint: str | None, quantity: Quantity | None) -> Float32Array:
    """Return the hourly maxima that a checkpoint holds; none where it cannot be read."""
    if checkpoint is None or quantity is None:
        return np.empty(0, dtype=np.float32)
    history = History(quantity, 1)
    row = history.add_rows(1)
    try:
        history.restore(int(row[0]), base64.b64decode(checkpoint, validate=True))
    except (CheckpointError, binascii.Error, ValueError):
        return np.empty(0, dtype=np.float32)
    hourly: Float32Array = history.hourly(row)[0]
    return hourly


def _peak(values: Float32Array) -> int | None:
    known = values[np.isfinite(values)]
    return math.ceil(known.max()) if len(known) else None


def _policy(cluster: Cluster, named: str | None) -> EffectivePolicy | None:
    """Read the policy that a profile names: `MemoryPolicy namespace/name`, `ClusterMemoryPolicy name`."""
    kind, _, name = (named or "").partition(" ")
    namespace, _, plain = name.rpartition("/")
    plural = {"MemoryPolicy": "memorypolicies", "ClusterMemoryPolicy": "clustermemorypolicies"}.get(kind)
    if plural is None or not plain:
        return None
    try:
        body = cluster.read(namespaced(PLIMSOLL_API, plural, namespace or None, plain))
    except (MissingError, ForbiddenError):
        return None
    return read_policy({**body, "kind": kind})


def _price(policy: EffectivePolicy | None, container: ContainerProfile) -> tuple[float | None, str]:
    """What a kill was worth when the limit was last decided (else: what the policy says now), and why."""
    made = container.recommendation
    used = made.oom_price if made is not None else None
    if policy is None:
        return used, ""
    effective = policy.container(container.name)
    if effective.oom_price is not None:
        source = "limits.oomPrice"
    elif effective.objective is not None:
        source = f"limits.objective {effective.objective}"
    else:
        source = f"importance {effective.importance.value}"
    said = price_of(effective)
    if used is None:
        return said, f"{source} of {policy.ref}"
    steered = effective.oom_price is None and effective.objective is not None
    moved = steered and not math.isclose(used, said, rel_tol=SAME_PRICE)
    return used, f"{source} of {policy.ref}{f', which begins at {said:.3g}' if moved else ''}"


def _changes(cluster: Cluster, profile: Profile, now_seconds: float) -> tuple[str, ...]:
    """Return what Events say was last done to the workload's pods, newest first."""
    try:
        events = cluster.items(namespaced("/apis/events.k8s.io/v1", "events", profile.ref.namespace))
    except (MissingError, ForbiddenError):
        return ()
    mine = [each for each in events if _is_of(each, profile)]
    mine.sort(key=lambda each: str(each.get("eventTime") or ""), reverse=True)
    return tuple(
        f"{age(parse.seconds(each.get('eventTime')), now_seconds)} ago, pod {each['regarding'].get('name')}:"
        f" {each.get('reason')}: {each.get('note')}"
        for each in mine[:LAST_CHANGES]
    )


def _is_of(event: Body, profile: Profile) -> bool:
    regarding = event.get("regarding")
    if event.get("reportingController") != EVENT_CONTROLLER or not isinstance(regarding, dict):
        return False
    pod, name = str(regarding.get("name", "")), profile.ref.name
    return pod == name if profile.ref.kind == "Pod" else pod.startswith(f"{name}-")
