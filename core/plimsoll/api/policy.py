"""MemoryPolicy and ClusterMemoryPolicy: what a person wants for the memory of some workloads.

In: a person's YAML. Out: frozen typed models; `crd.py` makes the schema from them and `precedence.py`
decides which policy speaks for a container. Each field's text is its description in the CRD. Only fields
whose value differs from the default ask for an engine, so a policy with none of them never gets
`NotYetActive`.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from plimsoll.api.effective import HORIZON_SECONDS, Importance, LeakAction, Mode
from plimsoll.api.fields import (
    Condition,
    Cooldown,
    Horizon,
    Lookback,
    Model,
    Name,
    UpdateWindow,
    UpperBound,
    map_list,
    rule,
    rules,
)
from plimsoll.api.limits import MAX_OVERRIDES, OVERRIDE_RULES, ContainerOverride, Limits
from plimsoll.api.reclaim import Reclaim
from plimsoll.api.selector import LabelSelector

HOLIDAY_PATTERN = r"^([A-Z]{2}(-[A-Z0-9]{1,3})?|[0-9]{4}-[0-9]{2}-[0-9]{2})$"

Fraction = Annotated[float, Field(ge=0, le=1)]


class NodePlacement(StrEnum):
    """How strongly a pod's node follows the forecast."""

    OFF = "Off"
    PREFER = "Prefer"
    REQUIRE = "Require"


class Relief(StrEnum):
    """What is done with a pod that should leave its kube node before that is short."""

    PROPOSE = "Propose"
    EVICT = "Evict"


class NumaPlacement(StrEnum):
    """How strongly a container's memory follows the CPUs that use it, between NUMA nodes."""

    OFF = "Off"
    PREFER = "Prefer"
    BIND = "Bind"


class TargetRef(Model):
    """The workload a policy speaks for."""

    api_version: Annotated[str, Field(max_length=253)] | None = None
    """API version of the workload, for example apps/v1. For people: workloads are matched by kind and
    name."""
    kind: Annotated[str, Field(min_length=1, max_length=63)]
    """Deployment, StatefulSet, DaemonSet, Job, CronJob, Pod, or any kind with a scale subresource."""
    name: Name
    """Name of the workload, in the policy's namespace."""


class Forecast(Model):
    """How memory is forecast."""

    model: Annotated[str, Field(max_length=63, pattern="^[a-z][a-z0-9-]*$")] = "auto"
    """Which forecaster: auto, which is hazard in this version; hazard (a small network that learned from many
    recorded containers); seasonal (the same hour a day and a week ago); vpa (VPA's decaying histogram);
    prophet (day, week and holidays, fitted beside the loop from two weeks of history on; auto until then);
    ensemble (hazard, hourly peaks, seasonal and Holt-Winters, weighed by how well each foretold this
    container lately); routed (by the workload's class: growth is extrapolated, days and weeks are seasonal,
    all else is hazard); holt-winters (a level, a trend and a day's season); growth (a line where usage surely
    rises, else the highest hour of two weeks); moving-windows and autopilot-ml (the two recommenders of
    Google's Autopilot paper). Whichever it is, a container's own broken promises set its buffer."""
    horizon_seconds: Horizon = HORIZON_SECONDS
    """How far ahead the peak is forecast. Decisions are renewed each hour, and so far the hour is the only
    horizon there is: another gets the condition HorizonNotSupported and is treated as 1h."""
    history_seconds: Lookback = 28 * 86_400
    """How far back the forecast looks, and the floor under the limit with it; at most 28d is kept. OOM kills
    are remembered for longer than a short history."""
    holidays: Annotated[
        tuple[Annotated[str, Field(max_length=16, pattern=HOLIDAY_PATTERN)], ...],
        Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = ()
    """Days unlike others: country codes (CH, DE-BY) or dates (2026-12-24); days are UTC's. Only the model
    prophet looks at them: with another they get the condition HolidaysIgnored."""


class Budget(Model):
    """How much may be changed in an hour, over all pods of the policy. Raises after an OOM kill are not
    counted.
    """

    resizes_per_hour: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """Most routine resizes in an hour; absent means as many as the forecast asks for."""
    evictions_per_hour: Annotated[int, Field(ge=0, le=1_000_000)] = 12
    """Most evictions in an hour (mode InPlaceOrRecreate); disruption budgets hold besides."""


class Updates(Model):
    """When and how often limits change. A raise after an OOM kill, or a climb towards the limit, never
    waits.
    """

    cooldown_seconds: Cooldown = 600
    """Least time between two routine changes of one container."""
    min_change_fraction: Fraction = 0.05
    """A change smaller than this fraction of the limit in force is not made."""
    window: UpdateWindow | None = None
    """When routine changes may be made, for example `Mon-Fri 22:00-06:00 Europe/Zurich`; several are
    separated by semicolons. Days and zone may be left out (every day, UTC); no window means always."""
    budget: Budget = Budget()
    """How much may be changed in an hour."""


class Placement(Model):
    """Where pods and their memory go."""

    node: NodePlacement = NodePlacement.OFF
    """Choose the node of new pods by forecast, in the modes that set limits of new pods: Off, Prefer (the
    scheduler is told a preference) or Require (nodes that would be short with the pod are excluded, too)."""
    relief: Relief = Relief.PROPOSE
    """What is done where a kube node is forecast to be short of memory within a day and one of these pods
    would find room on another: Propose (an event says so) or Evict (it is evicted, the least important pods
    first; needs mode InPlaceOrRecreate and node Prefer or Require, which place its successor. Disruption
    budgets and updates.budget hold)."""
    numa: NumaPlacement = NumaPlacement.OFF
    """Move memory to the NUMA node whose CPUs use it. Bind also keeps new memory there (cpuset.mems),
    where there is room and the kubelet's static managers have named no NUMA nodes."""


class Leak(Model):
    """What happens to a container that only ever grows."""

    action: LeakAction = LeakAction.ALERT
    """Alert (say so, follow the growth as any other), Raise (follow it up to cap), Restart (evict its pods
    within updates.window before they die; needs mode InPlaceOrRecreate) or Leave (do not follow it). A raise
    after an OOM kill is made in any case; only limits.max ends it."""
    cap_bytes: UpperBound | None = None
    """Where Raise ends; absent means limits.max. At least 16Mi."""
    window_seconds: Lookback = 86_400
    """How long growth must have lasted. Steep growth, by a third within a quarter of it, is told sooner;
    slow growth under a daily pattern after two days."""


class PolicySpec(Model):
    """What both kinds of policy say."""

    mode: Mode = Mode.RECOMMEND
    """What may be done: Off (stop acting, leave limits as they are), Recommend (only write profiles),
    Initial (set limits of new pods), InPlace (Initial, and resize running pods), InPlaceOrRecreate
    (InPlace, and evict where that is the only way). Write "Off" in quotes: YAML reads a bare Off as false."""
    importance: Importance = Importance.NORMAL
    """How bad an OOM kill is, where neither limits.objective nor limits.oomPrice is given."""
    limits: Limits = Limits()
    """How limits and requests are set."""
    containers: Annotated[tuple[ContainerOverride, ...], map_list("name", MAX_OVERRIDES)] = ()
    """What is different for some containers, sidecars and native sidecars included."""
    forecast: Forecast = Forecast()
    """How memory is forecast."""
    updates: Updates = Updates()
    """When and how often limits change."""
    reclaim: Reclaim = Reclaim()
    """Proactive reclaim by the node agent."""
    placement: Placement = Placement()
    """Where pods and their memory go."""
    leak: Leak = Leak()
    """What happens to a container that only ever grows."""


class MemoryPolicySpec(PolicySpec):
    """What is wanted for the memory of one workload, or of the pods a selector matches, in this namespace."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.targetRef) != has(self.selector)",
                "set exactly one of spec.targetRef and spec.selector",
                ".targetRef",
            ),
            *OVERRIDE_RULES,
        )
    )

    target_ref: TargetRef | None = None
    """The one workload this policy is for. Wins over every selector."""
    selector: LabelSelector | None = None
    """Labels of the pods this policy is for; an empty selector matches every pod of the namespace."""


class ClusterMemoryPolicySpec(PolicySpec):
    """What is wanted for memory all over the cluster, or where the selectors match."""

    model_config = ConfigDict(json_schema_extra=rules(*OVERRIDE_RULES))

    selector: LabelSelector | None = None
    """Labels of the pods this policy is for; absent means every pod."""
    namespace_selector: LabelSelector | None = None
    """Labels of the namespaces this policy is for; absent means every namespace."""
    namespaces: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=63)], ...],
        Field(max_length=128, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = ()
    """Names of the namespaces this policy is for; empty means every one but kube-system and Plimsoll's
    own, which a cluster policy reaches only where they are named here."""

    @property
    def is_cluster_wide(self) -> bool:
        """True where nothing narrows it: the last in precedence."""
        return self.selector is None and self.namespace_selector is None and not self.namespaces


class PolicyStatus(Model):
    """What the operator makes of a policy."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    workloads: int | None = None
    """Workloads this policy speaks for."""
    containers: int | None = None
    """Containers this policy speaks for."""
    conditions: Annotated[tuple[Condition, ...], map_list("type", 16)] = ()
    """Conflict always; NotYetActive, Invalid, ObjectiveOutOfReach, HorizonNotSupported and ModelUnknown where
    they are true."""
